"""What pause, resume and cancel do to tasks that run, on each runner."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from milepost import BlockingContext, Context
from milepost.access.principal import LOCAL
from milepost.engine.outcome import StopReason
from milepost.task import State, Task
from milepost.times import HOUR
from milepost.trigger import Trigger
from tests.engine import jobs
from tests.engine.bench import WITHIN, Bench, until
from tests.engine.leases import Book
from tests.engine.processes import Pipe, gone


class Steps:
    """A task on each runner of this process: a checkpoint, then a wait for the test, again and again."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.go_on = asyncio.Event()
        self.thread_may_go_on = threading.Event()

        @bench.app.task
        async def loop(ctx: Context) -> str:
            count = ctx.saved or 0
            while count < 10:
                count += 1
                await ctx.checkpoint(count)
                ctx.progress(0.1, message=f"step {count}")
                await self.go_on.wait()
            return "done"

        @bench.app.task
        def thread(ctx: BlockingContext) -> str:
            count = ctx.saved or 0
            while count < 10:
                count += 1
                ctx.checkpoint(count)
                ctx.progress(0.1, message=f"step {count}")
                self.thread_may_go_on.wait(WITHIN)
            return "done"

    def release(self) -> None:
        self.go_on.set()
        self.thread_may_go_on.set()

    def hold(self) -> None:
        self.go_on.clear()
        self.thread_may_go_on.clear()


@pytest.fixture
def steps(bench: Bench) -> Steps:
    """Task types `loop` and `thread`."""
    return Steps(bench)


KINDS = pytest.mark.parametrize("kind", ["loop", "thread"])


@KINDS
async def test_p5_a_cancel_is_a_request_until_the_work_has_stopped(bench: Bench, steps: Steps, kind: str) -> None:
    async with bench.working(force_after=WITHIN):
        task = await bench.start(kind)
        await bench.told(task, "step 1")
        asked = await bench.service.cancel(LOCAL, task.id)
        assert (asked.state, asked.cancel_requested) == (State.RUNNING, True)
        steps.release()
        ended = await bench.end(task)
    assert (ended.state, ended.cancel_requested, ended.attempt) == (State.CANCELLED, False, 1)
    assert await bench.saved(task) == 2  # it went on to its next checkpoint
    assert await bench.states(task) == ["queued", "running", "cancelled"]


@KINDS
async def test_p5_a_pause_is_a_request_until_the_work_has_stopped(bench: Bench, steps: Steps, kind: str) -> None:
    async with bench.working():
        task = await bench.start(kind)
        await bench.told(task, "step 1")
        asked = await bench.service.pause(LOCAL, task.id)
        assert (asked.state, asked.pause_requested) == (State.RUNNING, True)
        steps.release()
        paused = await bench.reach(task, State.PAUSED)
        assert (paused.pause_requested, paused.attempt, paused.worker) == (False, 1, None)
        await bench.service.resume(LOCAL, task.id)
        ended = await bench.end(task)
    assert (ended.state, ended.attempt, ended.losses) == (State.SUCCEEDED, 1, 0)
    assert await bench.states(task) == ["queued", "running", "paused", "queued", "running", "succeeded"]


@KINDS
async def test_a_pause_that_is_taken_back_in_time_changes_nothing(bench: Bench, steps: Steps, kind: str) -> None:
    async with bench.working() as worker:
        task = await bench.start(kind)
        await bench.told(task, "step 1")
        await bench.service.pause(LOCAL, task.id)
        lease = worker._leases[task.id]
        await until(lambda: lease.stopping is StopReason.PAUSE)
        await bench.service.resume(LOCAL, task.id)
        await until(lambda: lease.stopping is None)
        steps.release()
        ended = await bench.end(task)
    assert await bench.states(ended) == ["queued", "running", "succeeded"]


@KINDS
async def test_finishing_first_wins_over_a_cancel(bench: Bench, kind: str) -> None:
    go_on, thread_may_go_on = asyncio.Event(), threading.Event()

    @bench.app.task
    async def loop(ctx: Context) -> str:
        ctx.progress(0.5, message="here")
        await go_on.wait()
        return "done"

    @bench.app.task
    def thread(ctx: BlockingContext) -> str:
        ctx.progress(0.5, message="here")
        thread_may_go_on.wait(WITHIN)
        return "done"

    async with bench.working(force_after=WITHIN):
        task = await bench.start(kind)
        await bench.told(task, "here")
        await bench.service.cancel(LOCAL, task.id)
        go_on.set()
        thread_may_go_on.set()
        ended = await bench.end(task)
    assert (ended.state, ended.cancel_requested) == (State.SUCCEEDED, False)
    assert await bench.result(ended) == "done"


async def test_a_loop_task_without_checkpoints_is_cancelled_by_force(bench: Bench) -> None:
    seen: list[str] = []

    @bench.app.task(retries=3)
    async def work(ctx: Context) -> None:
        ctx.progress(0, message="here")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            ctx.log("clearing up")
            raise

    async with bench.working():
        task = await bench.start("work")
        await bench.told(task, "here")
        await bench.service.cancel(LOCAL, task.id)
        ended = await bench.end(task)
    assert (ended.state, ended.failure) == (State.CANCELLED, None)
    assert seen == ["cancelled"]
    assert await bench.lines(task) == ["clearing up"]


async def test_a_thread_is_cancelled_at_checkpoints_only(bench: Bench, steps: Steps) -> None:
    async with bench.working(force_after=0.01) as worker:
        task = await bench.start("thread")
        await bench.told(task, "step 1")
        await bench.service.cancel(LOCAL, task.id)
        await until(lambda: worker._leases[task.id].forced)
        assert (await bench.get(task)).state is State.RUNNING
        steps.release()
        assert (await bench.end(task)).state is State.CANCELLED
        assert not worker._slots._kept


async def test_a_process_stops_at_its_checkpoint(bench: Bench, pipe: Pipe) -> None:
    bench.app.include(jobs.app)
    async with bench.working(force_after=WITHIN):
        task = await bench.start("step", {"pipe": pipe.path})
        await bench.until(task, lambda found: found.log_seq >= 3)
        asked = await bench.service.pause(LOCAL, task.id)
        assert (asked.state, asked.pause_requested) == (State.RUNNING, True)
        pipe.write("go on")
        # The request may reach the process a checkpoint later than the word.
        pipe.write("go on")
        paused = await bench.reach(task, State.PAUSED)
        assert paused.attempt == 1
        before = await bench.saved(task)
        await bench.service.resume(LOCAL, task.id)
        await bench.told(task, f"step {before + 1}")
        await bench.service.cancel(LOCAL, task.id)
        for _ in range(3):
            pipe.write("go on")
        ended = await bench.end(task)
    assert (ended.state, ended.attempt, ended.losses) == (State.CANCELLED, 1, 0)


async def test_a_process_that_does_not_stop_is_killed_with_its_children(bench: Bench, pipe: Pipe) -> None:
    bench.app.include(jobs.app)
    async with bench.working():
        task = await bench.start("ignore", {"pipe": pipe.path})
        pids = [int(pid) for pid in (await pipe.read()).split()]
        await bench.service.cancel(LOCAL, task.id)
        ended = await bench.end(task)
        for pid in pids:
            await gone(pid)
    assert (ended.state, ended.failure, ended.losses) == (State.CANCELLED, None, 0)


async def test_what_fails_because_it_was_terminated_is_cancelled(bench: Bench, pipe: Pipe) -> None:
    bench.app.include(jobs.app)
    async with bench.working(force_after=WITHIN):
        task = await bench.start("call_a_program", {"pipe": pipe.path})
        await pipe.read()
        await bench.service.cancel(LOCAL, task.id)
        assert (await bench.end(task)).state is State.CANCELLED


CANCEL = """
import asyncio, sys
from milepost import Milepost
from milepost.access.principal import LOCAL

async def main():
    async with Milepost(sys.argv[1]).opened() as service:
        await service.cancel(LOCAL, sys.argv[2])

asyncio.run(main())
"""


async def test_a_request_reaches_a_task_that_another_process_asks_to_stop(bench: Bench, steps: Steps) -> None:
    async with bench.working():
        task = await bench.start("loop")
        await bench.told(task, "step 1")
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", CANCEL, str(bench.app.path), task.id)
        assert await asyncio.wait_for(process.wait(), WITHIN) == 0
        steps.release()
        assert (await bench.end(task)).state is State.CANCELLED


async def test_a_request_that_came_right_after_the_claim_counts(bench: Bench) -> None:
    """It may be committed before the worker knows that it has the task."""
    asked: list[Task] = []

    @bench.app.task
    async def work(ctx: Context) -> None:
        await asyncio.Event().wait()

    async with bench.working():
        for _ in range(20):
            task = await bench.start("work")
            # Asks from the first moment on at which the record says running.
            await bench.reach(task, State.RUNNING)
            asked.append(await bench.service.cancel(LOCAL, task.id))
        for task in asked:
            assert (await bench.end(task)).state is State.CANCELLED


async def test_a_request_is_for_one_lease_only(bench: Bench, steps: Steps) -> None:
    async with bench.working() as worker:
        task = await bench.start("loop")
        await bench.told(task, "step 1")
        now = worker._leases[task.id]
        before = Book().lease(replace(now.task, epoch=now.task.epoch - 1))
        worker._leases[task.id] = before  # as if its end were known a little later than the next claim
        await bench.service.cancel(LOCAL, task.id)
        await until(lambda: not worker._may_be_asked.is_set())
        assert before.stopping is None
        worker._leases[task.id] = now
        worker._may_be_asked.set()
        await until(lambda: now.stopping is StopReason.CANCEL)
        steps.release()
        assert (await bench.end(task)).state is State.CANCELLED
        await until(lambda: not worker._leases)


async def test_cancel_ends_a_repetition_and_a_waiting_task_at_once(bench: Bench, steps: Steps) -> None:
    async with bench.working():
        task = await bench.start("loop", trigger=Trigger(every=HOUR))
        await bench.told(task, "step 1")
        await bench.service.cancel(LOCAL, task.id)
        steps.release()
        ended = await bench.end(task)
        assert (ended.state, ended.next_run_at) == (State.CANCELLED, None)
        waiting = await bench.start("loop", run_at=bench.clock() + HOUR)
        assert (await bench.service.cancel(LOCAL, waiting.id)).state is State.CANCELLED
    assert not Path(bench.app._place().folders, task.id).exists()


async def test_p5_a_request_that_can_t_be_passed_on_keeps_no_other_from_its_task(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.progress(0, message="here")
        while True:
            await ctx.checkpoint()
            await asyncio.sleep(0.001)

    def fail(_: StopReason | None) -> None:
        raise RuntimeError("the wire is closed")

    async with bench.working(force_after=WITHIN) as worker:
        tasks = [await bench.told(await bench.start("work"), "here") for _ in range(2)]
        worker._leases[tasks[0].id].hook(on_stop=fail, on_force=fail)
        for task in tasks:
            await bench.service.cancel(LOCAL, task.id)
            await bench.reach(task, State.CANCELLED)
    assert "the wire is closed" in caplog.text
