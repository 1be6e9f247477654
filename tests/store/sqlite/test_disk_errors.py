"""What becomes of a store whose disk has no room, or fails, at any one of the operations that it is asked for?

Each test repeats what it does, and lets the disk fail a later operation each time, until there is none left to fail.
"""

import asyncio
import gc
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from milepost.store.protocol import EVERYTHING
from milepost.store.refusals import StoreFull
from milepost.store.sqlite import SqliteStore, connection
from milepost.store.sqlite import store as store_module
from milepost.store.sqlite.gate import Gate
from milepost.task import Task
from tests.store.scene import BOUND, MakeStore, Scene, bounded, json_result, line, whole

from .callers import Callers, versions, versions_if_killed
from .groups import in_one_commit
from .power_loss import EMPTY, content, reopened
from .watched_vfs import FailOnce, WatchedVfs, as_told, code_of, failure, watched


class Fault(NamedTuple):
    """What a disk refuses, and how SQLite calls that."""

    operation: str
    code: int


NO_ROOM = Fault("write", apsw.SQLITE_FULL)
WRITE = Fault("write", apsw.SQLITE_IOERR_WRITE)
SYNC = Fault("sync", apsw.SQLITE_IOERR_FSYNC)
READ = Fault("read", apsw.SQLITE_IOERR_READ)
TRUNCATE = Fault("truncate", apsw.SQLITE_IOERR_TRUNCATE)
OPEN = Fault("open", apsw.SQLITE_CANTOPEN)
DELETE = Fault("delete", apsw.SQLITE_IOERR_DELETE)


def each(*faults: Fault) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: "room" if fault == NO_ROOM else fault.operation)


@pytest.fixture(autouse=True)
def vfs(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedVfs]:
    # So that the log is carried over again and again, and that fails as well.
    monkeypatch.setattr(connection, "WAL_PAGES", 8)
    with watched() as vfs:
        yield vfs


@contextmanager
def failing(vfs: WatchedVfs, fault: Fault, nth: int, *, thread: str | None = None) -> Iterator[FailOnce]:
    """Let the disk fail once; that whoever is in the block is told so ends the block."""
    vfs.before = fail = FailOnce(fault.operation, nth, fault.code, thread=thread)
    try:
        yield fail
    except (apsw.Error, StoreFull) as error:
        if not is_it(error, fault):
            raise
        fail.told = True
    finally:
        vfs.before = as_told


def quiet(path: Path) -> None:
    """Return when nobody writes any more: what follows a commit, in the writer's thread, is over as well."""
    with closing(Gate(path)) as gate, gate:
        pass


def is_it(error: object, fault: Fault) -> bool:
    """Whether a caller was told what the disk said."""
    if isinstance(error, StoreFull):
        return fault == NO_ROOM
    return isinstance(error, apsw.Error) and code_of(error) == fault.code


def open_files() -> int:
    """How many this process has, without those that are garbage."""
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


# Writes.


@each(NO_ROOM, WRITE, SYNC, READ, TRUNCATE)
async def test_p1_a_disk_error_fails_who_is_told_so_and_nobody_else(
    vfs: WatchedVfs, path: Path, tmp_path: Path, make_store: MakeStore, fault: Fault
) -> None:
    scene, other = Scene(await make_store()), Scene(await make_store())
    acknowledged: dict[str, Task] = {}
    refused = 0
    for nth in itertools.count(1):
        callers = Callers(scene, *[await scene.run() for _ in range(3)])
        await other.start()  # What others wrote has to be read from the disk.
        before = await versions(other.store, callers.ids)
        with failing(vfs, fault, nth, thread="milepost-writer") as fail:
            outcomes = await in_one_commit(scene, *(call() for call in callers.calls))
            quiet(path)
        after = await versions(scene.store, callers.ids)
        assert await versions(other.store, callers.ids) == after
        if isinstance(outcomes[0], Task):
            # Only the carrying over of the log has failed, if anything.
            acknowledged |= {task.id: task for task in outcomes}
            assert after == [task.version for task in outcomes]
        else:
            refused += 1
            assert all(is_it(outcome, fault) for outcome in outcomes)
            assert after == before
        # A commit that the disk refused may still be found on it: then all of it.
        left = await versions_if_killed(path, tmp_path / str(nth), callers.ids)
        assert left in ([before, [version + 1 for version in before]] if after == before else [after])
        fresh = await scene.start()
        acknowledged[fresh.id] = fresh
        if not fail.failed:
            break
    assert nth > 1
    assert (refused > 0) == (fault != TRUNCATE)
    for task in acknowledged.values():
        assert await other.get(task) == task
        assert whole(await scene.log(task))
    assert content(path) != EMPTY


@each(NO_ROOM, WRITE, SYNC, READ)
async def test_a_beat_that_the_disk_refuses_is_beaten_again(
    vfs: WatchedVfs, path: Path, make_store: MakeStore, fault: Fault
) -> None:
    scene = Scene(await make_store())
    await scene.enlist("w1")
    heart = scene.store.heart()
    refused = 0
    for nth in itertools.count(1):
        await scene.start()
        quiet(path)
        with failing(vfs, fault, nth) as fail:
            assert heart.beat("w1")
        refused += fail.told
        assert heart.beat("w1")
        if not fail.failed:
            break
    assert refused > 0
    heart.close()


async def test_a_heart_that_the_disk_refuses_leaves_nothing_open(vfs: WatchedVfs, make_store: MakeStore) -> None:
    store = await make_store()
    descriptors = open_files()
    with failing(vfs, OPEN, 1) as fail:
        store.heart()
    assert fail.told
    assert open_files() == descriptors


# Reads.


async def _get(scene: Scene, task: Task) -> Any:
    return await scene.get(task)


async def _log(scene: Scene, task: Task) -> Any:
    return await scene.log(task)


async def _cold(scene: Scene, task: Task) -> Any:
    return await scene.store.cold([task.id], EVERYTHING, now=scene.now)


async def _result(scene: Scene, task: Task) -> Any:
    return await scene.store.result(task.id, EVERYTHING, now=scene.now)


async def _find(scene: Scene, task: Task) -> Any:
    return await scene.find(list_id="known")


async def _known_files(scene: Scene, task: Task) -> Any:
    return await scene.store.known_files(["f/1", "f/2"])


@pytest.mark.parametrize("read", [_get, _log, _cold, _result, _find, _known_files])
async def test_a_read_that_the_disk_refuses_succeeds_when_it_is_repeated(
    vfs: WatchedVfs, path: Path, make_store: MakeStore, read: Callable[[Scene, Task], Awaitable[Any]]
) -> None:
    scene, other = Scene(await make_store()), Scene(await make_store())
    task = await scene.run(list_id="known")
    await scene.report(task, checkpoint=b"1" * 5000, entries=tuple(line("x" * 1000) for _ in range(20)))
    task = await scene.succeed(task, json_result(["y" * 10_000]))
    known = await read(scene, task)
    refused = 0
    for nth in itertools.count(1):
        await other.start()  # Else everything is in memory.
        quiet(path)
        with failing(vfs, READ, nth) as fail:
            assert await read(scene, task) == known
        refused += fail.told
        assert await read(scene, task) == known
        if not fail.failed:
            break
    assert refused > 0


async def test_the_poll_goes_on_after_a_disk_error(
    vfs: WatchedVfs, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes up for rings that were lost, and lets nobody wait for a lock for ever."""
    other = Scene(await make_store())
    monkeypatch.setattr(other.store._parts.writer, "_ring", lambda _: None)  # type: ignore[attr-defined]
    await asyncio.sleep(0)  # The poll of that one takes its time.
    monkeypatch.setattr(store_module, "POLL", 0.01)
    store = await make_store()
    failed = asyncio.Event()

    def fail_the_poll(operation: str, path: str) -> None:
        if operation == "read" and threading.current_thread() is threading.main_thread():
            vfs.before = as_told
            failed.set()
            raise failure(READ.code)

    async with asyncio.timeout(BOUND), aclosing(store.changes()) as changes:
        await anext(changes)  # The poll's first look.
        vfs.before = fail_the_poll
        await other.start()
        await failed.wait()
        await anext(changes)


# When a store is opened and closed.


@each(NO_ROOM, WRITE, SYNC, READ, OPEN, DELETE)
async def test_p1_an_open_that_the_disk_refuses_leaves_a_store_or_nothing(
    vfs: WatchedVfs, path: Path, fault: Fault
) -> None:
    descriptors, refused = open_files(), 0
    for nth in itertools.count(1):
        place = path.with_name(f"{nth}.db")
        store = SqliteStore(place)
        with failing(vfs, fault, nth) as fail:
            await store.open()
        refused += fail.told
        await store.close()
        async with reopened(place) as scene:
            assert await scene.find() == []
            await scene.start()
        assert content(place) != EMPTY
        if not fail.failed:
            break
    assert refused > 0 or fault == DELETE
    # What was half open is closed again.
    assert open_files() == descriptors
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("milepost")]


@each(NO_ROOM, WRITE, SYNC, READ, TRUNCATE, DELETE)
async def test_p1_a_store_whose_disk_fails_when_it_is_closed_has_lost_nothing(
    vfs: WatchedVfs, path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(connection, "WAL_PAGES", 1000)  # All of the log is left for the end.
    acknowledged: dict[str, Task] = {}
    for nth in itertools.count(1):
        store = SqliteStore(path)
        await store.open()
        scene = Scene(store)
        task = await scene.succeed(await scene.run(), json_result([nth]))
        acknowledged[task.id] = task
        with failing(vfs, fault, nth) as fail:
            await bounded(store.close())
        async with reopened(path) as scene:
            for task in acknowledged.values():
                assert await scene.get(task) == task
        if not fail.failed:
            break
    assert nth > 1
    assert content(path) != EMPTY
