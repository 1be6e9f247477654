"""What is left of a store whose processes were killed?"""

import asyncio
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from milepost.store.protocol import EVERYTHING
from milepost.store.sqlite import SqliteStore
from tests.store.scene import START, MakeStore, Scene, whole

from .processes import Child, child


async def acknowledged_until_killed(other: Child, lines: int) -> list[str]:
    """The tasks that the process told of before it was killed, after so many at least."""
    said = [await other.heard() for _ in range(lines)]
    await other.kill()
    while line := await other.heard():
        said.append(line)
    # It may have died in the middle of a line.
    return [line for line in said if len(line) == 36]


@pytest.mark.parametrize("lines", [1, 50, 333])
async def test_p1_what_was_acknowledged_survives_kill_9(path: Path, make_store: MakeStore, lines: int) -> None:
    acknowledged: list[str] = []
    for _ in range(3):
        async with child("start", path) as other:
            acknowledged += await acknowledged_until_killed(other, lines)
    store = await make_store()
    found = await store.get(acknowledged, EVERYTHING, now=START)
    assert None not in found
    scene = Scene(store)
    for task in found[::20]:
        assert task is not None
        assert whole(await scene.log(task))
        assert (await store.cold([task.id], EVERYTHING, now=START))[0] is not None
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.pragma("integrity_check") == "ok"


async def test_others_go_on_when_one_is_killed(path: Path, make_store: MakeStore) -> None:
    scene = Scene(await make_store())
    async with child("start", path) as one, child("start", path) as two:
        for other in (one, two):
            assert len(await other.heard()) == 36
        mine = [asyncio.create_task(scene.start()) for _ in range(100)]
        await one.kill()
        async with asyncio.timeout(30):
            await asyncio.gather(*mine)
        assert len(await two.heard()) == 36


async def test_p1_commits_are_synced_to_the_disk(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    heart = store.heart()
    for connection in (store._parts.writer._connection, heart._connection):  # type: ignore[attr-defined]
        assert (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", 2)
        # The writer decides when the log is carried over.
        assert connection.pragma("wal_autocheckpoint") == 0
    heart.close()
    await store.close()
