"""How plain functions run in threads."""

import asyncio
import errno
import threading
from collections.abc import Callable
from typing import Any

import pytest

from milepost import BlockingContext
from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.outcome import Outcome, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.runners.protocol import Ended
from milepost.engine.runners.thread import ThreadRunner
from milepost.engine.task_type import TaskType
from tests.engine.leases import Book, lease_for, running

NOWHERE = Place("", "")
WITHIN = 10


async def outcome_of(function: Callable[..., Any], input: Any = None) -> Outcome:
    task_type = TaskType(function)
    ended = await ThreadRunner().run(task_type, lease_for(Book(), task_type, input), NOWHERE)
    assert ended.lingering is None
    return ended.outcome


async def test_it_runs_beside_the_loop_with_its_input_converted() -> None:
    threads: list[str] = []

    def add(ctx: BlockingContext, *, a: int, b: int = 2) -> int:
        threads.append(threading.current_thread().name)
        return a + b

    assert await outcome_of(add, {"a": 1}) == ValueReturned(b"3")
    assert threads == [f"task {lease_for(Book(), TaskType(add)).task.id}"]


async def test_input_that_does_not_fit_is_no_reason_to_try_again() -> None:
    def add(*, a: int) -> int:
        return a

    outcome = await outcome_of(add, {"b": 1})
    assert isinstance(outcome, Raised)
    assert (outcome.failure.code, outcome.retry) == ("invalid_input", False)


@pytest.mark.parametrize("error", [ValueError("3"), SystemExit(3), KeyboardInterrupt(3)])
async def test_whatever_it_raises_ends_the_try_and_not_the_worker(error: BaseException) -> None:
    def work(ctx: BlockingContext) -> None:
        raise error

    outcome = await outcome_of(work)
    assert isinstance(outcome, Raised)
    assert outcome.failure.message == f"{type(error).__name__}: 3"


async def test_a_checkpoint_that_can_t_be_read_fails_the_try() -> None:
    def work(ctx: BlockingContext) -> None: ...

    task_type = TaskType(work)
    lease = Book().lease(running("work"), saved=b"{")
    async with asyncio.timeout(WITHIN):
        ended = await ThreadRunner().run(task_type, lease, NOWHERE)
    assert isinstance(ended.outcome, Raised)
    assert ended.outcome.failure.code == "exception"
    assert "DecodeError" in ended.outcome.failure.message


async def test_without_room_for_a_thread_it_does_not_begin() -> None:
    def work(ctx: BlockingContext) -> None:
        raise AssertionError

    task_type = TaskType(work)
    size = threading.stack_size(1 << 47)  # more than there are addresses for
    try:
        with pytest.raises(OSError, match="can't start new thread") as failed:
            await ThreadRunner().run(task_type, lease_for(Book(), task_type), NOWHERE)
    finally:
        threading.stack_size(size)
    assert failed.value.errno == errno.EAGAIN


async def test_parking_stops_it_and_passes_except_exception() -> None:
    def patient(ctx: BlockingContext) -> None:
        while True:
            try:
                ctx.checkpoint(1)
            except Exception:
                continue

    book, task_type = Book(), TaskType(patient)
    lease = lease_for(book, task_type)
    lease.stop(StopReason.SHUTDOWN)
    assert (await ThreadRunner().run(task_type, lease, NOWHERE)).outcome == Stopped(StopReason.SHUTDOWN)
    assert book.checkpoints == [1]


class Deaf:
    """A function that looks at no checkpoint until the test lets it go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.ended: list[str] = []
        is_there = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work(ctx: BlockingContext) -> str:
            loop.call_soon_threadsafe(is_there.set)
            self.go_on.wait(WITHIN)
            self.ended.append("yes")
            return "done"

        self.is_there = is_there
        self.task_type = TaskType(work)
        self.lease: Lease = lease_for(Book(), self.task_type)
        self.running: asyncio.Task[Ended] = asyncio.create_task(ThreadRunner().run(self.task_type, self.lease, NOWHERE))


async def test_a_cancel_waits_for_its_end_whatever_force_is_used() -> None:
    deaf = Deaf()
    await deaf.is_there.wait()
    deaf.lease.stop(StopReason.CANCEL)
    deaf.lease.force(StopReason.CANCEL)
    await asyncio.sleep(0)
    assert not deaf.running.done()
    deaf.go_on.set()
    assert await deaf.running == Ended(ValueReturned(b'"done"'))


@pytest.mark.parametrize("reason", [StopReason.TIMEOUT, StopReason.SHUTDOWN, StopReason.LEASE_LOST])
async def test_force_leaves_it_behind_and_tells_when_it_is_over(reason: StopReason) -> None:
    deaf = Deaf()
    await deaf.is_there.wait()
    deaf.lease.force(reason)
    deaf.lease.force(reason)
    ended = await deaf.running
    assert ended.outcome == Stopped(reason)
    assert ended.lingering is not None
    assert not ended.lingering.done()
    deaf.go_on.set()
    async with asyncio.timeout(WITHIN):
        assert await ended.lingering == ValueReturned(b'"done"')


def threads_of_tasks() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("task ")]


async def test_finishing_first_wins_over_being_left() -> None:
    deaf = Deaf()
    await deaf.is_there.wait()
    deaf.go_on.set()
    for thread in threads_of_tasks():
        thread.join(WITHIN)  # the loop does not move meanwhile: it hears of the end and of force at once
    deaf.lease.force(StopReason.TIMEOUT)
    assert await deaf.running == Ended(ValueReturned(b'"done"'))


def test_a_thread_that_outlives_the_loop_ends_in_silence() -> None:
    ends: list[threading.Event] = []

    async def work() -> None:
        deaf = Deaf()
        await deaf.is_there.wait()
        deaf.lease.force(StopReason.SHUTDOWN)
        await deaf.running
        ends.append(deaf.go_on)

    asyncio.run(work())
    (thread,) = threads_of_tasks()
    ends[0].set()
    thread.join(WITHIN)
    assert not thread.is_alive()
