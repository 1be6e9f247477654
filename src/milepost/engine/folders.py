"""When do the private folders of tasks go?

At the end of a task its worker removes its folder. But a task can also end where that worker does not see it: while it
is paused, by the loss of its worker, on another machine. What is left of such tasks is swept.
"""

import asyncio
import shutil
from pathlib import Path
from typing import ClassVar, Final

from milepost.engine.background import BackgroundLoop, Sleep
from milepost.engine.context import Place
from milepost.files.protocol import FileStore
from milepost.store.protocol import EVERYTHING, TaskStore
from milepost.times import HOUR, Clock

PAGE: Final = 500


async def remove(place: Place, id: str) -> None:
    """Remove a task's private folder, if there is one, as far as that is possible."""
    folder = Path(place.folders, id)
    if folder.exists():  # noqa: ASYNC240 - most tasks have none, and looking costs less than a change of threads
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


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
                    await remove(self._place, task_id)
        return self.every


def _untouched_since(folders: Path, moment: int) -> list[str]:
    """The names of folders in which nothing was made or removed since a moment, in µs."""
    if not folders.exists():
        return []
    return [folder.name for folder in folders.iterdir() if folder.stat().st_mtime_ns < moment * 1000]
