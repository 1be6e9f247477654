"""How a worker takes tasks and runs them."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import pytest

from milepost import BlockingContext, Context
from milepost.access.principal import LOCAL
from milepost.errors import UniqueKeyConflict
from milepost.task import Counts, State, Task
from milepost.times import HOUR, SECOND
from milepost.trigger import Trigger
from tests.engine import jobs
from tests.engine.bench import Bench

log = logging.getLogger("tests.worker")


async def test_functions_of_every_kind_run(bench: Bench) -> None:
    @bench.app.task
    async def on_the_loop(ctx: Context, *, n: int) -> int:
        return n + 1

    @bench.app.task
    def in_a_thread(ctx: BlockingContext, *, n: int) -> int:
        return n + 2

    @bench.app.task
    def without_context(*, n: int) -> int:
        return n + 3

    bench.app.include(jobs.app)
    async with bench.working():
        started = [await bench.start(name, {"n": 1}) for name in ("on_the_loop", "in_a_thread", "without_context")]
        assert [(await bench.end(task)).state for task in started] == [State.SUCCEEDED] * 3
        assert [await bench.result(task) for task in started] == [2, 3, 4]
        own = await bench.end(await bench.start("tell", {"part": {"start": 5}}))
    assert (await bench.result(own))["saved"] == {"row": 5}
    assert await bench.lines(own) == ["line 0", "line 1", "line 2", "from logging"]
    assert (own.counts, own.progress, own.message) == (Counts(3, 3), 1.0, "telling")


async def test_input_is_checked_again_where_it_is_used(bench: Bench) -> None:
    @bench.app.task(retries=3)
    async def add(ctx: Context, *, n: int) -> int:
        return n

    async with bench.working():
        # JSON Schema knows no largest number of this type, the program does.
        task = await bench.end(await bench.start("add", {"n": 2.5e300}))
    assert task.failure is not None
    assert (task.state, task.attempt, task.failure.code) == (State.FAILED, 1, "invalid_input")


async def test_progress_and_log_are_visible_while_it_runs(bench: Bench) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.progress(0.25, message="a quarter")
        ctx.log("here", "warning", row=1)
        await go_on.wait()
        ctx.progress(5, 20, message="counted", failed=1, skipped=2)
        await ctx.flush()

    async with bench.working():
        task = await bench.start("work")
        found = await bench.told(task, "a quarter")
        assert (found.state, found.progress, found.counts) == (State.RUNNING, 0.25, Counts())
        entry = (await bench.entries(task))[-1]
        assert (entry.message, entry.level, entry.fields, entry.attempt) == ("here", "warning", {"row": 1}, 1)
        go_on.set()
        found = await bench.end(task)
    assert (found.counts, found.message) == (Counts(5, 20, 1, 2), "counted")
    assert found.progress == 1.0


async def test_a_chatty_task_is_written_ten_times_a_second_and_completely(bench: Bench) -> None:
    lines = 3000

    @bench.app.task
    async def work(ctx: Context) -> None:
        for number in range(lines):
            ctx.log(str(number))
            ctx.progress(number, lines)
            await asyncio.sleep(0)

    @bench.app.task
    def work_in_a_thread(ctx: BlockingContext) -> None:
        for number in range(lines):
            ctx.log(str(number))

    async with bench.working():
        for name in ("work", "work_in_a_thread"):
            began = time.monotonic()
            task = await bench.end(await bench.start(name))
            flushes = (time.monotonic() - began) / 0.1
            assert await bench.lines(task) == [str(number) for number in range(lines)]
            entries = await bench.entries(task)
            assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
            written = {entry.version for entry in entries if entry.kind == "log"}
            assert len(written) <= flushes + 2  # the first, and the last with the outcome


async def test_logging_is_captured_from_tasks_only(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None:
        log.info("row %d", 7)
        await asyncio.to_thread(log.warning, "from a thread of the task")
        log.debug("not this")

    @bench.app.task
    def work_in_a_thread(ctx: BlockingContext) -> None:
        log.error("plain")

    async with bench.working():
        log.warning("from outside")
        first, second = await bench.start("work"), await bench.start("work_in_a_thread")
        await bench.end(first)
        await bench.end(second)
        log.warning("from outside")
    assert await bench.lines(first) == ["row 7", "from a thread of the task"]
    assert await bench.lines(second) == ["plain"]
    entry = (await bench.entries(second))[2]
    assert (entry.level, entry.fields) == ("error", {"logger": "tests.worker"})


async def test_higher_priority_runs_first_then_the_older(bench: Bench) -> None:
    order: list[str] = []

    @bench.app.task
    async def work(ctx: Context, *, name: str) -> None:
        order.append(name)

    @bench.app.task(name="urgent-work", priority=5)
    async def urgent(ctx: Context, *, name: str) -> None:
        order.append(name)

    await bench.publish()
    started = [
        await bench.start("work", {"name": "first"}),
        await bench.start("work", {"name": "second"}),
        await bench.start("work", {"name": "high"}, priority=10),
        await bench.start("urgent-work", {"name": "of its type"}),
        await bench.start("work", {"name": "low"}, priority=-1),
    ]
    async with bench.working(concurrency=1):
        for task in started:
            await bench.end(task)
    assert order == ["high", "of its type", "first", "second", "low"]


class Crowd:
    """Counts how many run at once; they end when the test lets them."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.ends: asyncio.Queue[None] = asyncio.Queue()

    async def visit(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.ends.get()
        self.now -= 1


async def test_no_more_run_than_there_are_slots(bench: Bench) -> None:
    crowd = Crowd()

    @bench.app.task
    async def work(ctx: Context) -> None:
        await crowd.visit()

    async with bench.working(concurrency=2):
        started = [await bench.start("work") for _ in range(5)]
        for _ in started:
            crowd.ends.put_nowait(None)
        for task in started:
            await bench.end(task)
    assert crowd.most == 2


async def test_a_types_limit_holds_over_all_workers(bench: Bench) -> None:
    crowd = Crowd()

    @bench.app.task(concurrency=2)
    async def work(ctx: Context) -> None:
        await crowd.visit()

    @bench.app.task
    async def other(ctx: Context) -> None: ...

    async with bench.working(), bench.working():
        started = [await bench.start("work") for _ in range(6)]
        await bench.end(await bench.start("other"))  # others are not held up
        for _ in started:
            crowd.ends.put_nowait(None)
        for task in started:
            await bench.end(task)
    assert crowd.most == 2


async def test_a_unique_key_is_taken_until_its_task_has_ended(bench: Bench) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> None:
        await go_on.wait()

    async with bench.working():
        task = await bench.start("work", unique_key="nightly")
        await bench.reach(task, State.RUNNING)
        with pytest.raises(UniqueKeyConflict):
            await bench.start("work", unique_key="nightly")
        go_on.set()
        await bench.end(task)
        await bench.end(await bench.start("work", unique_key="nightly"))


async def test_a_task_that_can_not_start_in_time_fails(bench: Bench) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> None:
        await go_on.wait()

    async with bench.working(concurrency=1):
        first = await bench.start("work")
        late = await bench.end(await bench.start("work", start_by=bench.clock() + SECOND // 10))
        go_on.set()
        await bench.end(first)
    assert late.failure is not None
    assert (late.state, late.failure.code, late.started_at) == (State.FAILED, "start_by_passed", None)


async def test_a_scheduled_task_starts_when_it_is_due(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> int:
        return bench.clock()

    async with bench.working():
        await bench.end(await bench.start("work"))  # everything is awake, and goes back to sleep
        task = await bench.start("work", run_at=bench.clock() + SECOND // 5)
        assert task.state is State.SCHEDULED
        ended = await bench.end(task)
    assert ended.run_at is not None
    assert ended.started_at is not None
    assert ended.started_at >= ended.run_at
    assert await bench.states(task) == ["scheduled", "queued", "running", "succeeded"]


async def test_a_repeating_task_runs_again_and_again_until_it_is_cancelled(bench: Bench) -> None:
    runs: list[tuple[int, object]] = []

    @bench.app.task
    async def work(ctx: Context) -> int:
        runs.append((ctx.task.run, ctx.saved))
        await ctx.checkpoint(ctx.task.run)
        return ctx.task.run

    def in_run(number: int) -> Callable[[Task], bool]:
        return lambda found: found.run == number and found.state is State.SUCCEEDED

    async with bench.working():
        task = await bench.start("work", trigger=Trigger(every=HOUR))
        await bench.until(task, in_run(1))
        for number in (2, 3):
            bench.clock.ahead += HOUR
            await bench.until(task, in_run(number))
        ended = await bench.service.cancel(LOCAL, task.id)
    assert runs == [(1, None), (2, None), (3, None)]
    assert (ended.state, ended.next_run_at, ended.attempt) == (State.SUCCEEDED, None, 1)


async def test_types_that_a_worker_does_not_have_are_left_alone(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None: ...

    others = await bench.start("work")
    bench.app.types.clear()

    @bench.app.task
    async def mine(ctx: Context) -> None: ...

    async with bench.working():
        await bench.end(await bench.start("mine"))
        assert (await bench.get(others)).state is State.QUEUED


async def test_a_worker_that_was_stopped_before_it_began_does_nothing(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None: ...

    task = await bench.start("work")
    worker = bench.worker()
    worker.stop()
    assert await worker.run()
    assert (await bench.get(task)).state is State.QUEUED


async def test_the_loop_may_be_held_up_without_losing_the_lease(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> str:
        held.set()
        go_on.wait(10)  # as a careless function would hold up everything
        return "done"

    held, go_on = threading.Event(), threading.Event()
    lease = SECOND // 2
    async with bench.working(lease=lease):
        task = await bench.start("work")
        threading.Timer(2 * lease / SECOND, go_on.set).start()
        found = await bench.end(task)
    assert held.is_set()
    assert (found.state, found.losses) == (State.SUCCEEDED, 0)


async def test_lines_bear_the_time_of_the_workers_clock(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.log("here")

    bench.clock.ahead = HOUR
    before = bench.clock()
    async with bench.working():
        task = await bench.end(await bench.start("work"))
    (told,) = [entry for entry in await bench.entries(task) if entry.message == "here"]
    assert before <= told.time <= bench.clock()
