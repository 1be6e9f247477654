"""Where does a task keep its private files, how do they come from one try to the next, and when do they go?

Each epoch has a folder of its own beneath the task's: a worker whose lease ended while it was suspended does not know
it yet, and goes on writing. What a try has left in peace is handed to the next one as it is, anything else as a copy.

At the end of a task its worker removes its folder. But a task can also end where that worker does not see it: while it
is paused, by the loss of its worker, on another machine. What is left of such tasks is swept.
"""

import asyncio
import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from milepost.engine.background import BackgroundLoop, Sleep
from milepost.engine.context import Place, folder_of
from milepost.files.protocol import FileStore
from milepost.store.protocol import EVERYTHING, TaskStore
from milepost.task import Task
from milepost.times import HOUR, Clock

_log = logging.getLogger(__name__)

PAGE: Final = 500
POLL: Final = 1.0
"""Seconds until what found no room is tried again."""
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
RELEASED: Final = ".released"
"""Ends the name of an epoch's folder in which nobody writes any more."""


async def take_over(
    place: Place, task: Task, *, may_wait: Callable[[], bool] = lambda: True, sleep: Sleep = asyncio.sleep
) -> None:
    """Give the try that begins what earlier ones have left, as far as it lies on this machine.

    Where the disk has no room for that it is tried again, for as long as the task `may_wait`. Raises OSError for
    whatever else keeps it from being copied.
    """
    while task.epoch > 1 and _has_any(place, task) and may_wait():
        try:
            await asyncio.to_thread(_take_over, folder_of(place, task))
            return
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            _log.error("There is no room for the folder of task %s; trying again: %s", task.id, error)
            await sleep(POLL)


def release(place: Place, task: Task) -> None:
    """The try that ends has stopped writing: the next one may have its folder itself, and not a copy."""
    folder = folder_of(place, task)
    with contextlib.suppress(OSError):  # most tasks have none; and what can't be handed on is copied
        folder.rename(folder.with_name(folder.name + RELEASED))


async def remove(place: Place, task: Task) -> None:
    """Remove a task's private folders, if there are any, as far as that is possible."""
    if _has_any(place, task):
        await asyncio.to_thread(shutil.rmtree, folder_of(place, task).parent, ignore_errors=True)


def _has_any(place: Place, task: Task) -> bool:
    """Whether a task has private folders. Most have none, and making a Path would cost more than the look itself."""
    return os.path.exists(f"{place.folders}/{task.id}")  # noqa: PTH110


def _take_over(folder: Path) -> None:
    # By epoch: a worker that wakes late may release the folder of an old one.
    left = {
        int(name): path for path in folder.parent.iterdir() if (name := path.name.removesuffix(RELEASED)).isdecimal()
    }
    newest = left.pop(max(left)) if left else None
    if newest is not None and newest.name.endswith(RELEASED):
        newest.rename(folder)
    elif newest is not None:
        aside = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            _copy(newest, aside)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)  # others may need the room
            raise
        aside.rename(folder)
        shutil.rmtree(newest, ignore_errors=True)
    for old in left.values():
        shutil.rmtree(old, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """Copy folders, files and symlinks; the first error as it comes, which shutil.copytree turns into text.

    What a checkpoint speaks of has been synced; its copy is too. Pipes and sockets mean nothing to another process.
    """
    target.mkdir(mode=0o700)
    for path in source.iterdir():
        copy = target / path.name
        if path.is_dir() and not path.is_symlink():
            _copy(path, copy)
        elif path.is_file() or path.is_symlink():
            shutil.copy2(path, copy, follow_symlinks=False)
            if not path.is_symlink():
                with copy.open("rb") as copied:
                    os.fsync(copied.fileno())
    shutil.copystat(source, target)


class SweepFolders(BackgroundLoop):
    """Removes the folders, untouched for an hour, of tasks that have ended or are gone."""

    every: ClassVar[int] = HOUR

    def __init__(
        self, store: TaskStore, files: FileStore, clock: Clock, place: Place, sleep: Sleep = asyncio.sleep
    ) -> None:
        super().__init__(store, files, clock, sleep)
        self._place = place

    async def round(self) -> int:
        """See BackgroundLoop."""
        old = await asyncio.to_thread(_untouched_since, Path(self._place.folders), self.clock() - HOUR)
        for start in range(0, len(old), PAGE):
            ids = old[start : start + PAGE]
            tasks = await self.store.get(ids, EVERYTHING, now=self.clock())
            for task_id, task in zip(ids, tasks, strict=True):
                if task is None or task.state.terminal:
                    await asyncio.to_thread(shutil.rmtree, Path(self._place.folders, task_id), ignore_errors=True)
        return self.every


def _untouched_since(folders: Path, moment: int) -> list[str]:
    """The names of folders in which nothing was made or removed since a moment, in µs."""
    if not folders.exists():
        return []
    return [folder.name for folder in folders.iterdir() if folder.lstat().st_mtime_ns < moment * 1000]
