"""How async functions run on the worker's loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from milepost import Context, TaskError
from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.outcome import Outcome, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.runners.loop import LoopRunner
from milepost.engine.runners.protocol import Ended
from milepost.engine.task_type import TaskType
from tests.engine.leases import Book, lease_for

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
