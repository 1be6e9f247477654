"""What each runner does on pause, cancel, timeout and shutdown: the table of docs/tasks.md, one cell a case.

A function `heeds` what it is asked and comes to a checkpoint; or it `yields`, having none, to what comes down on it
(CancelledError; SIGTERM, through a program that it waits for); or it is `deaf` to that too, until the test says a word,
and then comes to a checkpoint.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from milepost import BlockingContext, Context, Parked
from milepost.access.principal import LOCAL
from milepost.engine.outcome import StopReason
from milepost.engine.worker import Worker
from milepost.task import State, Task
from milepost.times import HOUR, SECOND
from milepost.update import Update
from tests.engine import jobs
from tests.engine.bench import WITHIN, Bench, until
from tests.engine.processes import Pipe


class Cell(NamedTuple):
    """What there is to see once a request has had its effect, and (`then`) once a deaf function has heard its word."""

    state: State
    saw: tuple[str, ...] = ()
    is_slot_taken: bool = False
    then: State | None = None


PARKED, CANCELLED_ERROR, SIGTERM = "Parked", "CancelledError", "SIGTERM"
_S = State

TABLE = {
    ("loop", "pause", "heeds"): Cell(_S.PAUSED, (PARKED,)),
    ("loop", "pause", "deaf"): Cell(_S.RUNNING, is_slot_taken=True, then=_S.PAUSED),
    ("loop", "cancel", "heeds"): Cell(_S.CANCELLED, (PARKED,)),
    ("loop", "cancel", "yields"): Cell(_S.CANCELLED, (CANCELLED_ERROR,)),
    ("loop", "cancel", "deaf"): Cell(_S.RUNNING, (CANCELLED_ERROR,), is_slot_taken=True, then=_S.CANCELLED),
    ("loop", "timeout", "heeds"): Cell(_S.FAILED, (PARKED,)),
    ("loop", "timeout", "yields"): Cell(_S.FAILED, (CANCELLED_ERROR,)),
    ("loop", "timeout", "deaf"): Cell(_S.FAILED, (CANCELLED_ERROR,), is_slot_taken=True, then=_S.FAILED),
    ("loop", "shutdown", "heeds"): Cell(_S.QUEUED, (PARKED,)),
    ("loop", "shutdown", "yields"): Cell(_S.QUEUED, (CANCELLED_ERROR,)),
    ("loop", "shutdown", "deaf"): Cell(_S.QUEUED, (CANCELLED_ERROR,), then=_S.QUEUED),
    ("thread", "pause", "heeds"): Cell(_S.PAUSED, (PARKED,)),
    ("thread", "pause", "deaf"): Cell(_S.RUNNING, is_slot_taken=True, then=_S.PAUSED),
    ("thread", "cancel", "heeds"): Cell(_S.CANCELLED, (PARKED,)),
    ("thread", "cancel", "deaf"): Cell(_S.RUNNING, is_slot_taken=True, then=_S.CANCELLED),
    ("thread", "timeout", "heeds"): Cell(_S.FAILED, (PARKED,)),
    ("thread", "timeout", "deaf"): Cell(_S.FAILED, is_slot_taken=True, then=_S.FAILED),
    ("thread", "shutdown", "heeds"): Cell(_S.QUEUED, (PARKED,)),
    ("thread", "shutdown", "deaf"): Cell(_S.QUEUED, then=_S.QUEUED),
    ("process", "pause", "heeds"): Cell(_S.PAUSED, (PARKED,)),
    ("process", "pause", "deaf"): Cell(_S.RUNNING, is_slot_taken=True, then=_S.PAUSED),
    ("process", "cancel", "heeds"): Cell(_S.CANCELLED, (PARKED, SIGTERM)),
    ("process", "cancel", "yields"): Cell(_S.CANCELLED, (SIGTERM,)),
    ("process", "cancel", "deaf"): Cell(_S.CANCELLED, (SIGTERM,)),
    ("process", "timeout", "heeds"): Cell(_S.FAILED, (PARKED, SIGTERM)),
    ("process", "timeout", "yields"): Cell(_S.FAILED, (SIGTERM,)),
    ("process", "timeout", "deaf"): Cell(_S.FAILED, (SIGTERM,)),
    ("process", "shutdown", "heeds"): Cell(_S.QUEUED, (PARKED,)),
    ("process", "shutdown", "deaf"): Cell(_S.QUEUED),
}
AGAIN = {
    (runner, "timeout with a try left", how): Cell(
        _S.SUCCEEDED, cell.saw, cell.is_slot_taken, cell.then and _S.SUCCEEDED
    )
    for (runner, request, how), cell in TABLE.items()
    if request == "timeout"
}
"""The same timeouts, of a first try of two: the second one ends."""
REQUESTED = {"pause": "pause_requested", "cancel": "cancel_requested"}


class Stage:
    """One task on one runner, in a worker whose patience fits how the task takes what it is asked."""

    def __init__(self, bench: Bench, runner: str, request: str, how: str, tmp_path: Path) -> None:
        self.bench = bench
        self.runner = runner
        self.request = request
        self.how = how
        self._saw: list[str] = []
        self._word = asyncio.Event()
        self._word_to_thread = threading.Event()
        self._pipes = (Pipe(tmp_path / "seen"), Pipe(tmp_path / "word"))
        bench.app.include(jobs.app)
        self._register_loop()
        self._register_thread()
        # Force is for those who need it.
        patience = WITHIN if how == "heeds" else 0.05
        self.worker: Worker = bench.worker(grace=patience, force_after=patience)

    def _register_loop(self) -> None:
        @self.bench.app.task(retries=1, backoff=0)
        async def loop(ctx: Context) -> str:
            if ctx.task.attempt > 1:
                return "tried again"
            ctx.progress(0, message="here")
            try:
                while self.how == "heeds":
                    await ctx.checkpoint()
                if self.how == "yields":
                    await asyncio.Event().wait()
                while not self._word.is_set():
                    try:
                        await self._word.wait()
                    except asyncio.CancelledError:
                        self._saw.append(CANCELLED_ERROR)
                await ctx.checkpoint("late")
            except BaseException as error:
                self._saw.append(type(error).__name__)
                raise
            return "never asked to stop"

    def _register_thread(self) -> None:
        @self.bench.app.task(retries=1, backoff=0)
        def thread(ctx: BlockingContext) -> str:
            if ctx.task.attempt > 1:
                return "tried again"
            ctx.progress(0, message="here")
            try:
                while self.how == "heeds":
                    ctx.checkpoint()
                self._word_to_thread.wait(WITHIN)
                ctx.checkpoint("late")
            except Parked:
                self._saw.append(PARKED)
                raise
            return "never asked to stop"

    @contextlib.asynccontextmanager
    async def played(self) -> AsyncIterator[Task]:
        """The task as it runs; in the end everything is let go of."""
        self.running = asyncio.create_task(self.worker.run())
        seen, word = (pipe.path for pipe in self._pipes)
        try:
            if self.runner == "process":
                task = await self.start("be_stopped", {"pipe": seen, "word": word, "how": self.how})
            else:
                task = await self.start(self.runner)
            yield await self.bench.told(task, "here")
        finally:
            self.say_the_word()
            self.worker.stop()
            await asyncio.wait_for(self.running, WITHIN)
            for pipe in self._pipes:
                pipe.close()

    async def start(self, type: str, input: dict[str, str] | None = None) -> Task:
        tries = 2 if self.request == "timeout with a try left" else 1
        return await self.bench.start(type, input, timeout=HOUR // SECOND, max_attempts=tries)

    async def ask(self, task: Task) -> None:
        """Ask for something, as whoever it is does, and wait for force to be used where that is due."""
        lease = self.worker._leases[task.id]
        match self.request:
            case "pause":
                await self.bench.service.pause(LOCAL, task.id)
                await until(lambda: lease.stopping is StopReason.PAUSE)
            case "cancel":
                await self.bench.service.cancel(LOCAL, task.id)
                await until(lambda: lease.stopping is StopReason.CANCEL)
            case "timeout" | "timeout with a try left":
                let_pass(HOUR)
                await until(lambda: lease.stopping is StopReason.TIMEOUT)
            case "shutdown":
                self.worker.stop()
                await asyncio.wait_for(asyncio.shield(self.running), WITHIN)
        if self.request != "pause" and self.how != "heeds":
            await until(lambda: lease.forced)

    def say_the_word(self) -> None:
        self._word.set()
        self._word_to_thread.set()
        self._pipes[1].write("go on")

    async def saw(self, count: int) -> tuple[str, ...]:
        """What the function has seen, once that is so much; in an order of its own where a program sees it too."""
        if self.runner != "process":
            await until(lambda: len(self._saw) >= count)
            return tuple(self._saw)
        while len(self._saw) < count:
            self._saw.append(await self._pipes[0].read())
        return tuple(sorted(self._saw))


def let_pass(length: int) -> None:
    """Let the event loop's time be `length` µs later at once, so that what is to happen by then does."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + length / SECOND  # type: ignore[method-assign]


CASES = TABLE | AGAIN


@pytest.mark.parametrize(("case", "cell"), CASES.items(), ids=["-".join(case) for case in CASES])
async def test_p5_what_stops_when(bench: Bench, tmp_path: Path, case: tuple[str, str, str], cell: Cell) -> None:
    runner, request, how = case
    stage = Stage(bench, runner, request, how, tmp_path)
    async with stage.played() as task:
        await stage.ask(task)
        found = await bench.reach(task, cell.state)
        assert await stage.saw(len(cell.saw)) == cell.saw
        await until(lambda: bool(stage.worker._tries) is (found.state is State.RUNNING))
        if request != "shutdown":  # else there are no slots any more
            assert bool(stage.worker._tries or stage.worker._slots._kept) is cell.is_slot_taken
        check_the_record(found, request)
        if cell.then is None:
            assert psutil.Process().children(recursive=True) == []
            return
        stage.say_the_word()
        assert await stage.saw(len(cell.saw) + 1) == (*cell.saw, PARKED)
        await until(lambda: not (stage.worker._tries or stage.worker._slots._kept))
        after = await bench.reach(task, cell.then)
        check_the_record(after, request)
        late = cell.state is not cell.then
        assert (after.version > found.version) is late  # what comes after the end of the lease changes nothing
        assert await bench.saved(task) == ("late" if late else None)


def check_the_record(task: Task, request: str) -> None:
    """Nothing but another try is counted, and a request shows as long as the work goes on."""
    assert (task.attempt, task.losses) == (2 if task.state is State.SUCCEEDED else 1, 0)
    for name, field in REQUESTED.items():
        assert getattr(task, field) is (name == request and task.state is State.RUNNING)
    assert (task.failure.code if task.failure else None) == ("timeout" if task.state is State.FAILED else None)
    assert (task.worker is not None) is (task.state is State.RUNNING)


LEASE = 60

EXTERNAL = {
    ("pause", "heeds"): (_S.PAUSED, 0),
    ("pause", "silent"): (_S.PAUSED, 1),
    ("cancel", "heeds"): (_S.CANCELLED, 0),
    ("cancel", "silent"): (_S.CANCELLED, 1),
    ("timeout", "heeds"): (_S.RUNNING, 0),
    ("timeout", "silent"): (_S.QUEUED, 1),
    ("shutdown", "heeds"): (_S.RUNNING, 0),
    ("shutdown", "silent"): (_S.QUEUED, 1),
}


@pytest.mark.parametrize(("case", "end"), EXTERNAL.items(), ids=["-".join(case) for case in EXTERNAL])
async def test_p5_an_external_task_is_its_clients_affair(
    bench: Bench, case: tuple[str, str], end: tuple[State, int]
) -> None:
    request, how = case
    async with bench.working(lease=1000 * LEASE * SECOND) as worker:
        task = await bench.start("agent", runner="external", lease_seconds=LEASE, timeout=LEASE / 4)
        await bench.service.update(LOCAL, task.id, Update(state=State.RUNNING))
        match request:
            case "pause":
                await bench.service.pause(LOCAL, task.id)
            case "cancel":
                await bench.service.cancel(LOCAL, task.id)
            case "timeout":
                bench.clock.ahead += LEASE // 2 * SECOND
            case "shutdown":
                worker.stop()
        assert await bench.store.rescue([], now=bench.clock()) == []
        found = await bench.get(task)
        assert (found.state, found.attempt, found.losses) == (State.RUNNING, 1, 0)
        check_the_request(found, request)
        if how == "silent":
            bench.clock.ahead += (LEASE + 1) * SECOND
            await bench.store.rescue([], now=bench.clock())
        elif request in REQUESTED:
            await bench.service.update(LOCAL, task.id, Update(state=end[0]))
        else:
            await bench.service.update(LOCAL, task.id, Update(progress=0.5))
        found = await bench.get(task)
        assert (found.state, found.losses) == end
        check_the_request(found, request)


def check_the_request(task: Task, request: str) -> None:
    for name, field in REQUESTED.items():
        assert getattr(task, field) is (name == request and task.state is State.RUNNING)


def test_the_table_is_whole() -> None:
    """Each runner is asked everything, and is both heeded and not."""
    for runner in ("loop", "thread", "process"):
        for request in ("pause", "cancel", "timeout", "shutdown"):
            assert {"heeds", "deaf"} <= {how for r, q, how in TABLE if (r, q) == (runner, request)}
