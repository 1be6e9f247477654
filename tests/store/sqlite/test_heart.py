from pathlib import Path

import apsw

from milepost.store.sqlite.connection import WAL_PAGES
from milepost.store.sqlite.heart import SqliteHeart
from tests.store.scene import LEASE, START, Scene


async def test_a_heart_that_beats_alone_keeps_the_log_short(path: Path, scene: Scene) -> None:
    await scene.enlist()
    heart = SqliteHeart(path, busy_timeout=100)
    wal = path.with_name(f"{path.name}-wal")
    for n in range(3 * WAL_PAGES):
        assert heart.beat("w1", now=START + n, until=START + LEASE + n)
    assert wal.stat().st_size < 4200 * (WAL_PAGES + 500)
    heart.close()


async def test_a_heart_outlives_the_store(path: Path, scene: Scene) -> None:
    await scene.enlist()
    heart = scene.store.heart()
    await scene.store.close()
    assert heart.beat("w1", now=START, until=START + LEASE)
    heart.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT until FROM worker").get == START + LEASE
    connection.close()
