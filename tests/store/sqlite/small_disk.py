"""What happens on a real disk that is full: ``python -m tests.store.sqlite.small_disk <what> <folder> <elsewhere>``.

The disk, of a few megabytes, is mounted at the folder, in a mount namespace of this process: it goes with the process,
however that ends. Prints what there is to say about the disk.
"""

import asyncio
import itertools
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import apsw

from milepost.store.refusals import StoreFull
from milepost.store.sqlite import SqliteStore, connection
from milepost.task import Task
from tests.store.scene import Scene, whole

from .callers import Callers, versions, versions_if_killed
from .groups import in_one_commit
from .power_loss import EMPTY, content

SIZE = 8 << 20
PAGE = 4096


class Ballast:
    """A file that takes all the room on its disk, or all but some."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / "ballast", os.O_RDWR | os.O_CREAT)

    def leave(self, pages: int) -> None:
        """Leave room for so many pages."""
        self.drop()
        with suppress(OSError):
            for place in range(0, SIZE, PAGE):
                os.posix_fallocate(self._descriptor, place, PAGE)
        size = os.fstat(self._descriptor).st_size
        os.truncate(self._descriptor, size - pages * PAGE)

    def drop(self) -> None:
        """Leave all the room that there is."""
        os.truncate(self._descriptor, 0)


async def check(path: Path, acknowledged: list[Task]) -> None:
    """What was acknowledged is there, in a store that is opened anew."""
    store = SqliteStore(path)
    await store.open()
    scene = Scene(store)
    for task in acknowledged:
        assert await scene.get(task) == task
        assert whole(await scene.log(task))
    await scene.start()
    await store.close()
    assert content(path) != EMPTY


async def write(folder: Path, elsewhere: Path, chosen: slice = slice(None)) -> None:
    """Let callers write with more room each time, until there is enough; says how often there was not."""
    path, ballast = folder / "milepost.db", Ballast(folder)
    store, other = SqliteStore(path), SqliteStore(path)
    await store.open()
    await other.open()
    scene = Scene(store)
    acknowledged: list[Task] = []
    for room in itertools.count():
        callers = Callers(scene, *[await scene.run() for _ in range(3)], text="x" * 10_000)
        ids, calls = callers.ids[chosen], callers.calls[chosen]
        before = await versions(store, ids)
        ballast.leave(room)
        outcomes = await in_one_commit(scene, *(call() for call in calls))
        after = await versions(store, ids)
        assert await versions(other, ids) == after
        if all(isinstance(outcome, Task) for outcome in outcomes):
            acknowledged += outcomes
            break
        assert all(isinstance(outcome, StoreFull) for outcome in outcomes), outcomes
        assert after == before
        assert await versions_if_killed(path, elsewhere / str(room), ids) == before
        # The same calls succeed when there is room again, and others did not have to wait for that.
        ballast.drop()
        again = await in_one_commit(scene, *(call() for call in calls))
        assert all(isinstance(outcome, Task) for outcome in again), again
        acknowledged += again
    ballast.drop()
    await store.close()
    await other.close()
    await check(path, acknowledged)
    print(room)  # noqa: T201 - it is how the test hears of it


async def write_alone(folder: Path, elsewhere: Path) -> None:
    """The same, each caller by itself."""
    for number in range(4):
        (folder / str(number)).mkdir()
        (elsewhere / str(number)).mkdir()
        await write(folder / str(number), elsewhere / str(number), slice(number, number + 1))


async def carry_over(folder: Path, elsewhere: Path) -> None:
    """Let the log be carried over after every commit, where the database has no room to grow."""
    connection.WAL_PAGES = 0  # type: ignore[misc]
    warnings = Warnings()
    logging.getLogger(connection.__name__).addHandler(warnings)
    path, ballast = folder / "milepost.db", Ballast(folder)
    store = SqliteStore(path)
    await store.open()
    scene = Scene(store)
    acknowledged = [await scene.start(input=b'"' + b"x" * 100_000 + b'"')]
    for room in range(30):
        ballast.leave(room)
        with suppress(StoreFull):
            acknowledged.append(await scene.start(input=b'"' + b"x" * 10_000 + b'"'))
    ballast.drop()
    await store.close()
    await check(path, acknowledged)
    assert len(acknowledged) > 1
    print(len(warnings.said))  # noqa: T201 - it is how the test hears of it


class Warnings(logging.Handler):
    """What was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


async def open_and_close(folder: Path, elsewhere: Path) -> None:
    """Close and open a store with more room each time; says how often it could not be opened."""
    path, ballast = folder / "milepost.db", Ballast(folder)
    acknowledged: list[Task] = []
    refused = 0
    for room in range(50):
        store = SqliteStore(path)
        ballast.leave(room)
        try:
            await store.open()
        except (apsw.Error, OSError, StoreFull):
            refused += 1
        ballast.drop()
        if store._open_parts is None:
            await store.open()
        acknowledged.append(await Scene(store).start())
        ballast.leave(0)
        await store.close()
        ballast.drop()
    await check(path, acknowledged)
    print(refused)  # noqa: T201 - it is how the test hears of it


if __name__ == "__main__":
    what, folder, elsewhere = sys.argv[1:]
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "small", folder], check=True)
    asyncio.run(globals()[what](Path(folder), Path(elsewhere)))
