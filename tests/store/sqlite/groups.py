"""How do these tests have calls share a commit?"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.store.scene import Scene, bounded


async def in_one_commit(scene: Scene, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What comes of calls of a SqliteStore, errors too; the writer sees none of them before it sees all."""
    writer = scene.store._parts.writer  # type: ignore[attr-defined]
    with writer._arrival:
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        assert len(writer._arrived) == len(calls)
    outcomes: list[Any] = await bounded(asyncio.gather(*tasks, return_exceptions=True))
    return outcomes
