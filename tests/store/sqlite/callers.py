"""Who shares a commit in these tests of disks that fail?"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from milepost import lifecycle
from milepost.lifecycle import Report
from milepost.store.protocol import EVERYTHING, TaskStore
from milepost.task import Task
from tests.store.scene import Scene, json_result, line, new_id

from .power_loss import reopened


class Callers:
    """A start, an end with a result and a line of log, a checkpoint, a flush of the log: each changes one record.

    `text` is in each of them.
    """

    def __init__(self, scene: Scene, ended: Task, saved: Task, logged: Task, *, text: str = "") -> None:
        fresh = new_id()
        end = Report(progress=1.0, entries=(line("last"),))
        self.ids = [fresh, ended.id, saved.id, logged.id]
        self.calls: list[Callable[[], Coroutine[Any, Any, Task]]] = [
            lambda: scene.start(id=fresh, input=f'"{text}"'.encode()),
            lambda: scene.settle(ended, lifecycle.succeed, result=json_result([text]), report=end),
            lambda: scene.report(saved, checkpoint=f'"{text}"'.encode()),
            lambda: scene.report(logged, entries=(line("one"), line(f"two {text}"))),
        ]


async def versions(store: TaskStore, ids: list[str]) -> list[int]:
    """How far these records are; 0 for those that are not there."""
    return [0 if task is None else task.version for task in await store.get(ids, EVERYTHING, now=0)]


async def versions_if_killed(path: Path, folder: Path, ids: list[str]) -> list[int]:
    """How far these records would be if every process that uses the store were killed now."""
    folder.mkdir()
    for file in (path, path.with_name(f"{path.name}-wal")):
        (folder / file.name).write_bytes(file.read_bytes())
    async with reopened(folder / path.name) as scene:
        return await versions(scene.store, ids)
