"""What becomes of tasks whose worker or client has fallen silent."""

import asyncio
import logging

import pytest

from milepost import Context
from milepost.access.principal import LOCAL
from milepost.engine.heartbeat import LEASE
from milepost.engine.rescue import Rescue
from milepost.store.refusals import LeaseLost
from milepost.store.workers import Wanted, WorkerInfo
from milepost.task import State
from milepost.times import DAY, SECOND
from milepost.update import Update
from tests.engine.bench import Bench


@pytest.fixture
def loop(bench: Bench) -> Rescue:
    """The loop, round by round."""

    @bench.app.task
    async def work(ctx: Context) -> int:
        return 1

    return Rescue(bench.store, bench.service.files, bench.clock, timer=bench.clock)


async def watch(bench: Bench, loop: Rescue, length: int) -> None:
    """Let `length` µs pass, round by round."""
    for _ in range(length // loop.every):
        bench.clock.ahead += loop.every
        await loop.round()


async def enlist(bench: Bench, id: str) -> None:
    await bench.store.enlist(WorkerInfo(id, "host", 1, 1, ("work",)))


async def test_a_silent_workers_task_is_queued_again_and_after_three_losses_fails(
    bench: Bench, loop: Rescue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    task = found = await bench.start("work")
    for loss in (1, 2, 3):
        await enlist(bench, f"worker {loss}")
        claimed = await bench.store.claim(f"worker {loss}", [Wanted("work")], limit=1, now=bench.clock())
        assert not isinstance(claimed, LeaseLost)
        assert await loop.round() == SECOND
        assert (await bench.get(task)).state is State.RUNNING
        await watch(bench, loop, LEASE + SECOND)
        found = await bench.get(task)
        assert (found.losses, found.attempt) == (loss, 1)
        assert found.state is (State.FAILED if loss == 3 else State.QUEUED)
        assert caplog.messages[-1] == f"Lost and queued again or failed: {task.id}"
    assert found.failure is not None
    assert found.failure.code == "worker_lost"


async def test_a_watcher_that_was_suspended_has_seen_nothing(bench: Bench, loop: Rescue) -> None:
    task = await bench.start("work")
    await enlist(bench, "worker")
    await bench.store.claim("worker", [Wanted("work")], limit=1, now=bench.clock())
    await loop.round()
    bench.clock.ahead += DAY
    await loop.round()
    assert (await bench.get(task)).state is State.RUNNING
    await watch(bench, loop, LEASE)
    assert (await bench.get(task)).state is State.QUEUED


async def test_whoever_beats_keeps_its_tasks_whatever_the_clocks_say(bench: Bench, loop: Rescue) -> None:
    task = await bench.start("work")
    await enlist(bench, "worker")
    await bench.store.claim("worker", [Wanted("work")], limit=1, now=bench.clock())
    heart = bench.store.heart()
    try:
        for _ in range(4):
            await watch(bench, loop, LEASE - SECOND)
            assert await asyncio.to_thread(heart.beat, "worker")
    finally:
        heart.close()
    assert (await bench.get(task)).state is State.RUNNING


async def test_a_silent_clients_task_is_queued_again(bench: Bench, loop: Rescue) -> None:
    task = await bench.start("chat", runner="external", lease_seconds=10)
    await bench.service.update(LOCAL, task.id, Update(state=State.RUNNING))
    bench.clock.ahead += 11 * SECOND
    await loop.round()
    assert (await bench.get(task)).state is State.QUEUED


async def test_a_task_that_nobody_offers_says_so(bench: Bench, loop: Rescue) -> None:
    task = await bench.start("work")
    await loop.round()
    assert (await bench.get(task)).message == "No worker that is alive offers this type of task."
    await enlist(bench, "worker")
    await loop.round()
    assert (await bench.get(task)).message is None
