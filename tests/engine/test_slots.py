"""How many slots are left when functions keep theirs."""

import asyncio

import pytest

from milepost.engine.outcome import Outcome, Stopped, StopReason
from milepost.engine.slots import Slots


def left() -> "asyncio.Future[Outcome]":
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(("number", "worn_at", "worn"), [(1, None, 1), (3, None, 2), (4, None, 2), (4, 4, 4)])
async def test_they_are_worn_when_half_of_them_or_as_many_as_said_are_kept(
    number: int, worn_at: int | None, worn: int
) -> None:
    slots = Slots(number, worn_at=worn_at)
    for kept in range(number):
        assert (slots.kept, slots.are_worn) == (kept, kept >= worn)
        slots.keep(left())
    assert slots.are_worn


async def test_one_is_free_again_however_its_function_ends() -> None:
    ends = [left() for _ in range(3)]
    slots = Slots(9)
    for each in ends:
        slots.keep(each)
    freed = asyncio.create_task(slots.freed())
    ends[0].set_result(Stopped(StopReason.TIMEOUT))
    async with asyncio.timeout(10):
        await freed
    assert slots.kept == 2
    ends[1].set_exception(ValueError("late"))
    ends[2].cancel()
    await asyncio.wait(ends)
    await asyncio.sleep(0)
    assert slots.kept == 0
