from contextlib import closing
from pathlib import Path

import apsw

from milepost.store.sqlite.connection import WAL_PAGES
from milepost.store.sqlite.heart import SqliteHeart
from tests.store.scene import Scene


async def test_a_heart_that_beats_alone_keeps_the_log_short(path: Path, scene: Scene) -> None:
    await scene.enlist()
    wal = path.with_name(f"{path.name}-wal")
    # What many beats would write, in one go.
    with closing(apsw.Connection(str(path))) as many:
        many.wal_autocheckpoint(0)
        many.execute("CREATE TABLE beats (x)")
        for _ in range(5):
            many.execute("DELETE FROM beats; INSERT INTO beats VALUES (randomblob(?))", (4096 * WAL_PAGES,))
            heart = SqliteHeart(path, busy_timeout=100)
            assert heart.beat("w1")
            heart.close()
    assert wal.stat().st_size < 4096 * WAL_PAGES * 2.5


async def test_a_heart_outlives_the_store(path: Path, scene: Scene) -> None:
    await scene.enlist()
    heart = scene.store.heart()
    await scene.store.close()
    assert heart.beat("w1")
    heart.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT beats FROM worker").get == 1
    connection.close()
