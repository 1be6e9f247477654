"""What is measured, and beside which bare limit?"""

import asyncio
import contextlib
import itertools
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import jobs
from callers import Answered, ask, request
from figures import Unit
from processes import all_ended, bare_serving, bare_store, family, memory, processor_seconds, serving, working

from milepost import Milepost

STARTERS: Final = 16
READERS: Final = 32
TOGETHER: Final = 100
"""Tasks that are started, run or committed together where no HTTP sets another number."""
TASKS: Final = "/v1/tasks"
BATCH: Final = "/v1/tasks:batch"
NDJSON: Final = "application/x-ndjson"

Round = Callable[[], Awaitable[float]]


class Pair(NamedTuple):
    """A round of ours, and one of what bounds it."""

    ours: Round
    bare: Round | None = None


@dataclass(frozen=True)
class Measure:
    """`open` gives the rounds, for a folder of its own and a number of tasks or requests in each round."""

    name: str
    what: str
    unit: Unit
    count: int
    open: Callable[[Path, int], contextlib.AbstractAsyncContextManager[Pair]]
    floor: float | None = None
    at_most: float | None = None


@contextlib.asynccontextmanager
async def start_over_http(folder: Path, count: int) -> AsyncIterator[Pair]:
    """POST of a task, acknowledged once it is durable; bare: the body is parsed, the answer always the same."""
    starts = _starts(count)
    async with serving(folder / "tasks.db", "--no-worker") as (_, port):
        answer = (await ask(port, starts[:1])).last
        async with bare_serving(answer, folder) as bare_port:
            yield Pair(lambda: _rate(port, starts, STARTERS), lambda: _rate(bare_port, starts, STARTERS))


@contextlib.asynccontextmanager
async def start_in_process(folder: Path, count: int) -> AsyncIterator[Pair]:
    """`app.start` of many at once, without HTTP; bare: a loop that inserts the same rows."""
    numbers = itertools.count()

    async def bare() -> float:
        return count / await bare_store("starts", folder / f"bare-{next(numbers)}.db", count, folder=folder)

    async def ours() -> float:
        return count / await queue(folder / f"tasks-{next(numbers)}.db", count)

    yield Pair(ours, bare)


@contextlib.asynccontextmanager
async def start_batch(folder: Path, count: int) -> AsyncIterator[Pair]:
    """One POST with a line for each task, until the last line is acknowledged; bare: a loop that inserts the same rows.

    Each round has a server of its own, which is gone when the bare one begins: tasks that nobody runs give it work.
    """
    numbers = itertools.count()
    one = request("POST", BATCH, _wish(0) + b"\n", media_type=NDJSON)
    all_of_them = request("POST", BATCH, b"\n".join(map(_wish, range(count))), media_type=NDJSON)

    async def bare() -> float:
        return count / await bare_store("starts", folder / f"bare-{next(numbers)}.db", count, folder=folder)

    async def ours() -> float:
        async with serving(folder / f"tasks-{next(numbers)}.db", "--no-worker") as (_, port):
            await ask(port, [one])
            asked = await ask(port, [all_of_them])
        if asked.last.count(b'"status":202') != count:
            raise RuntimeError(f"Not all were started: {asked.last.decode()}")
        return count / asked.seconds

    yield Pair(ours, bare)


@contextlib.asynccontextmanager
async def drain(folder: Path, count: int) -> AsyncIterator[Pair]:
    """One worker process, from its first claim to its last success; bare: a loop that commits the same rows."""
    queued = folder / "queued.db"
    await queue(queued, count)

    async def bare() -> float:
        store = _copy(queued, "bare")
        return count / await bare_store("cycles", store, folder=folder)

    async def ours() -> float:
        store = _copy(queued, "ours")
        async with working(store, TOGETHER) as worker:
            first, last = await all_ended(store, count, worker)
        return count / ((last - first) / 1e6)

    yield Pair(ours, bare)


@contextlib.asynccontextmanager
async def start_and_drain(folder: Path, count: int) -> AsyncIterator[Pair]:
    """Tasks are started over HTTP while a worker runs them, until the last one has ended; bare: both bare limits."""
    starts = _starts(count)
    ended = itertools.count(count + 1, count)
    store, queued = folder / "tasks.db", folder / "queued.db"
    await queue(queued, count)
    async with serving(store, "--no-worker") as (server, port), working(store, TOGETHER) as worker:
        answer = (await ask(port, starts[:1])).last
        await all_ended(store, 1, server, worker)
        async with bare_serving(answer, folder) as bare_port:

            async def bare() -> float:
                committing = bare_store("cycles", _copy(queued, "bare"), folder=folder)
                committed, asked = await asyncio.gather(committing, ask(bare_port, starts, callers=STARTERS))
                return count / max(committed, asked.seconds)

            async def ours() -> float:
                began = time.time()
                await ask(port, starts, callers=STARTERS)
                _, last = await all_ended(store, next(ended), server, worker)
                return count / (last / 1e6 - began)

            yield Pair(ours, bare)


@contextlib.asynccontextmanager
async def read_status(folder: Path, count: int) -> AsyncIterator[Pair]:
    """GET of one finished task; bare: the same bytes without looking at anything."""
    async with serving(folder / "tasks.db") as (_, port):
        started = await ask(port, [_start(1, Prefer="wait=60")])
        path = _location(started)
        reads = [request("GET", path)] * count
        answer = (await ask(port, reads[:1])).last
        if b'"succeeded"' not in answer:
            raise RuntimeError(f"The task did not succeed: {answer.decode()}")
        async with bare_serving(answer, folder) as bare_port:
            yield Pair(lambda: _rate(port, reads, READERS), lambda: _rate(bare_port, reads, READERS))


@contextlib.asynccontextmanager
async def start_to_finish(folder: Path, count: int) -> AsyncIterator[Pair]:
    """One task after the other, from its POST to the answer that it has ended; bare: a POST answered at once."""
    starts = [_start(number, Prefer="wait=60") for number in range(count)]
    async with serving(folder / "tasks.db") as (_, port):
        answer = (await ask(port, starts[:1])).last

        async def ours() -> float:
            asked = await ask(port, starts)
            if b'"succeeded"' not in asked.last:
                raise RuntimeError(f"The task did not succeed: {asked.last.decode()}")
            return median(asked.times) * 1e3

        async with bare_serving(answer, folder) as bare_port:

            async def bare() -> float:
                return median((await ask(bare_port, starts)).times) * 1e3

            yield Pair(ours, bare)


@contextlib.asynccontextmanager
async def idle_memory(folder: Path, count: int) -> AsyncIterator[Pair]:
    """What `milepost serve` and its worker take once they have run some tasks: new ones in each round."""
    numbers = itertools.count()

    async def ours() -> float:
        async with _rested(folder / f"tasks-{next(numbers)}.db", count) as pids:
            return memory(pids)

    yield Pair(ours)


@contextlib.asynccontextmanager
async def idle_processor(folder: Path, count: int) -> AsyncIterator[Pair]:
    """What the same use of a processor while there is nothing to do; `count` is how many seconds are watched."""
    async with _rested(folder / "tasks.db", 1) as pids:

        async def ours() -> float:
            used, began = processor_seconds(pids), time.monotonic()
            await asyncio.sleep(count)
            return (processor_seconds(pids) - used) / (time.monotonic() - began) * 100

        yield Pair(ours)


MEASURES: Final[Sequence[Measure]] = (
    Measure("start", f"started over HTTP by {STARTERS} callers", "/s", 4000, start_over_http, floor=0.15),
    Measure("start-in-process", f"started in process, {TOGETHER} at once", "/s", 4000, start_in_process, floor=0.2),
    Measure("batch", "started over HTTP in one batch", "/s", 10_000, start_batch, floor=0.2),
    Measure("drain", f"run by one worker, {TOGETHER} at once", "/s", 5000, drain, floor=0.12),
    Measure("both", "started over HTTP while a worker runs them", "/s", 3000, start_and_drain),
    Measure("status", f"read over HTTP on {READERS} connections", "/s", 10000, read_status, floor=0.35),
    Measure("latency", "from POST to the answer that it ended", "ms", 50, start_to_finish, at_most=10),
    Measure("memory", "of server and worker, idle", "MB", 50, idle_memory, at_most=120),
    Measure("processor", "used by server and worker, idle", "% of a core", 5, idle_processor, at_most=1),
)


@contextlib.asynccontextmanager
async def _rested(store: Path, count: int) -> AsyncIterator[list[int]]:
    """The pids of a server and its worker that have run so many tasks and now rest."""
    async with serving(store) as (server, port):
        await ask(port, [_start(number, Prefer="wait=60") for number in range(count)], callers=STARTERS)
        await asyncio.sleep(2)  # what the last task has left to do, buffered flushes and polls, is not idleness
        yield family(server.pid)


async def queue(store: Path, count: int) -> float:
    """Start so many tasks that nobody runs; the seconds that it took."""
    app = Milepost(store)
    app.include(jobs.app)
    async with app.opened():
        began = time.perf_counter()
        for start in range(0, count, TOGETHER):
            numbers = range(start, min(start + TOGETHER, count))
            await asyncio.gather(*(app.start("add_one", {"number": number}) for number in numbers))
        return time.perf_counter() - began


def _copy(queued: Path, name: str) -> Path:
    """A fresh copy of a store, in a folder in which nothing is left of the last one."""
    folder = queued.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    store = folder / "tasks.db"
    shutil.copy(queued, store)
    return store


def _wish(number: int) -> bytes:
    return b'{"type":"add_one","input":{"number":%d}}' % number


def _start(number: int, **headers: str) -> bytes:
    return request("POST", TASKS, _wish(number), **headers)


def _starts(count: int) -> list[bytes]:
    return [_start(number) for number in range(count)]


def _location(started: Answered) -> str:
    head, _, _ = started.last.partition(b"\r\n\r\n")
    (path,) = (line[10:].decode() for line in head.split(b"\r\n") if line.lower().startswith(b"location: "))
    return path


async def _rate(port: int, requests: list[bytes], callers: int) -> float:
    return len(requests) / (await ask(port, requests, callers=callers)).seconds
