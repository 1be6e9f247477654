import asyncio
import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from milepost import BlockingContext, Context
from milepost.engine.host_worker import HostWorker, _taken
from milepost.engine.slots import Slots
from milepost.engine.worker import Worker
from milepost.task import State
from tests.engine.bench import WITHIN, Bench


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def told() -> Iterator["asyncio.Queue[logging.LogRecord]"]:
    """What host workers log, as they do."""
    told: asyncio.Queue[logging.LogRecord] = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: told.put_nowait(record)  # type: ignore[method-assign]
    logger = logging.getLogger("milepost.engine.host_worker")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)
    logger.setLevel(level)


@contextlib.asynccontextmanager
async def held(lock: Path) -> AsyncIterator[int]:
    """The lock, as another process holds it."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
    finally:
        os.close(file)


async def test_it_waits_until_whoever_works_has_ended(bench: Bench, lock: Path) -> None:
    @bench.app.task
    async def nothing(ctx: Context) -> None: ...

    is_held, made_while_held = True, []

    def make(slots: Slots) -> Worker:
        made_while_held.append(is_held)
        return bench.worker(slots=slots)

    async with contextlib.AsyncExitStack() as holding:
        await holding.enter_async_context(held(lock))
        async with HostWorker(lock, make).running():
            task = await bench.start("nothing")  # the lock was tried meanwhile
            await holding.aclose()
            is_held = False
            await bench.until(task, lambda task: task.state is State.SUCCEEDED)
    assert made_while_held == [False]
    assert await bench.service.workers() == []


async def test_it_ends_while_it_waits(bench: Bench, lock: Path) -> None:
    async with held(lock), HostWorker(lock, lambda _: bench.worker()).running():
        await bench.service.workers()
    async with held(lock):
        pass  # nobody keeps it


async def test_a_worker_that_fails_is_followed_by_another(
    bench: Bench, lock: Path, told: "asyncio.Queue[logging.LogRecord]"
) -> None:
    @bench.app.task
    async def nothing(ctx: Context) -> None: ...

    def fail() -> Worker:
        raise OSError("no descriptor is left")

    makes: Iterator[Callable[[], Worker]] = iter((fail, bench.worker))
    async with HostWorker(lock, lambda _: next(makes)()).running():
        task = await bench.start("nothing")
        await bench.until(task, lambda task: task.state is State.SUCCEEDED)
    levels = [told.get_nowait().levelno for _ in range(told.qsize())]
    assert levels == [logging.INFO, logging.ERROR, logging.INFO]


class Hall:
    """A host worker with two slots, and tasks that do not stop until they are let go."""

    def __init__(self, bench: Bench, lock: Path) -> None:
        self.bench = bench
        self.made: list[int] = []
        """How many slots were kept when each worker was made."""
        self.go_on: list[threading.Event] = []
        self.host = HostWorker(lock, self._make, concurrency=2)

        @bench.app.task(timeout=0.1)
        def stick(ctx: BlockingContext) -> None:
            go_on = threading.Event()
            self.go_on.append(go_on)
            go_on.wait()

        @bench.app.task
        async def nothing(ctx: Context) -> None: ...

    def _make(self, slots: Slots) -> Worker:
        self.made.append(slots.kept)
        return self.bench.worker(slots=slots)

    async def stick(self) -> None:
        """Let one more task take its slot for good."""
        task = await self.bench.end(await self.bench.start("stick"))
        assert task.failure is not None
        assert task.failure.code == "timeout"


async def said(told: "asyncio.Queue[logging.LogRecord]", part: str) -> None:
    async with asyncio.timeout(WITHIN):
        while part not in (await told.get()).getMessage():
            pass


async def test_while_a_slot_is_left_the_same_worker_goes_on(bench: Bench, lock: Path) -> None:
    hall = Hall(bench, lock)
    async with hall.host.running():
        await hall.stick()
        for _ in range(2):
            assert (await bench.end(await bench.start("nothing"))).state is State.SUCCEEDED
        (info,) = await bench.service.workers()
        hall.go_on[0].set()
    assert (hall.made, info.concurrency) == ([0], 2)


async def test_without_a_slot_it_lets_others_have_the_lock_until_one_is_free(
    bench: Bench, lock: Path, told: "asyncio.Queue[logging.LogRecord]"
) -> None:
    hall = Hall(bench, lock)
    async with hall.host.running():
        for _ in range(2):
            await hall.stick()
        await said(told, "2 of 2 slots are taken by tasks that do not stop: this process runs no more")
        assert await bench.service.workers() == [], "readiness and metrics count none"
        waiting = await bench.start("nothing")
        async with held(lock):
            pass
        assert (await bench.get(waiting)).attempt == 0
        hall.go_on[0].set()
        assert (await bench.end(waiting)).state is State.SUCCEEDED
        hall.go_on[1].set()
    assert hall.made == [0, 1], "what still does not stop keeps its slot of the next worker"


async def test_without_a_slot_it_ends_all_the_same(
    bench: Bench, lock: Path, told: "asyncio.Queue[logging.LogRecord]"
) -> None:
    hall = Hall(bench, lock)
    async with asyncio.timeout(WITHIN), hall.host.running():
        for _ in range(2):
            await hall.stick()
        await said(told, 'or runner="process", which can be ended')
    for go_on in hall.go_on:
        go_on.set()


async def test_where_no_lock_can_be_made_it_does_not_begin(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with HostWorker(tmp_path / "no" / "lock", lambda _: bench.worker()).running():
            raise AssertionError


def test_a_file_that_can_not_be_locked_is_told(tmp_path: Path, told: "asyncio.Queue[logging.LogRecord]") -> None:
    with (tmp_path / "lock").open("w") as file:
        closed = file.fileno()
    assert not _taken(closed)
    assert told.get_nowait().getMessage() == "No worker can run here: its lock can't be taken"
