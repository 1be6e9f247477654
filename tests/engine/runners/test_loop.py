"""How async functions run on the worker's loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from milepost import Context, Parked, TaskError
from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.outcome import Outcome, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.runners.loop import LoopRunner
from milepost.engine.runners.protocol import Ended
from milepost.engine.task_type import TaskType
from tests.engine.leases import WITHIN, Book, lease_for, running

NOWHERE = Place("", "")


async def outcome_of(function: Callable[..., Awaitable[Any]], input: Any = None) -> Outcome:
    task_type = TaskType(function)
    ended = await LoopRunner().run(task_type, lease_for(Book(), task_type, input), NOWHERE)
    assert ended.lingering is None
    return ended.outcome


async def test_it_runs_with_its_input_converted() -> None:
    async def add(ctx: Context, *, a: int, b: int = 2) -> int:
        return a + b

    assert await outcome_of(add, {"a": 1}) == ValueReturned(b"3")


async def test_a_function_may_do_without_a_context() -> None:
    async def add(*, a: int) -> int:
        return a + 1

    assert await outcome_of(add, {"a": 1}) == ValueReturned(b"2")


async def test_input_that_does_not_fit_is_no_reason_to_try_again() -> None:
    async def add(ctx: Context, *, a: int) -> int:
        return a

    outcome = await outcome_of(add, {"a": "x"})
    assert isinstance(outcome, Raised)
    assert (outcome.failure.code, outcome.retry) == ("invalid_input", False)
    assert outcome.failure.message == "Expected `int`, got `str` - at `$.a`"


async def test_a_checkpoint_that_can_t_be_read_fails_the_try() -> None:
    async def work(ctx: Context) -> None: ...

    task_type = TaskType(work)
    lease = Book().lease(running("work"), saved=b"{")
    async with asyncio.timeout(WITHIN):
        ended = await LoopRunner().run(task_type, lease, NOWHERE)
    assert isinstance(ended.outcome, Raised)
    assert ended.outcome.failure.code == "exception"
    assert "DecodeError" in ended.outcome.failure.message


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("bad row"), "exception", "ValueError: bad row"),
        (TaskError("closed", code="closed"), "closed", "closed"),
        (SystemExit(3), "exception", "SystemExit: 3"),
        (asyncio.CancelledError(), "exception", "CancelledError"),
        (GeneratorExit(), "exception", "GeneratorExit"),
    ],
)
async def test_whatever_it_raises_ends_the_try_and_not_the_worker(
    error: BaseException, code: str, message: str
) -> None:
    async def work(ctx: Context) -> None:
        raise error

    outcome = await outcome_of(work)
    assert isinstance(outcome, Raised)
    assert (outcome.failure.code, outcome.failure.message, outcome.retry) == (code, message, True)
    assert outcome.traceback is not None
    assert "in work" in outcome.traceback


async def test_a_function_that_cancels_itself_has_failed() -> None:
    async def work(ctx: Context) -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()

    outcome = await outcome_of(work)
    assert isinstance(outcome, Raised)
    assert outcome.failure.message == "CancelledError"


def test_an_interrupt_from_the_keyboard_is_not_the_tasks_affair() -> None:
    async def work(ctx: Context) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(outcome_of(work))


async def test_parking_stops_it_and_passes_except_exception() -> None:
    book, task_type = Book(), TaskType(patient)
    lease = lease_for(book, task_type)
    lease.stop(StopReason.PAUSE)
    assert (await LoopRunner().run(task_type, lease, NOWHERE)).outcome == Stopped(StopReason.PAUSE)
    assert book.checkpoints == [1]


async def test_it_may_park_itself_for_what_it_was_asked_even_if_that_was_taken_back() -> None:
    async def work(ctx: Context) -> None:
        lease.stop(StopReason.PAUSE)
        is_asked = ctx.stopping
        lease.carry_on()
        if is_asked:
            raise Parked(StopReason.SHUTDOWN)

    task_type = TaskType(work)
    lease = lease_for(Book(), task_type)
    assert (await LoopRunner().run(task_type, lease, NOWHERE)).outcome == Stopped(StopReason.PAUSE)


async def patient(ctx: Context) -> None:
    while True:
        try:
            await ctx.checkpoint(1)
        except Exception:  # what a loop over many rows may do
            continue


class Started:
    """A function that runs on until force is used."""

    def __init__(self, on_cancel: Callable[[], None] = lambda: None) -> None:
        self.is_there = asyncio.Event()
        self.on_cancel = on_cancel
        self.cancelled = 0

        async def work(ctx: Context) -> str:
            self.is_there.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                self.on_cancel()
                raise
            return "never"

        self.task_type = TaskType(work)
        self.lease: Lease = lease_for(Book(), self.task_type)
        self.running: asyncio.Task[Ended] = asyncio.create_task(LoopRunner().run(self.task_type, self.lease, NOWHERE))


async def test_force_is_cancelled_error_at_the_next_await() -> None:
    started = Started()
    await started.is_there.wait()
    started.lease.stop(StopReason.CANCEL)
    started.lease.force(StopReason.CANCEL)
    outcome = (await started.running).outcome
    assert started.cancelled == 1
    assert isinstance(outcome, Raised)  # which does not count, as force was used
    assert outcome.failure.message == "CancelledError"


async def test_a_function_may_still_succeed_under_force() -> None:
    is_there = asyncio.Event()

    async def work(ctx: Context) -> str:
        is_there.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cleared up"
        return "never"

    task_type = TaskType(work)
    lease = lease_for(Book(), task_type)
    running = asyncio.create_task(LoopRunner().run(task_type, lease, NOWHERE))
    await is_there.wait()
    lease.force(StopReason.SHUTDOWN)
    assert (await running).outcome == ValueReturned(msgspec.json.encode("cleared up"))


class Deaf:
    """A function that swallows CancelledError until the test lets it go on; then it comes to a checkpoint."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled: asyncio.Queue[int] = asyncio.Queue()
        self.book = Book()

        async def work(ctx: Context) -> str:
            self.is_there.set()
            count = 0
            while not self.go_on.is_set():
                try:
                    await self.go_on.wait()
                except asyncio.CancelledError:
                    count += 1
                    self.cancelled.put_nowait(count)
            await ctx.checkpoint("on")
            return "done"

        self.task_type = TaskType(work)
        self.lease: Lease = lease_for(self.book, self.task_type)
        runner = LoopRunner(leave_after=0.01)
        self.running: asyncio.Task[Ended] = asyncio.create_task(runner.run(self.task_type, self.lease, NOWHERE))


@pytest.mark.parametrize("reason", [StopReason.TIMEOUT, StopReason.SHUTDOWN, StopReason.LEASE_LOST])
async def test_who_swallows_force_is_left_behind_and_tells_when_it_is_over(reason: StopReason) -> None:
    deaf = Deaf()
    await deaf.is_there.wait()
    deaf.lease.stop(reason)
    deaf.lease.force(reason)
    deaf.lease.force(reason)
    async with asyncio.timeout(WITHIN):
        ended = await deaf.running
        assert ended.outcome == Stopped(reason)
        assert ended.lingering is not None
        assert not ended.lingering.done()
        assert await deaf.cancelled.get() == 1
        deaf.go_on.set()
        assert await ended.lingering == Stopped(reason)  # its next checkpoint raised
    assert deaf.cancelled.empty()


async def test_a_cancel_is_swallowed_once_and_then_waits_for_the_next_checkpoint() -> None:
    deaf = Deaf()
    await deaf.is_there.wait()
    deaf.lease.stop(StopReason.CANCEL)
    deaf.lease.force(StopReason.CANCEL)
    async with asyncio.timeout(WITHIN):
        assert await deaf.cancelled.get() == 1
        done, _ = await asyncio.wait([deaf.running], timeout=0.05)  # some times as long as one is left behind after
        assert not done
        deaf.go_on.set()
        assert await deaf.running == Ended(Stopped(StopReason.CANCEL))
    assert deaf.cancelled.empty()
    assert deaf.book.checkpoints == ["on"]


async def test_a_timeout_ends_the_wait_of_a_cancel() -> None:
    deaf = Deaf()
    await deaf.is_there.wait()
    async with asyncio.timeout(WITHIN):
        for reason in (StopReason.CANCEL, StopReason.TIMEOUT):
            deaf.lease.stop(reason)
            deaf.lease.force(reason)
            await deaf.cancelled.get()
        ended = await deaf.running
        assert ended.outcome == Stopped(StopReason.TIMEOUT)
        assert ended.lingering is not None
        deaf.go_on.set()
        await ended.lingering


async def test_who_ends_before_it_is_left_behind_has_ended() -> None:
    deaf = Deaf()
    await deaf.is_there.wait()
    deaf.lease.force(StopReason.SHUTDOWN)  # without a request: the checkpoint lets it pass
    deaf.go_on.set()
    async with asyncio.timeout(WITHIN):
        assert await deaf.running == Ended(ValueReturned(b'"done"'))


async def test_force_before_it_began_keeps_it_from_beginning() -> None:
    started = Started()
    while not started.lease.forced:
        await asyncio.sleep(0)
        started.lease.force(StopReason.LEASE_LOST)
    await started.running
    assert started.cancelled <= 1


async def test_it_ends_with_the_worker() -> None:
    started = Started()
    await started.is_there.wait()
    started.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started.running
    await asyncio.sleep(0)
    assert started.cancelled == 1
