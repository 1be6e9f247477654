"""What becomes of tasks when their worker is told to stop."""

import asyncio
import signal
import threading
from typing import Any

import pytest

from milepost import BlockingContext, Context
from milepost.access.principal import LOCAL
from milepost.engine.outcome import StopReason
from milepost.engine.worker import Worker
from milepost.task import State, Task
from tests.engine import jobs
from tests.engine.bench import WITHIN, Bench, until
from tests.engine.processes import Pipe, worker_process


class Shift:
    """A worker that the test stops."""

    def __init__(self, bench: Bench, **options: Any) -> None:
        self.worker: Worker = bench.worker(**options)
        self.running = asyncio.create_task(self.worker.run())

    async def end(self) -> bool:
        """Stop it and wait for it."""
        self.worker.stop()
        return await asyncio.wait_for(self.running, WITHIN)


async def carried_on(bench: Bench, *tasks: Task) -> None:
    """They were released without counting anything, and the next worker brings them to their end."""
    for task in tasks:
        found = await bench.get(task)
        assert (found.state, found.attempt, found.losses, found.worker) == (State.QUEUED, 1, 0, None)
    async with bench.working():
        for task in tasks:
            ended = await bench.end(task)
            assert (ended.state, ended.attempt, ended.losses) == (State.SUCCEEDED, 1, 0)


async def test_tasks_park_at_their_checkpoint_and_the_next_worker_carries_on(bench: Bench) -> None:
    arrived = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    second = asyncio.Event()

    @bench.app.task
    async def on_the_loop(ctx: Context) -> int:
        number = int(ctx.saved or 0)
        while not second.is_set():
            number += 1
            await ctx.checkpoint(number)
            arrived.release()
            await asyncio.sleep(0.001)
        return number

    @bench.app.task
    def in_a_thread(ctx: BlockingContext) -> int:
        number = int(ctx.saved or 0)
        while not second.is_set():
            number += 1
            ctx.checkpoint(number)
            loop.call_soon_threadsafe(arrived.release)
        return number

    shift = Shift(bench, grace=WITHIN)
    tasks = [await bench.start(name) for name in ("on_the_loop", "in_a_thread")]
    for task in tasks:
        await bench.until(task, lambda found: found.version > 2)
    assert await shift.end()
    second.set()
    saved = [await bench.saved(task) for task in tasks]
    await carried_on(bench, *tasks)
    assert [await bench.result(task) for task in tasks] == saved
    assert min(saved) >= 1


async def test_a_task_that_ends_within_the_grace_has_ended(bench: Bench) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> str:
        ctx.progress(0, message="here")
        await go_on.wait()
        return "done"

    shift = Shift(bench, grace=WITHIN)
    task = await bench.start("work")
    await bench.told(task, "here")
    shift.worker.stop()
    later = await bench.start("work")
    go_on.set()
    assert await shift.end()
    assert (await bench.get(task)).state is State.SUCCEEDED
    assert (await bench.get(later)).state is State.QUEUED  # nothing more was claimed


async def test_what_does_not_stop_in_time_is_released(bench: Bench) -> None:
    thread_may_end = threading.Event()
    second = asyncio.Event()
    here = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    @bench.app.task
    async def patient(ctx: Context) -> str:
        here.release()
        if not second.is_set():
            await asyncio.Event().wait()
        return "done"

    @bench.app.task
    async def stubborn(ctx: Context) -> str:
        here.release()
        while not second.is_set():
            try:
                await second.wait()
            except asyncio.CancelledError:
                continue
        return "done"

    @bench.app.task
    def in_a_thread(ctx: BlockingContext) -> str:
        loop.call_soon_threadsafe(here.release)
        thread_may_end.wait(WITHIN)
        return "done"

    shift = Shift(bench, grace=0.01)
    tasks = [await bench.start(name) for name in ("patient", "stubborn", "in_a_thread")]
    for _ in tasks:
        await here.acquire()
    assert await shift.end()
    second.set()
    thread_may_end.set()
    await carried_on(bench, *tasks)


async def test_a_cancel_that_waits_for_a_thread_is_carried_out(bench: Bench) -> None:
    go_on = threading.Event()

    @bench.app.task
    def block(ctx: BlockingContext) -> None:
        ctx.progress(0, message="here")
        go_on.wait(WITHIN)

    shift = Shift(bench, grace=0.01)
    task = await bench.start("block")
    await bench.told(task, "here")
    await bench.service.cancel(LOCAL, task.id)
    await until(lambda: shift.worker._leases[task.id].stopping is StopReason.CANCEL)
    assert await shift.end()
    found = await bench.get(task)
    assert (found.state, found.losses) == (State.CANCELLED, 0)
    go_on.set()


async def test_a_process_is_released_too(bench: Bench, pipe: Pipe) -> None:
    bench.app.include(jobs.app)
    shift = Shift(bench, grace=0.01)
    task = await bench.start("step", {"pipe": pipe.path})
    await bench.until(task, lambda found: found.log_seq >= 3)
    assert await shift.end()
    found = await bench.get(task)
    assert (found.state, found.attempt, found.losses) == (State.QUEUED, 1, 0)
    pipe.write("end")
    async with bench.working():
        await bench.end(task)
    assert await bench.result(task) == "2 steps"


async def test_a_task_that_was_claimed_while_the_worker_was_told_to_stop_is_released(bench: Bench) -> None:
    ran: list[str] = []

    @bench.app.task
    async def work(ctx: Context) -> None:
        ran.append(ctx.id)

    worker = bench.worker()
    task = await bench.start("work")
    claim = bench.store.claim

    async def claim_and_stop(*args: Any, **options: Any) -> Any:
        claimed = await claim(*args, **options)
        worker.stop()
        return claimed

    bench.store.claim = claim_and_stop  # type: ignore[method-assign]
    assert await asyncio.wait_for(worker.run(), WITHIN)
    bench.store.claim = claim  # type: ignore[method-assign]
    assert ran == []
    await carried_on(bench, task)


async def test_a_worker_that_is_cancelled_takes_its_tasks_along(bench: Bench) -> None:
    cancelled: list[str] = []

    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.progress(0, message="here")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(ctx.id)

    shift = Shift(bench)
    task = await bench.start("work")
    await bench.told(task, "here")
    shift.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shift.running
    await until(lambda: cancelled == [task.id])


async def test_sigterm_releases_what_runs_and_the_process_ends(bench: Bench, pipe: Pipe) -> None:
    bench.app.include(jobs.app)
    tasks = [await bench.start("tick"), await bench.start("block", {"pipe": pipe.path})]
    async with worker_process(bench.app.path) as process:
        for task in tasks:
            await bench.until(task, lambda found: found.version > 2)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WITHIN) == 0
    for task in tasks:
        found = await bench.get(task)
        assert (found.state, found.attempt, found.losses) == (State.QUEUED, 1, 0)
    assert await bench.store.workers() == []
