"""What does a store look like after its processes were killed?"""

import asyncio
from pathlib import Path

import apsw
import pytest

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING
from milepost.store.sqlite import SqliteStore
from tests.store.scene import START, MakeStore, Scene, bounded, whole

from .processes import child


@pytest.mark.parametrize("round", range(3))
async def test_p1_what_was_acknowledged_survives_kill_9(path: Path, make_store: MakeStore, round: int) -> None:
    acknowledged: list[str] = []
    for again in range(3):
        async with child("start", path) as other:
            for _ in range(100 + 37 * round + again):
                acknowledged.append(await other.heard())
            await other.kill()
            # What it said before it was killed, and nobody has read yet, was acknowledged too.
            while line := await other.heard():
                if len(line) == 36:
                    acknowledged.append(line)
    store = await make_store()
    found = await store.get(acknowledged, EVERYTHING, now=START)
    assert None not in found
    assert len(await Scene(store).find(limit=0) if False else await all_ids(store)) >= len(acknowledged)
    for task in found[::50]:
        assert task is not None
        assert whole(await Scene(store).log(task))
    connection = apsw.Connection(str(path))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()


async def all_ids(store: object) -> list[str]:
    return []
