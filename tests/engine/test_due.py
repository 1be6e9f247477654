"""When scheduled tasks and next runs come into the queue."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from milepost import Context
from milepost.engine import due
from milepost.engine.background import SHORTEST
from milepost.engine.due import Due
from milepost.task import State
from milepost.times import HOUR, MILLISECOND, SECOND, Clock
from milepost.trigger import Trigger
from tests.engine.bench import WITHIN, Bench


@pytest.fixture
def loop(bench: Bench) -> Due:
    """The loop, round by round."""

    @bench.app.task
    async def work(ctx: Context) -> int:
        return 1

    return Due(bench.store, bench.service.files, bench.clock)


async def test_what_is_due_is_queued_and_the_rest_stays(bench: Bench, loop: Due) -> None:
    soon = await bench.start("work", run_at=bench.clock() + HOUR)
    late = await bench.start("work", run_at=bench.clock() + 3 * HOUR)
    await loop.round()
    assert (await bench.get(soon)).state is State.SCHEDULED
    bench.clock.ahead += 2 * HOUR
    await loop.round()
    assert (await bench.get(soon)).state is State.QUEUED
    assert (await bench.get(late)).state is State.SCHEDULED


@pytest.mark.usefixtures("loop")
async def test_the_pause_ends_when_the_next_is_due(bench: Bench) -> None:
    task = await bench.start("work", run_at=bench.clock() + HOUR)
    assert task.run_at is not None
    for early, pause in ((HOUR, SECOND), (SECOND // 2, SECOND // 2), (1, SHORTEST), (0, SECOND)):
        moment = itertools.repeat(task.run_at - early)
        assert await Due(bench.store, bench.service.files, moment.__next__).round() == pause
    assert (await bench.get(task)).state is State.QUEUED


async def test_a_missed_start_fails(bench: Bench, loop: Due) -> None:
    task = await bench.start("work", start_by=bench.clock() + HOUR)
    bench.clock.ahead += HOUR
    await loop.round()
    found = await bench.get(task)
    assert found.state is State.FAILED
    assert found.failure is not None
    assert found.failure.code == "start_by_passed"


async def test_a_full_batch_is_followed_by_the_next_at_once(
    bench: Bench, loop: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BATCH", 2)
    tasks = [await bench.start("work", run_at=bench.clock() + SECOND) for _ in range(3)]
    bench.clock.ahead += HOUR
    assert [await loop.round(), await loop.round()] == [0, SECOND]
    assert {(await bench.get(task)).state for task in tasks} == {State.QUEUED}


async def test_batches_follow_each_other_without_a_pause(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "BATCH", 1)

    @bench.app.task
    async def work(ctx: Context) -> None: ...

    tasks = [await bench.start("work", run_at=bench.clock() + HOUR) for _ in range(3)]
    bench.clock.ahead += HOUR
    sleep = Sleep()
    async with running(bench, sleep):
        await sleep.long.get()
    assert {(await bench.get(task)).state for task in tasks} == {State.QUEUED}


class Sleep:
    """A sleep whose end the test decides; short ones pass at once."""

    def __init__(self) -> None:
        self.long: asyncio.Queue[float] = asyncio.Queue()
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        if seconds * SECOND > SHORTEST:
            self.long.put_nowait(seconds)
            await self.over.wait()


@contextlib.asynccontextmanager
async def running(bench: Bench, sleep: Sleep, clock: Clock | None = None) -> AsyncIterator[None]:
    loop = Due(bench.store, bench.service.files, clock or bench.clock, sleep)
    task = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(WITHIN):
            yield
    finally:
        task.cancel()


@pytest.mark.usefixtures("loop")
async def test_what_is_scheduled_during_a_pause_is_in_time(bench: Bench) -> None:
    sleep, moment = Sleep(), bench.clock() + HOUR
    async with running(bench, sleep, lambda: moment):
        await sleep.long.get()  # nothing is due, and this pause has no end of its own
        task = await bench.start("work", run_at=moment + 50 * MILLISECOND)
        while await sleep.long.get() != pytest.approx((50 * MILLISECOND - SHORTEST) / SECOND):
            pass  # other commits than that of the start may have woken it
        moment += 50 * MILLISECOND
        sleep.over.set()
        await bench.reach(task, State.QUEUED)


@pytest.mark.usefixtures("loop")
async def test_a_pause_that_nothing_interrupts_passes(bench: Bench) -> None:
    await bench.publish()
    sleep = Sleep()
    async with running(bench, sleep):
        assert await sleep.long.get() == pytest.approx((SECOND - SHORTEST) / SECOND)
        sleep.over.set()
        await sleep.long.get()


async def test_missed_runs_collapse_into_one(bench: Bench, loop: Due) -> None:
    task = await bench.start("work", trigger=Trigger(every=SECOND))
    async with bench.working(loops=()):
        await loop.round()
        first = await bench.until(task, lambda found: found.has_succeeded)
    assert (first.state, first.run) == (State.SUCCEEDED, 1)
    bench.clock.ahead += HOUR
    await loop.round()
    again = await bench.reach(task, State.QUEUED)
    assert again.run == 2
    async with bench.working(loops=()):
        second = await bench.until(task, lambda found: found.run == 2 and found.state is State.SUCCEEDED)
    assert second.next_run_at is not None
    assert second.next_run_at > bench.clock() - SECOND
    assert second.run == 2
