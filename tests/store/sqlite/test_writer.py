import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING, Creation
from milepost.store.refusals import StoreBusy, StoreFull
from milepost.store.sqlite import SqliteStore
from milepost.store.sqlite.gate import Gate
from milepost.store.sqlite.log import LogCap
from milepost.store.sqlite.migrate import migrate, migrations
from milepost.store.sqlite.skipped import Skipped
from milepost.store.sqlite.writer import MAX_CALLS, Writer
from milepost.task import Task
from tests.store.scene import BOUND, START, Scene, bounded, draft, line

from .processes import child


@contextmanager
def commits(scene: Scene) -> Iterator[list[None]]:
    """Counts the commits of a store while nobody else writes."""
    connection = scene.store._parts.writer._connection  # type: ignore[attr-defined]
    counted: list[None] = []

    def count() -> bool:
        counted.append(None)
        return False

    connection.set_commit_hook(count)
    yield counted
    connection.set_commit_hook(None)


async def gathered_behind(path: Path, scene: Scene, starts: Callable[[], list[asyncio.Task[Any]]]) -> list[Any]:
    """What comes of calls that arrive while the writer waits for its turn, and so share a commit."""
    with closing(Gate(path)) as gate, gate:
        first = asyncio.create_task(scene.start())
        writer = scene.store._parts.writer  # type: ignore[attr-defined]
        while not writer._waiting:
            await asyncio.sleep(0)
        others = starts()
        await asyncio.sleep(0)
    await bounded(first)
    results: list[Any] = await bounded(asyncio.gather(*others, return_exceptions=True))
    return results


async def test_calls_that_arrive_together_share_a_commit(path: Path, scene: Scene) -> None:
    with commits(scene) as counted:
        tasks = await gathered_behind(
            path, scene, lambda: [asyncio.create_task(scene.start()) for _ in range(MAX_CALLS)]
        )
    assert len(counted) == 2
    assert len({task.id for task in tasks}) == MAX_CALLS


async def test_no_commit_takes_more_than_its_share(path: Path, scene: Scene) -> None:
    with commits(scene) as counted:
        await gathered_behind(path, scene, lambda: [asyncio.create_task(scene.start()) for _ in range(MAX_CALLS + 1)])
    assert len(counted) == 3


async def test_concurrent_calls_need_far_fewer_commits(scene: Scene) -> None:
    with commits(scene) as counted:
        await bounded(asyncio.gather(*(scene.start() for _ in range(500))))
    assert len(counted) < 50


@pytest.mark.parametrize("error", [ZeroDivisionError, GeneratorExit])
async def test_a_call_that_fails_fails_alone(path: Path, scene: Scene, error: type[BaseException]) -> None:
    def break_down(task: Task) -> Any:
        raise error

    def creations(*begins: Callable[[Task], Any]) -> asyncio.Task[Any]:
        items = [Creation(draft(), b"{}", begin, EVERYTHING) for begin in begins]
        return asyncio.create_task(scene.store.create(items, now=START))

    def begin(task: Task) -> Any:
        return lifecycle.begin(task, now=START)

    with commits(scene) as counted:
        before, broken, after = await gathered_behind(
            path, scene, lambda: [creations(begin), creations(begin, break_down), creations(begin, begin)]
        )
    assert len(counted) == 2
    assert isinstance(broken, error)
    assert (len(before), len(after)) == (1, 2)
    assert len(await scene.find()) == 1 + 1 + 2


async def test_tasks_that_are_made_together_are_as_if_each_were_made_alone(path: Path, scene: Scene) -> None:
    def starts() -> list[asyncio.Task[Any]]:
        plain, other = draft(), draft(tenant="other", run_at=START + 1)
        bunches = [[plain, other], [draft()], [draft(unique_key="k")], [draft(tenant="other")], [draft()]]
        return [
            asyncio.create_task(
                scene.store.create(
                    [Creation(one, b"{}", partial(lifecycle.begin, now=START), EVERYTHING) for one in bunch], now=START
                )
            )
            for bunch in bunches
        ]

    with commits(scene) as counted:
        made = await gathered_behind(path, scene, starts)
    assert len(counted) == 2
    tasks = [created.task for outcome in made for created in outcome]
    assert [len(outcome) for outcome in made] == [2, 1, 1, 1, 1]
    # The first of the default tenant is the one that the others waited behind.
    assert [task.number for task in tasks] == [2, 1, 3, 4, 2, 5]
    assert [task.state for task in tasks] == ["queued", "scheduled", *["queued"] * 4]
    for task in tasks:
        assert await scene.get(task) == task
        assert [entry.target for entry in await scene.log(task)] == [task.state]


async def test_nothing_is_committed_where_nothing_changed(path: Path, scene: Scene) -> None:
    task = await scene.start()
    await scene.enlist()
    with closing(apsw.Connection(str(path))) as other:
        before = other.pragma("data_version")
        await scene.try_change(task, lambda t, _: lifecycle.Step(t))
        assert await scene.store.rescue([], now=START) == []
        assert await scene.store.enqueue_due(now=START, limit=10) == []
        assert await scene.store.note_obstacles(now=START) == []
        await scene.store.expire(now=START, limit=10)
        assert other.pragma("data_version") == before
        await scene.store.dismiss("w1", now=START)
        assert other.pragma("data_version") != before


async def test_who_is_cancelled_disturbs_nobody(path: Path, scene: Scene) -> None:
    def starts() -> list[asyncio.Task[Any]]:
        tasks = [asyncio.create_task(scene.start()) for _ in range(3)]
        asyncio.get_running_loop().call_soon(tasks[1].cancel)
        return tasks

    one, two, three = await gathered_behind(path, scene, starts)
    assert isinstance(two, asyncio.CancelledError)
    for task in (one, three):
        assert await scene.get(task) == task


# When the disk is full.


def limit(scene: Scene, pages: int) -> None:
    connection = scene.store._parts.writer._connection  # type: ignore[attr-defined]
    connection.pragma("max_page_count", pages or 2**30)


async def test_p1_a_full_disk_fails_what_it_has_no_room_for_and_nothing_else(path: Path, scene: Scene) -> None:
    task = await scene.run()
    limit(scene, 1)  # As many as there are.
    with pytest.raises(StoreFull):
        await scene.start(input=b'"' + b"x" * 1_000_000 + b'"')
    results = await gathered_behind_full(path, scene, task)
    assert all(isinstance(result, StoreFull | Task) for result in results)
    assert any(isinstance(result, StoreFull) for result in results)
    limit(scene, 0)
    acknowledged = [result for result in results if isinstance(result, Task)]
    for one in acknowledged:
        assert await scene.get(one) is not None
    fresh = await scene.start(input=b'"' + b"x" * 1_000_000 + b'"')
    assert set(await scene.find()) == {task.id, fresh.id, *(one.id for one in acknowledged)}
    assert (await scene.succeed(task)).state.terminal


async def gathered_behind_full(path: Path, scene: Scene, task: Task) -> list[Any]:
    with closing(Gate(path)) as gate, gate:
        others = [asyncio.create_task(scene.start(input=b"1" * 50_000)) for _ in range(3)]
        others.append(asyncio.create_task(scene.report(task, entries=(line("x" * 100_000),))))
        await asyncio.sleep(0)
    results: list[Any] = await bounded(asyncio.gather(*others, return_exceptions=True))
    return results


async def test_a_commit_that_fails_fails_all_its_calls(path: Path, scene: Scene) -> None:
    connection = scene.store._parts.writer._connection  # type: ignore[attr-defined]

    def starts() -> list[asyncio.Task[Any]]:
        # A hook that says no makes SQLite fail the COMMIT, as a disk does that can't take it.
        verdicts = iter([False, True])
        connection.set_commit_hook(lambda: next(verdicts))
        return [asyncio.create_task(scene.start()) for _ in range(3)]

    results = await gathered_behind(path, scene, starts)
    assert all(isinstance(result, apsw.ConstraintError) for result in results)
    connection.set_commit_hook(None)
    assert len(await scene.find()) == 1
    await scene.start()
    assert len(await scene.find()) == 2


async def test_a_commit_that_leaves_the_transaction_open_is_undone(path: Path, scene: Scene) -> None:
    connection = scene.store._parts.writer._connection  # type: ignore[attr-defined]
    connection.pragma("foreign_keys", "on")
    connection.execute("CREATE TABLE dangling (parent REFERENCES absent DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("CREATE TABLE absent (x PRIMARY KEY)")
    writer = scene.store._parts.writer  # type: ignore[attr-defined]

    def starts() -> list[asyncio.Task[Any]]:
        # SQLite looks at such a reference at the COMMIT.
        orphan = writer.submit(lambda _: connection.execute("INSERT INTO dangling VALUES (1)").fetchall())
        return [asyncio.ensure_future(orphan), asyncio.create_task(scene.start())]

    results = await gathered_behind(path, scene, starts)
    assert all(isinstance(result, apsw.ConstraintError) for result in results)
    assert len(await scene.find()) == 1
    assert (await scene.start()).number == 2


# When others hold the lock.


async def test_a_lock_that_is_held_for_too_long_makes_writes_busy(path: Path) -> None:
    store = SqliteStore(path, busy_timeout=100)
    await store.open()
    scene = Scene(store)
    task = await scene.start()
    heart = store.heart()
    with closing(apsw.Connection(str(path))) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            await bounded(scene.change(task, lifecycle.cancel))
        with pytest.raises(StoreBusy):
            await bounded(asyncio.to_thread(heart.beat, "w1"))
        assert await scene.get(task) == task
        stranger.execute("COMMIT")
    assert (await scene.change(task, lifecycle.cancel)).state.terminal
    heart.close()
    await store.close()


async def test_a_process_that_stands_still_at_the_gate_makes_writes_busy(path: Path) -> None:
    store = SqliteStore(path, busy_timeout=100)
    await store.open()
    scene = Scene(store)
    task = await scene.start()
    async with child("hold", path) as other:
        assert await other.heard() == "held"
        cancels = [asyncio.create_task(scene.change(task, lifecycle.cancel)) for _ in range(3)]
        for outcome in await bounded(asyncio.gather(*cancels, return_exceptions=True)):
            assert isinstance(outcome, StoreBusy)
        with pytest.raises(StoreBusy):
            await bounded(scene.start())
        other.tell("let go")
        await other.end()
    # They were told that nothing was changed, and so it stays.
    assert await scene.find() == [task.id]
    assert await scene.get(task) == task
    assert (await scene.change(task, lifecycle.cancel)).version == 2
    await store.close()


async def test_closing_does_not_wait_for_ever(path: Path) -> None:
    store = SqliteStore(path, busy_timeout=100)
    await store.open()
    async with child("hold", path) as other:
        assert await other.heard() == "held"
        start = asyncio.create_task(Scene(store).start())
        await asyncio.sleep(0)
        await bounded(store.close())
        with pytest.raises(StoreBusy):
            await bounded(start)


def test_a_loop_that_ended_gets_no_answer_and_harms_nobody(path: Path) -> None:
    migrate(path, busy_timeout=100, scripts=migrations())
    answered = threading.Event()

    def make() -> Writer:
        options = {"busy_timeout": 1000, "log_cap": LogCap(100, 10), "skipped": Skipped()}
        return Writer(path, **options, on_commit=lambda changed: None, ring=lambda changed: answered.set())  # type: ignore[arg-type]

    async def leave() -> Writer:
        writer = make()
        writer.submit(lambda transaction: transaction.run("take_numbers", ("t", 1)).fetchall()).cancel()
        return writer

    with closing(Gate(path)) as gate, gate:
        writer = asyncio.run(leave())
    assert answered.wait(BOUND)

    async def go_on() -> Any:
        other = make()
        row = await other.submit(lambda transaction: transaction.row("take_numbers", ("t", 1)))
        await other.close()
        await writer.close()
        return row

    assert asyncio.run(go_on()) == (2, None)
