"""How a worker gets over a store that does not answer for a while."""

import asyncio
import functools
import logging

import apsw
import pytest

from milepost import Context
from milepost.access.principal import LOCAL
from milepost.engine import worker as worker_module
from milepost.store.sqlite import store as store_module
from milepost.store.sqlite.store import SqliteStore
from milepost.task import State
from milepost.times import SECOND
from tests.engine.bench import WITHIN, Bench, until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors come soon, and so do new attempts. Before `bench` opens its store."""
    monkeypatch.setattr(worker_module, "POLL", 0.05)
    monkeypatch.setattr(store_module, "SqliteStore", functools.partial(SqliteStore, busy_timeout=30))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the worker says of it."""
    caplog.set_level(logging.ERROR, "milepost.engine.worker")
    return caplog


class Foreigner:
    """Another program that holds the store's write lock."""

    def __init__(self, bench: Bench) -> None:
        self._connection = apsw.Connection(str(bench.app.path))
        self._connection.set_busy_timeout(10_000)  # a heartbeat may be in the way

    def __enter__(self) -> "Foreigner":
        self._connection.execute("BEGIN EXCLUSIVE")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


async def said(log: pytest.LogCaptureFixture, text: str, times: int = 1) -> None:
    await until(lambda: sum(text in message for message in log.messages) >= times)


async def test_the_outcome_and_all_lines_are_written_in_the_end(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> str:
        ctx.progress(0, message="here")
        await go_on.wait()
        for number in range(5):
            ctx.log(str(number))
            await asyncio.sleep(0)
        await ctx.checkpoint("saved")
        ctx.log("last")
        return "done"

    async with bench.working():
        task = await bench.start("work")
        await bench.told(task, "here")
        with Foreigner(bench):
            go_on.set()
            await said(log, "could not be written; trying again", times=3)
            assert (await bench.get(task)).state is State.RUNNING
        ended = await bench.end(task)
    assert (ended.state, ended.attempt, ended.losses) == (State.SUCCEEDED, 1, 0)
    assert await bench.lines(task) == ["0", "1", "2", "3", "4", "last"]
    assert await bench.saved(task) == "saved"


async def test_a_settlement_is_repeated_until_it_is_written(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> str:
        ctx.progress(0, message="here")
        await go_on.wait()
        return "done"

    async with bench.working():
        task = await bench.start("work")
        await bench.told(task, "here")
        with Foreigner(bench):
            go_on.set()
            await said(log, f"Task {task.id} could not be written; trying again", times=2)
        assert (await bench.end(task)).state is State.SUCCEEDED


async def test_claims_go_on(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None: ...

    task = await bench.start("work", run_at=bench.clock() + SECOND // 5)
    async with bench.working():
        await bench.end(await bench.start("work"))
        with Foreigner(bench):
            await said(log, "Tasks could not be claimed; trying again", times=2)
        assert (await bench.end(task)).state is State.SUCCEEDED


async def test_a_worker_that_can_not_enlist_tries_again(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None: ...

    task = await bench.start("work")
    foreigner = Foreigner(bench)
    with foreigner:
        worker = bench.worker()
        running = asyncio.create_task(worker.run())
        await said(log, "This worker could not enlist; trying again", times=2)
    await bench.end(task)
    worker.stop()
    assert await asyncio.wait_for(running, WITHIN)


async def test_a_worker_can_be_stopped_all_the_same(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.progress(0, message="here")
        await asyncio.Event().wait()

    worker = bench.worker(grace=0.01)
    running = asyncio.create_task(worker.run())
    task = await bench.start("work")
    await bench.told(task, "here")
    with Foreigner(bench):
        worker.stop()
        assert await asyncio.wait_for(running, WITHIN)
    assert (await bench.get(task)).state is State.RUNNING  # until its lease has run out
    for text in (
        f"Task {task.id} could not be released, it counts as lost",
        "could not be ended, it runs out by itself",
    ):
        assert any(text in message for message in log.messages)
    async with bench.working():
        bench.clock.ahead += 60 * SECOND
        lost = await bench.until(task, lambda found: found.losses == 1)
        assert lost.attempt == 1


async def test_a_lease_that_could_not_be_kept_up_is_given_up(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    @bench.app.task
    async def work(ctx: Context) -> int:
        ctx.progress(0, message=f"loss {ctx.task.losses}")
        if not ctx.task.losses:
            await asyncio.Event().wait()
        return 1

    async with bench.working(lease=SECOND // 5) as worker:
        task = await bench.start("work")
        await bench.told(task, "loss 0")
        first = worker.id
        with Foreigner(bench):
            await said(log, "The lease of this worker is over; its tasks are given up")
        ended = await bench.end(task)
        assert worker.id != first
    assert (ended.state, ended.losses, ended.attempt) == (State.SUCCEEDED, 1, 1)


async def test_a_store_that_was_closed_for_a_while(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.progress(0, message="here")
        await go_on.wait()
        while True:
            await ctx.checkpoint()
            await asyncio.sleep(0)

    async with bench.working(force_after=WITHIN, loops=()):
        task = await bench.start("work")
        await bench.told(task, "here")
        await bench.store.close()
        await said(log, "Requests to cancel or pause could not be passed on; trying again")
        await bench.store.open()
        await until(lambda: bench.store._parts.watch._followers)  # type: ignore[attr-defined]
        await bench.service.cancel(LOCAL, task.id)
        go_on.set()
        assert (await bench.end(task)).state is State.CANCELLED
