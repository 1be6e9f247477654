"""How edits of one turn reach the store together, and fail alone."""

import asyncio
from collections.abc import Callable

import pytest

from milepost import lifecycle, times
from milepost.engine.edits import Edits
from milepost.lifecycle import Report, Step
from milepost.store.protocol import LeasedEdit
from milepost.store.refusals import LeaseLost, NotStorable
from milepost.store.workers import Wanted, WorkerInfo
from milepost.task import State, Task
from tests.engine.bench import Bench

WORKER = WorkerInfo("0198f4f4-0000-7000-8000-000000000000", "here", 1, 9, ("work",))


class Calls:
    """A clock that counts: it is asked once for each call to the store."""

    count = 0

    def __call__(self) -> int:
        self.count += 1
        return times.now()


@pytest.fixture
async def running(bench: Bench) -> list[Task]:
    """Three tasks under the lease of a worker that does nothing."""

    @bench.app.task
    async def work() -> None: ...

    for _ in range(3):
        await bench.start("work")
    await bench.store.enlist(WORKER)
    claimed = await bench.store.claim(WORKER.id, [Wanted("work", None)], limit=3, now=times.now())
    assert not isinstance(claimed, LeaseLost)
    return [one.task for one in claimed]


def edit(task: Task, apply: Callable[[Task], Step] | None = None, *, epoch: int = 1) -> LeasedEdit:
    def says_its_id(task: Task) -> Step:
        return lifecycle.report(task, now=times.now(), report=Report(message=f"I am {task.id}"))

    return LeasedEdit(task.id, epoch, apply or says_its_id)


def unstorable(task: Task) -> Step:
    return lifecycle.report(task, now=times.now(), report=Report(message="\ud800"))


async def test_the_edits_of_one_turn_are_one_call(bench: Bench, running: list[Task]) -> None:
    calls = Calls()
    edits = Edits(bench.store, calls)
    outcomes = await asyncio.gather(*(edits.change(edit(task)) for task in running))
    assert calls.count == 1
    assert outcomes == [await bench.get(task) for task in running]
    assert [task.message for task in outcomes if isinstance(task, Task)] == [f"I am {task.id}" for task in running]


async def test_the_next_turn_is_another_call(bench: Bench, running: list[Task]) -> None:
    calls = Calls()
    edits = Edits(bench.store, calls)
    for number, task in enumerate(running, 1):
        await edits.change(edit(task))
        assert calls.count == number


async def test_p2_a_lost_lease_among_others_changes_nothing(bench: Bench, running: list[Task]) -> None:
    first, lost, last = running
    edits = Edits(bench.store, times.now)
    outcomes = await asyncio.gather(
        edits.change(edit(first)), edits.change(edit(lost, epoch=2)), edits.change(edit(last))
    )
    assert isinstance(outcomes[1], LeaseLost)
    assert [outcomes[0], outcomes[2]] == [await bench.get(first), await bench.get(last)]
    assert await bench.get(lost) == lost


async def test_what_no_store_can_take_fails_alone(bench: Bench, running: list[Task]) -> None:
    first, bad, last = running
    edits = Edits(bench.store, times.now)
    outcomes = await asyncio.gather(
        edits.change(edit(first)), edits.change(edit(bad, unstorable)), edits.change(edit(last)), return_exceptions=True
    )
    assert isinstance(outcomes[1], NotStorable)
    assert [outcomes[0], outcomes[2]] == [await bench.get(first), await bench.get(last)]
    assert [(await bench.get(task)).version for task in running] == [3, 2, 3]


async def test_who_is_cancelled_keeps_nobody_else_waiting(bench: Bench, running: list[Task]) -> None:
    first, gone, last = running
    edits = Edits(bench.store, times.now)
    waiting = [asyncio.create_task(edits.change(edit(task))) for task in (first, gone, last)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert [outcomes[0], outcomes[2]] == [await bench.get(first), await bench.get(last)]
    assert (await bench.get(gone)).message == f"I am {gone.id}"


async def test_who_is_cancelled_need_not_hear_of_an_error(bench: Bench, running: list[Task]) -> None:
    edits = Edits(bench.store, times.now)
    waiting = asyncio.create_task(edits.change(edit(running[0], unstorable)))
    await asyncio.sleep(0)
    waiting.cancel()
    assert isinstance((await edits.change(edit(running[1]))), Task)
    assert waiting.cancelled()
    assert (await bench.get(running[0])).state is State.RUNNING
