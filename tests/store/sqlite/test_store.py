import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from milepost import lifecycle, notice
from milepost.store.protocol import EVERYTHING
from milepost.store.refusals import NotStorable, StoreBusy
from milepost.store.sqlite import SqliteStore, records, schedule
from milepost.store.sqlite.connection import WAL_PAGES
from milepost.store.sqlite.reads import Reads
from milepost.store.sqlite.rows import Stored
from milepost.task import JsonResult
from milepost.times import SECOND
from tests.store.conformance import TaskStoreConformance
from tests.store.scene import BOUND, FAILURE, START, MakeStore, Scene, bounded, json_result, line

from .processes import child

LONG = 10 * BOUND * SECOND


class TestSqliteStore(TaskStoreConformance):
    """The suite that every store runs."""


def siblings(path: Path) -> set[str]:
    return {file.name.removeprefix(path.name) for file in path.parent.iterdir()}


async def test_another_process_wakes_those_who_wait(path: Path, scene: Scene) -> None:
    task = await scene.start()
    async with child("change", path) as other:
        assert await other.heard() == "open"
        waiting = asyncio.create_task(scene.store.wait(task.id, version=1, timeout=LONG))
        await asyncio.sleep(0)
        other.tell(task.id)
        await bounded(waiting)
        assert (await scene.read(task)).state.terminal
        assert await other.heard() == "closed"
        await other.end()


async def test_a_lost_ring_is_made_up_for(path: Path, make_store: MakeStore, scene: Scene) -> None:
    other = Scene(await make_store())
    task = await scene.start()
    for bell in path.with_name(f"{path.name}-bells").iterdir():
        bell.unlink()
    waiting = asyncio.create_task(scene.store.wait(task.id, version=1, timeout=LONG))
    await asyncio.sleep(0)
    await other.change(task, lifecycle.cancel)
    await bounded(waiting)


@pytest.fixture
def told() -> Iterator["asyncio.Queue[logging.LogRecord]"]:
    """What a store logs, as it does."""
    told: asyncio.Queue[logging.LogRecord] = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: told.put_nowait(record)  # type: ignore[method-assign]
    logger = logging.getLogger("milepost.store.sqlite.store")
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


async def test_a_poll_that_fails_is_told_once_and_goes_on(
    path: Path, store: SqliteStore, make_store: MakeStore, told: "asyncio.Queue[logging.LogRecord]"
) -> None:
    other, scene = Scene(await make_store()), Scene(store)
    task = await scene.start()
    waiting = asyncio.create_task(store.wait(task.id, version=1, timeout=LONG))
    await asyncio.sleep(0)
    for bell in path.with_name(f"{path.name}-bells").iterdir():
        bell.unlink()
    asked = asyncio.Semaphore(0)
    connection = store._parts.reads._connection

    def deny(*_: object) -> int:
        asked.release()
        return apsw.SQLITE_DENY

    connection.authorizer = deny
    record = await bounded(told.get())
    assert (record.levelname, record.exc_info is not None) == ("ERROR", True)
    for _ in range(3):
        await bounded(asked.acquire())
    connection.authorizer = None
    await other.change(task, lifecycle.cancel)
    await bounded(waiting)
    assert told.empty()


async def test_every_thread_can_have_a_store_of_its_own(path: Path, scene: Scene) -> None:
    task = await scene.run()
    opened = threading.Barrier(4)
    ended: list[bool] = []

    async def follow() -> None:
        store = SqliteStore(path)
        await store.open()
        await asyncio.to_thread(opened.wait, BOUND)
        theirs = Scene(store)
        seen = await theirs.read(task)
        while not seen.state.terminal:
            await bounded(store.wait(task.id, version=seen.version, timeout=LONG))
            seen = await theirs.read(task)
        ended.append(True)
        await store.close()

    threads = [threading.Thread(target=asyncio.run, args=(follow(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(opened.wait, BOUND)
    for n in range(10):
        await scene.report(task, progress=n / 10)
    await scene.succeed(task)
    for thread in threads:
        await asyncio.to_thread(thread.join, BOUND)
    assert ended == [True] * 3


async def test_several_stores_in_a_process_keep_apart(tmp_path: Path, scene: Scene) -> None:
    second = SqliteStore(tmp_path / "other.db")
    await second.open()
    task = await scene.start()
    assert await Scene(second).get(task) is None
    await second.close()


async def test_a_link_leads_to_the_same_locks(path: Path, scene: Scene, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    store = SqliteStore(link)
    await store.open()
    task = await Scene(store).start()
    assert await scene.get(task) == task
    assert list(link.parent.iterdir()) == [link]
    await store.close()


async def test_closing_leaves_one_file_with_everything(path: Path, make_store: MakeStore) -> None:
    store = await make_store()
    for _ in range(100):
        await Scene(store).start()
    await store.close()
    assert siblings(path) == {"", "-turn", "-write", "-bells"}
    assert list(path.with_name(f"{path.name}-bells").iterdir()) == []


async def test_the_write_ahead_log_stays_short(path: Path, scene: Scene) -> None:
    wal = path.with_name(f"{path.name}-wal")
    for _ in range(8):
        await scene.start(input=b"1" * (4096 * WAL_PAGES // 2))
    assert wal.stat().st_size < 4096 * WAL_PAGES * 2.5


async def test_nothing_is_left_of_a_store_that_was_closed(path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        store = SqliteStore(path)
        await store.open()
        await Scene(store).start()
        await store.close()
    # The loop's own executor may have been given threads meanwhile, the store has none.
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("milepost")]
    assert threading.active_count() <= before + 3


async def test_a_database_that_a_stranger_has_locked_is_busy(path: Path, make_store: MakeStore) -> None:
    store = await make_store()
    await store.close()
    with closing(apsw.Connection(str(path))) as stranger:
        stranger.pragma("locking_mode", "exclusive")
        stranger.execute("BEGIN IMMEDIATE; COMMIT")
        with pytest.raises(StoreBusy):
            await SqliteStore(path, busy_timeout=100).open()
        with pytest.raises(StoreBusy):
            Reads(apsw.Connection(str(path)))
    await store.open()


async def test_nothing_is_left_of_a_record_that_was_deleted(path: Path, scene: Scene) -> None:
    root = await scene.failed()
    task = await scene.run(depends_on=(root.id,), on_dependency_failure="run")
    await scene.report(task, checkpoint=b"1", entries=(line("x"),))
    await scene.settle(task, lifecycle.fail, failure=FAILURE, traceback="Traceback …", retry_in=0)
    await scene.delete(await scene.succeeded(json_result(1)))
    await scene.delete(root, cascade=True)
    assert await scene.find() == []
    with closing(apsw.Connection(str(path))) as connection:
        for table in ("task", "input", "checkpoint", "result", "traceback", "log", "edge"):
            assert connection.execute(f"SELECT count(*) FROM {table}").get == 0


async def test_a_result_has_to_come_with_its_value(scene: Scene) -> None:
    task = await scene.run()
    with pytest.raises(NotStorable, match="value"):
        await scene.succeed(task, JsonResult(5, None))
    assert await scene.get(task) == task


async def test_opening_waits_for_its_turn(path: Path) -> None:
    stores = [SqliteStore(path) for _ in range(3)]
    async with child("hold", path) as other:
        assert await other.heard() == "held"
        opening = [asyncio.create_task(store.open()) for store in stores]
        assert not (await asyncio.wait(opening, timeout=0.3))[0]
        other.tell("let go")
        await bounded(asyncio.gather(*opening))
    for store in stores:
        await store.close()


async def test_a_store_that_is_up_to_date_opens_while_another_writes(path: Path, make_store: MakeStore) -> None:
    await make_store()
    async with child("hold", path) as other:
        assert await other.heard() == "held"
        await bounded(make_store())
        other.tell("let go")
        await other.end()


async def test_too_many_are_read_in_the_reader_thread(scene: Scene) -> None:
    tasks = [await scene.start() for _ in range(40)]
    found = await scene.store.get([task.id for task in tasks], EVERYTHING, now=START)
    assert found == tasks


async def test_what_changed_since_it_was_found_is_not_told_what_keeps_it(scene: Scene) -> None:
    await scene.start()
    gone, queued = await scene.succeeded(), await scene.start()
    await scene.delete(gone)
    running = await scene.run()
    writer = scene.store._parts.writer  # type: ignore[attr-defined]
    found = [(row, notice.UNOFFERED) for row in range(1, 5)]
    noted = await writer.submit(lambda transaction: schedule.note_obstacles(transaction, found, now=START))
    assert set(noted) == {queued.id, (await scene.find(number=1))[0]}
    assert await scene.get(running) == running
    again = await writer.submit(lambda transaction: schedule.note_obstacles(transaction, found, now=START))
    assert again == []


async def test_a_record_that_changed_in_spite_of_the_lock_is_not_overwritten(scene: Scene) -> None:
    task = await scene.start()
    stale = Stored(1, replace(task, version=7))
    writer = scene.store._parts.writer  # type: ignore[attr-defined]
    step = lifecycle.relabel(stale.task, now=START, title="lost")
    with pytest.raises(RuntimeError, match="write lock"):
        await writer.submit(lambda transaction: records.write(transaction, stale, step))
    assert await scene.get(task) == task
