"""What a worker makes of tries that fail: retries, backoff, timeouts, and functions that do not stop."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from milepost import BlockingContext, Context, TaskError
from milepost.access.principal import LOCAL
from milepost.engine import worker as worker_module
from milepost.engine.outcome import Stopped, StopReason
from milepost.task import Failure, State
from milepost.times import MINUTE
from tests.engine import jobs
from tests.engine.bench import WITHIN, Bench, until
from tests.engine.processes import Pipe, gone
from tests.shortage import no_descriptor_left


async def test_a_try_that_fails_is_followed_by_another_which_finds_what_was_saved(bench: Bench) -> None:
    @bench.app.task(retries=2, backoff="0s")
    async def work(ctx: Context) -> dict[str, Any]:
        row = ctx.saved or 0
        ctx.progress(row, 10)
        await ctx.checkpoint(row + 1)
        if ctx.task.attempt < 3:
            raise ValueError(f"row {row}")
        return {"row": row, "attempt": ctx.task.attempt}

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert await bench.result(task) == {"row": 2, "attempt": 3}
    assert task.failure is None
    failures = [entry for entry in await bench.entries(task) if entry.kind == "outcome"]
    assert [(e.attempt, e.message, e.level) for e in failures] == [
        (1, "ValueError: row 0", "error"),
        (2, "ValueError: row 1", "error"),
        (3, "success", "info"),
    ]


async def test_the_next_try_waits_its_backoff_with_jitter(bench: Bench) -> None:
    @bench.app.task(retries=3, backoff="4m", backoff_max="10m")
    async def work(ctx: Context) -> None:
        raise ValueError

    async with bench.working(jitter=lambda: 0.5):
        task = await bench.start("work")
        for attempt, pause in ((1, 3), (2, 6), (3, 7.5)):
            found = await bench.until(task, lambda found: found.state is State.SCHEDULED)
            assert found.attempt == attempt
            assert found.run_at == found.updated_at + pause * MINUTE
            bench.clock.ahead += found.run_at - bench.clock()
            await bench.until(task, lambda found, attempt=attempt: found.attempt == attempt + 1)  # type: ignore[misc]
        ended = await bench.end(task)
    assert (ended.state, ended.attempt) == (State.FAILED, 4)
    assert ended.failure == Failure("exception", "ValueError")
    assert "in work" in (await bench.traceback(task) or "")


async def test_an_error_may_say_when_or_not_to_try_again(bench: Bench) -> None:
    @bench.app.task(retries=3)
    async def work(ctx: Context, *, retry: bool) -> None:
        raise TaskError("The shop is closed.", code="closed", retry=retry, retry_in="30m")

    async with bench.working():
        waits = await bench.reach(await bench.start("work", {"retry": True}), State.SCHEDULED)
        ended = await bench.end(await bench.start("work", {"retry": False}))
    assert waits.run_at == waits.updated_at + 30 * MINUTE
    assert (ended.attempt, ended.failure) == (1, Failure("closed", "The shop is closed."))


async def test_a_start_may_say_how_many_attempts(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None:
        raise ValueError

    @bench.app.task(name="stubborn-work", retries=5)
    async def stubborn(ctx: Context) -> None:
        raise ValueError

    async with bench.working(jitter=lambda: 0.0):
        assert (await bench.end(await bench.start("work"))).attempt == 1
        assert (await bench.end(await bench.start("stubborn-work", max_attempts=1))).attempt == 1


async def test_retry_begins_again_with_all_attempts_and_what_was_saved(bench: Bench) -> None:
    may_succeed = asyncio.Event()

    @bench.app.task(retries=1, backoff="0s")
    async def work(ctx: Context) -> int:
        row = int(ctx.saved or 0)
        await ctx.checkpoint(row + 1)
        if not may_succeed.is_set():
            raise ValueError
        return row

    async with bench.working():
        task = await bench.end(await bench.start("work"))
        assert (task.state, task.attempt) == (State.FAILED, 2)
        may_succeed.set()
        await bench.service.retry(LOCAL, task.id)
        ended = await bench.end(task)
    assert (ended.state, ended.attempt, ended.failure) == (State.SUCCEEDED, 1, None)
    assert await bench.result(task) == 2
    assert await bench.traceback(task) is None


# Timeouts.


async def test_past_its_timeout_a_loop_task_stops_at_its_checkpoint(bench: Bench) -> None:
    @bench.app.task(timeout=0.05)
    async def work(ctx: Context) -> None:
        while True:
            await ctx.checkpoint("here")

    async with bench.working(force_after=WITHIN):
        task = await bench.end(await bench.start("work"))
    assert task.failure == Failure("timeout", "The task ran longer than its timeout allows.")


async def test_past_its_timeout_a_loop_task_is_cancelled(bench: Bench) -> None:
    seen: list[str] = []

    @bench.app.task(timeout=0.05)
    async def work(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append("cancelled")
            raise RuntimeError("clearing up failed") from error

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert seen == ["cancelled"]
    assert task.failure is not None
    assert task.failure.code == "timeout"


async def test_a_timeout_is_of_one_try(bench: Bench) -> None:
    @bench.app.task(timeout=0.05, retries=1, backoff="0s")
    async def work(ctx: Context) -> str:
        while ctx.task.attempt == 1:
            await asyncio.sleep(0)
            await ctx.checkpoint()
        return "in time"

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert (task.state, task.attempt) == (State.SUCCEEDED, 2)


async def test_a_start_may_say_the_timeout(bench: Bench) -> None:
    @bench.app.task(timeout="1h")
    async def work(ctx: Context) -> None:
        await asyncio.Event().wait()

    async with bench.working():
        task = await bench.end(await bench.start("work", timeout=0.05))
    assert task.failure is not None
    assert task.failure.code == "timeout"


async def test_who_ends_well_after_the_timeout_but_before_force_has_succeeded(bench: Bench) -> None:
    @bench.app.task(timeout=0.01)
    async def work(ctx: Context) -> str:
        while not ctx.stopping:
            await asyncio.sleep(0)
        return "done"

    async with bench.working(force_after=WITHIN):
        assert (await bench.end(await bench.start("work"))).state is State.SUCCEEDED


async def test_past_its_timeout_a_process_is_terminated_then_killed(bench: Bench, pipe: Pipe) -> None:
    bench.app.include(jobs.app)
    async with bench.working():
        task = await bench.start("ignore", {"pipe": pipe.path}, timeout="3s")
        pids = [int(pid) for pid in (await pipe.read()).split()]
        ended = await bench.end(task)
        for pid in pids:
            await gone(pid)
    assert ended.failure is not None
    assert (ended.failure.code, ended.attempt, ended.losses) == ("timeout", 1, 0)


# Functions that do not stop.

KINDS = pytest.mark.parametrize("kind", ["swallow", "block"])


class Stuck:
    """Functions that wait until the test lets them go on: on the loop, swallowing CancelledError, and in a thread."""

    def __init__(self, bench: Bench, **options: Any) -> None:
        self.go_on = asyncio.Event()
        self.thread_may_go_on = threading.Event()
        self.after: list[BaseException | str] = []

        @bench.app.task(**options)
        async def swallow(ctx: Context) -> str:
            ctx.progress(message="here")
            while not self.go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.go_on.wait()
            try:
                ctx.log("too late")
                await ctx.checkpoint("too late")
            except BaseException as error:
                self.after.append(error)
                raise
            return "too late"

        @bench.app.task(**options)
        def block(ctx: BlockingContext) -> str:
            ctx.progress(message="here")
            self.thread_may_go_on.wait(WITHIN)
            try:
                ctx.log("too late")
                ctx.checkpoint("too late")
            except BaseException as error:
                self.after.append(error)
                raise
            return "too late"

        @bench.app.task
        async def quick(ctx: Context) -> str:
            return "quick"

    def release(self) -> None:
        self.go_on.set()
        self.thread_may_go_on.set()


@KINDS
async def test_p2_what_does_not_stop_past_its_timeout_has_failed_and_keeps_its_slot(bench: Bench, kind: str) -> None:
    stuck = Stuck(bench, timeout=0.02)
    async with bench.working(concurrency=3) as worker:
        task = await bench.end(await bench.start(kind))
        assert task.failure is not None
        assert task.failure.code == "timeout"
        (lingering,) = worker._slots._kept
        assert (await bench.end(await bench.start("quick"))).state is State.SUCCEEDED
        stuck.release()
        await asyncio.wait_for(asyncio.shield(lingering), WITHIN)
        await bench.end(await bench.start("quick"))
        assert not worker._slots._kept
    after = await bench.get(task)
    assert after.version == task.version  # P2, P3: what it said later changed nothing
    assert "too late" not in await bench.lines(task)
    assert await bench.saved(task) is None
    assert [getattr(error, "reason", None) for error in stuck.after] == [StopReason.LEASE_LOST]


@KINDS
async def test_what_is_left_behind_is_tried_again_and_does_not_disturb_that(bench: Bench, kind: str) -> None:
    stuck = Stuck(bench, retries=1, backoff="0s")
    async with bench.working(concurrency=9) as worker:
        task = await bench.start(kind)
        await bench.told(task, "here")
        worker._ask_to_stop(worker._leases[task.id], StopReason.TIMEOUT)  # of this try alone
        await bench.until(task, lambda found: found.attempt == 2)
        (first,) = worker._slots._kept
        stuck.release()
        ended = await bench.end(task)
        assert isinstance(await asyncio.wait_for(asyncio.shield(first), WITHIN), Stopped)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 2)
    assert await bench.lines(task) == ["too late"]  # of the second try alone


@KINDS
async def test_a_slot_that_is_taken_by_what_does_not_stop_is_not_given_away(bench: Bench, kind: str) -> None:
    stuck = Stuck(bench, timeout=0.02)
    worker = bench.worker(concurrency=1, force_after=0.2)
    running = asyncio.create_task(worker.run())
    await bench.end(await bench.start(kind))
    waiting = await bench.start("quick")
    assert await asyncio.wait_for(running, WITHIN) is False
    assert (await bench.get(waiting)).attempt == 0
    stuck.release()


@KINDS
async def test_a_lost_lease_leaves_behind_what_does_not_stop(bench: Bench, kind: str) -> None:
    stuck = Stuck(bench)
    async with bench.working() as worker:
        task = await bench.start(kind)
        await bench.told(task, "here")
        await bench.store.dismiss(worker.id, now=bench.clock())
        await until(lambda: worker._slots._kept)
        # Its next try, here or elsewhere, is another one.
        await bench.until(task, lambda found: found.losses == 1 and found.state is State.RUNNING)
        stuck.release()
        ended = await bench.end(task)
    assert (ended.state, ended.losses, ended.attempt) == (State.SUCCEEDED, 1, 1)
    assert [getattr(error, "reason", None) for error in stuck.after] == [StopReason.LEASE_LOST]
    assert await bench.lines(task) == ["too late"]


@KINDS
async def test_a_worker_with_half_its_slots_stuck_makes_way_for_a_fresh_one(bench: Bench, kind: str) -> None:
    stuck = Stuck(bench, timeout=0.02)
    parked = asyncio.Event()

    @bench.app.task
    async def patient(ctx: Context) -> None:
        while True:
            await ctx.checkpoint("here")
            parked.set()
            await asyncio.sleep(0.001)

    worker = bench.worker(concurrency=3)
    running = asyncio.create_task(worker.run())
    other = await bench.start("patient")
    await asyncio.wait_for(parked.wait(), WITHIN)
    tasks = [await bench.start(kind) for _ in range(2)]
    assert await asyncio.wait_for(running, WITHIN) is False
    for task in tasks:
        assert (await bench.get(task)).state is State.FAILED
    found = await bench.get(other)
    assert (found.state, found.attempt, found.losses) == (State.QUEUED, 1, 0)
    stuck.release()


@KINDS
async def test_what_stops_in_time_after_all_does_not_wear_the_worker(bench: Bench, kind: str) -> None:
    stuck = Stuck(bench, timeout=0.02)
    worker = bench.worker(concurrency=1, force_after=0.3)
    running = asyncio.create_task(worker.run())
    await bench.end(await bench.start(kind))
    stuck.release()  # before anybody counts how many are stuck
    await bench.end(await bench.start("quick"))
    worker.stop()
    assert await asyncio.wait_for(running, WITHIN) is True


async def test_a_process_that_can_not_be_started_costs_no_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.app.include(jobs.app)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    async with bench.working():
        task = await bench.end(await bench.start("linger"))
    assert task.failure is not None
    assert (task.failure.code, task.losses) == ("worker_lost", 3)
    assert "could not be run: [Errno 2]" in task.failure.message


async def test_p2_what_can_t_begin_just_now_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "POLL", 0.05)
    bench.app.include(jobs.app)
    async with bench.working():
        await bench.end(await bench.start("large", {"size": 1}))
        with no_descriptor_left():
            task, stopped = [await bench.start("large", {"size": 1}) for _ in range(2)]
            await until(lambda: caplog.text.count("can't begin; trying again: [Errno 24]") > 5)
            await bench.service.cancel(LOCAL, stopped.id)
            await bench.reach(stopped, State.CANCELLED)
        ended = await bench.end(task)
    assert (ended.state, ended.attempt, ended.losses) == (State.SUCCEEDED, 1, 0)
