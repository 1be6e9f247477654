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
from milepost.engine.worker import Worker
from milepost.task import State
from tests.engine.bench import Bench


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

    def make() -> Worker:
        made_while_held.append(is_held)
        return bench.worker()

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
    async with held(lock), HostWorker(lock, bench.worker).running():
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
    async with HostWorker(lock, lambda: next(makes)()).running():
        task = await bench.start("nothing")
        await bench.until(task, lambda task: task.state is State.SUCCEEDED)
    levels = [told.get_nowait().levelno for _ in range(told.qsize())]
    assert levels == [logging.INFO, logging.ERROR, logging.INFO]


async def test_one_that_is_stuck_lets_others_have_the_lock(bench: Bench, lock: Path) -> None:
    left = threading.Event()

    @bench.app.task(timeout=0.1)
    def stick(ctx: BlockingContext) -> None:
        left.wait()

    @bench.app.task
    async def nothing(ctx: Context) -> None: ...

    workers: list[Worker] = []

    def make() -> Worker:
        workers.append(bench.worker(concurrency=1))
        return workers[-1]

    async with HostWorker(lock, make).running():
        await bench.until(await bench.start("stick"), lambda task: task.state is State.FAILED)
        await bench.until(await bench.start("nothing"), lambda task: task.state is State.SUCCEEDED)
    left.set()
    assert len(workers) == 2


async def test_where_no_lock_can_be_made_it_does_not_begin(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with HostWorker(tmp_path / "no" / "lock", bench.worker).running():
            raise AssertionError


def test_a_file_that_can_not_be_locked_is_told(tmp_path: Path, told: "asyncio.Queue[logging.LogRecord]") -> None:
    with (tmp_path / "lock").open("w") as file:
        closed = file.fileno()
    assert not _taken(closed)
    assert told.get_nowait().getMessage() == "No worker can run here: its lock can't be taken"
