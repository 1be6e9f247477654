"""What becomes of tasks whose worker dies, or is silent for too long."""

import asyncio
import os
import signal
import threading

import psutil
import pytest

from milepost import Context
from milepost.access.principal import LOCAL
from milepost.engine import folders
from milepost.engine.heartbeat import BEATS, LEASE
from milepost.engine.worker import Worker
from milepost.store.workers import Heart, WorkerInfo
from milepost.task import State, Task
from milepost.times import SECOND
from tests.chaos.disk import SmallDisk
from tests.engine import jobs
from tests.engine.bench import WITHIN, Bench, until
from tests.engine.processes import Pipe, gone, suspend, worker_process

SHORT = SECOND


@pytest.fixture(autouse=True)
def _types(bench: Bench) -> None:
    bench.app.include(jobs.app)


def is_lost(task: Task) -> bool:
    return task.losses == 1


async def enlisted(bench: Bench, pid: int, *, besides: str = "") -> WorkerInfo:
    """The worker of a process, once it has a lease (another than `besides`)."""
    async with asyncio.timeout(WITHIN):
        async for _ in bench.store.changes():
            for worker in await bench.store.workers():
                if worker.pid == pid and worker.id != besides:
                    return worker
    raise AssertionError("the store ended")


async def test_p2_a_killed_workers_task_runs_elsewhere_within_ten_seconds(bench: Bench, pipe: Pipe) -> None:
    task = await bench.start("count", {"to": 3, "pipe": pipe.path})
    async with worker_process(bench.app.path, lease=LEASE) as first:
        await bench.until(task, lambda found: found.log_seq >= 3)
        async with bench.working():
            first.send_signal(signal.SIGKILL)
            async with asyncio.timeout(10):
                await bench.until(task, lambda found: found.losses == 1 and found.state is State.RUNNING)
            for _ in range(2):
                pipe.write("go on")
            ended = await bench.end(task)
    result = await bench.result(task)
    assert (ended.attempt, ended.losses) == (1, 1)
    assert result["began"] == 1  # where the last checkpoint was
    assert result["pid"] not in (first.pid, os.getpid())  # in a process of its own from now on
    lost = [entry for entry in await bench.entries(task) if entry.message == "worker lost"]
    assert [(entry.level, entry.fields) for entry in lost] == [("warning", {"losses": 1})]


async def test_after_three_losses_a_task_has_failed(bench: Bench) -> None:
    async with bench.working():
        task = await bench.end(await bench.start("fail", {"how": "os._exit"}))
    assert task.failure is not None
    assert (task.state, task.failure.code, task.losses, task.attempt) == (State.FAILED, "worker_lost", 3, 1)
    assert task.failure.message == "What ran this task was lost 3 times (exit code 4)."
    outcomes = [entry.message for entry in await bench.entries(task) if entry.kind == "outcome"]
    assert outcomes == ["exit code 4", "exit code 4", task.failure.message]


async def die(bench: Bench, process: asyncio.subprocess.Process) -> None:
    """Return when a worker has died and its tasks are taken back, as a server does that kept it running."""
    await asyncio.wait_for(process.wait(), WITHIN)
    for worker in await bench.store.workers():
        if worker.pid == process.pid:
            await bench.store.dismiss(worker.id, now=bench.clock())


async def test_p2_neighbours_that_take_workers_down_never_fail_a_task(bench: Bench) -> None:
    times = 4
    task = await bench.start("outlive", {"losses": times})
    culprits = []
    for loss in range(times):
        async with worker_process(bench.app.path, loops=[]) as process:
            await bench.told(task, f"loss {loss}")
            culprits.append(await bench.start("take_down"))
            await die(bench, process)
    async with bench.working():
        ended = await bench.end(task)
        for culprit in culprits:
            found = await bench.end(culprit)
            assert found.failure is not None
            assert found.failure.code == "worker_lost"
    assert (ended.state, ended.attempt, ended.losses) == (State.SUCCEEDED, 1, times)


async def test_p2_what_kills_its_worker_from_a_process_of_its_own_has_failed(bench: Bench) -> None:
    task = await bench.start("kill_the_parent")
    for loss in (1, 2, 3):
        async with worker_process(bench.app.path, loops=[]) as process:
            await die(bench, process)
        task = await bench.get(task)
        assert task.losses == loss
    assert task.failure is not None
    assert (task.state, task.failure.message) == (State.FAILED, "What ran this task was lost 3 times (worker lost).")


async def test_p2_a_worker_that_was_suspended_changes_nothing_and_begins_anew(bench: Bench) -> None:
    task = await bench.start("tick")
    async with worker_process(bench.app.path, lease=SHORT, loops=[]) as process:
        await bench.until(task, lambda found: found.version > 3)
        old = await enlisted(bench, process.pid)
        await suspend(process, bench.app.path)
        async with bench.working():
            await bench.until(task, lambda found: found.losses == 1 and found.version and found.state is State.RUNNING)
            process.send_signal(signal.SIGCONT)
            await enlisted(bench, process.pid, besides=old.id)
            await bench.service.cancel(LOCAL, task.id)
            ended = await bench.end(task)
        assert (ended.state, ended.losses) == (State.CANCELLED, 1)
        entries = await bench.entries(task)
        loss = next(index for index, entry in enumerate(entries) if entry.message == "worker lost")
        writers = [
            [(entry.fields or {}).get("pid") for entry in part if entry.message == "tick"]
            for part in (entries[:loss], entries[loss:])
        ]
        assert set(writers[0]) == {process.pid}
        assert process.pid not in writers[1]
        numbers = [(entry.fields or {})["number"] for entry in entries if entry.message == "tick"]
        assert numbers == sorted(numbers)
        # Under its new lease it works on.
        assert (await bench.end(await bench.start("tick", {"to": 3}))).state is State.SUCCEEDED


async def test_a_task_dies_with_its_killed_worker_even_in_a_call_that_holds_the_interpreter(
    bench: Bench, pipe: Pipe
) -> None:
    await bench.start("hold", {"pipe": pipe.path})
    async with worker_process(bench.app.path) as process:
        pid = int(await pipe.read())
        process.send_signal(signal.SIGKILL)
        await gone(pid)


@pytest.mark.parametrize("hold", [False, True])
async def test_no_program_of_a_process_outlives_its_killed_worker(bench: Bench, pipe: Pipe, hold: bool) -> None:
    await bench.start("raise_a_family", {"pipe": pipe.path, "hold": hold})
    async with worker_process(bench.app.path) as process:
        told = {int(pid) for pid in (await pipe.read()).split()}
        family = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        assert told < family  # and their guard
        process.send_signal(signal.SIGKILL)
        for pid in family:
            await gone(pid)


async def test_a_worker_whose_lease_was_ended_gives_its_tasks_up(bench: Bench) -> None:
    async with bench.working(lease=SHORT) as worker:
        first = worker.id
        task = await bench.start("tick")
        await bench.until(task, lambda found: found.version > 3)
        await bench.store.dismiss(worker.id, now=bench.clock())
        assert (await bench.until(task, is_lost)).worker != first
        # The heartbeat, the next claim or the next checkpoint finds it out; then there is another lease.
        await bench.until(task, lambda found: found.state is State.RUNNING and found.worker != first)
        await bench.service.cancel(LOCAL, task.id)
        assert (await bench.end(task)).state is State.CANCELLED
        assert worker.id != first


async def test_a_task_that_holds_the_loop_for_longer_than_a_lease_does_not_lose_it(bench: Bench) -> None:
    beats = threading.Semaphore(0)
    heart = bench.store.heart

    def observed() -> Heart:
        opened = heart()
        beat = opened.beat

        def beaten(worker: str) -> bool:
            alive = beat(worker)
            if alive:
                beats.release()
            return alive

        opened.beat = beaten  # type: ignore[method-assign]
        return opened

    bench.store.heart = observed  # type: ignore[method-assign]

    @bench.app.task
    async def hold_on(ctx: Context) -> bool:
        return all(beats.acquire(timeout=WITHIN) for _ in range(2 * BEATS))

    async with bench.working(lease=SHORT):
        task = await bench.end(await bench.start("hold_on"))
    assert (task.state, task.losses) == (State.SUCCEEDED, 0)
    assert await bench.result(task) is True


async def test_a_lost_task_whose_function_no_process_finds_runs_where_it_ran(bench: Bench) -> None:
    @bench.app.task
    async def closure(ctx: Context) -> int:
        if not ctx.task.losses:
            ctx.progress(0, message="here")
            await asyncio.Event().wait()
        return os.getpid()

    async with bench.working(lease=SHORT) as worker:
        task = await bench.start("closure")
        await bench.told(task, "here")
        await bench.store.dismiss(worker.id, now=bench.clock())
        ended = await bench.end(task)
    assert (ended.state, ended.losses) == (State.SUCCEEDED, 1)
    assert await bench.result(task) == os.getpid()


async def test_a_cancelled_task_that_is_lost_is_cancelled(bench: Bench, pipe: Pipe) -> None:
    task = await bench.start("block", {"pipe": pipe.path})
    async with worker_process(bench.app.path, lease=SHORT) as process:
        await bench.told(task, "blocked")
        await bench.service.cancel(LOCAL, task.id)
        process.send_signal(signal.SIGKILL)
        async with bench.working():
            ended = await bench.end(task)
    assert (ended.state, ended.losses) == (State.CANCELLED, 1)


class Hoarder:
    """A task that has filled its folder when it loses its lease, on a disk that is full from then on."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folders, "POLL", 0.01)
        self.bench = bench
        self.disk = SmallDisk(bench.folder / "files", 2)

        @bench.app.task
        async def hoard(ctx: Context) -> int:
            rows = ctx.folder / "rows"
            if ctx.task.losses == 0:
                rows.write_bytes(bytes(100_000))
                ctx.progress(0, message="here")
                await asyncio.Event().wait()
            return rows.stat().st_size

    async def lose(self, worker: Worker) -> Task:
        """Its record when the next try has no room for what the first one left."""
        task = await self.bench.told(await self.bench.start("hoard"), "here")
        self.disk.fill()
        await self.bench.store.dismiss(worker.id, now=self.bench.clock())
        return await self.bench.until(task, lambda found: found.losses == 1 and found.state is State.RUNNING)


@pytest.fixture
def hoarder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Hoarder:
    return Hoarder(bench, monkeypatch)


async def test_p2_a_full_disk_makes_the_next_try_wait_and_is_no_loss(
    hoarder: Hoarder, caplog: pytest.LogCaptureFixture
) -> None:
    bench = hoarder.bench
    with hoarder.disk as disk:
        async with bench.working(loops=()) as worker:
            task = await hoarder.lose(worker)
            await until(lambda: sum("There is no room" in message for message in caplog.messages) > 2)
            disk.free()
            ended = await bench.end(task)
    assert (ended.state, ended.losses, ended.attempt) == (State.SUCCEEDED, 1, 1)
    assert await bench.result(task) == 100_000


async def test_p5_what_waits_for_room_can_be_cancelled(hoarder: Hoarder) -> None:
    bench = hoarder.bench
    with hoarder.disk:
        async with bench.working(loops=()) as worker:
            task = await hoarder.lose(worker)
            await bench.service.cancel(LOCAL, task.id)
            ended = await bench.end(task)
    assert (ended.state, ended.losses) == (State.CANCELLED, 1)


async def test_p2_what_waits_for_room_goes_back_into_the_queue_with_its_worker(hoarder: Hoarder) -> None:
    bench = hoarder.bench
    with hoarder.disk:
        async with bench.working(loops=()) as worker:
            task = await hoarder.lose(worker)
        found = await bench.get(task)
    assert (found.state, found.losses, found.attempt) == (State.QUEUED, 1, 1)
