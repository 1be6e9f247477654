"""What do the processes that share a store do to each other, and what would be without the gate and the doorbell?

Each figure is taken beside that of another way to do the same, in the same run, a round of one after a round of the
other: for the gate SQLite's own lock with `busy_timeout`, for the doorbell a look every so often whether anybody has
committed. Everything runs on this machine, in folders that are removed.
"""

import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import uvloop
from command import parser, run, tell
from figures import Figure, Unit
from measures import idle_processor, queue
from processes import neighbour, processor_seconds

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.start import Start
from milepost.update import Update

EXAMPLES = """
examples:
  python benchmarks/between_processes.py                    all of it, in some minutes
  python benchmarks/between_processes.py --only gate --rounds 9
  python benchmarks/between_processes.py --json > figures.json
  python benchmarks/between_processes.py --check            exit code 1 where less is reached than wanted
"""

QUEUED: Final = 10_000
"""Tasks that the worker runs in a round."""
BATCHES: Final = 20
"""So many of the worker's batches may pass, nearly always, until somebody else's start is durable."""
CHANGES: Final = 200
"""Changes in a round that somebody waits for."""
WAKE: Final = 5.0
"""Milliseconds within which who waits knows of most of them."""
APART: Final = (0.01, 0.03)
"""Seconds from one of these to the next, somewhere in between."""
IDLE: Final = 5
"""Seconds for which a process is watched that has nothing to do."""


class Beside(NamedTuple):
    """A round of starts beside a worker."""

    slowest: float
    """The 99th percentile of what a start took (ms)."""
    longest: float
    batch: float
    """For how long a commit of the worker's kept others out (ms), the median."""
    ran: float
    """Tasks a second."""


class Change(NamedTuple):
    """A change of a task: when it was asked for, and when it was durable (s)."""

    version: int
    began: float
    durable: float


class Woken(NamedTuple):
    """A round of changes that another process waits for, medians."""

    after: float
    """From the call that makes a change until the other process has read it (ms)."""
    durable: float
    """From that call until it is durable (ms)."""
    used: float
    """The share of a processor (%) that the other process needs while nothing happens."""


async def gate(folder: Path, rounds: int, scale: float) -> list[Figure]:
    """One process starts tasks, one after the other, beside a worker that takes all that it can get."""
    count = max(200, round(QUEUED * scale))
    queued = folder / "queued.db"
    await queue(queued, count)
    without, ours = list[Beside](), list[Beside]()
    for _ in range(rounds):
        without.append(await _beside(folder, queued, count, "--no-gate"))
        ours.append(await _beside(folder, queued, count))
    batch = median(each.batch for each in ours)
    slowest = "99 of 100 starts take at most, beside a worker that drains"
    return [
        _figure("start", slowest, "ms", "slowest", ours, without, at_most=BATCHES * batch),
        _figure("longest", "the longest of them", "ms", "longest", ours, without),
        _figure("batch", "that a batch of this worker keeps others out", "ms", "batch", ours),
        _figure("ran", "run by this worker meanwhile", "/s", "ran", ours, without),
    ]


async def _beside(folder: Path, queued: Path, count: int, *options: str) -> Beside:
    where = Path(tempfile.mkdtemp(dir=folder))
    store = shutil.copy(queued, where / "tasks.db")
    async with (
        neighbour("work", store, count, *options, folder=where) as worker,
        neighbour("start", store, *options, folder=where) as starter,
    ):
        worker.begin()
        starter.begin()
        worked = await worker.done()
        took = sorted(await starter.done(stop=True))
    return Beside(
        took[len(took) * 99 // 100] * 1e3,
        took[-1] * 1e3,
        median(worked["held"] or [0]) * 1e3,
        count / worked["seconds"],
    )


async def doorbell(folder: Path, rounds: int, scale: float) -> list[Figure]:
    """One process waits for a task that another changes now and then.

    Beside it stands one that looks for commits, so often that it would know as soon.
    """
    count, idle = max(10, round(CHANGES * scale)), max(0.5, IDLE * scale)
    heard, polled = list[Woken](), list[Woken]()
    store = folder / "tasks.db"
    async with Milepost(store, files_root=folder).opened() as service:
        start = Start(type="watched", runner="external")
        task = (await service.start(LOCAL, start, origin="python")).task

        async def change() -> Change:
            began = time.monotonic()
            changed = await service.update(LOCAL, task.id, Update(title=str(began)))
            return Change(changed.version, began, time.monotonic())

        for _ in range(rounds):
            heard.append(await _woken(folder, change, count, idle, "hear", store, task.id, count))
            # A commit comes, on average, in the middle between two looks.
            pause = 2 * max(heard[-1].after - heard[-1].durable, 0.1) / 1e3
            polled.append(await _woken(folder, change, count, idle, "poll", store, task.id, count, pause))
    return [
        _figure("wake", "from a change to who waits for it", "ms", "after", heard, polled, at_most=WAKE),
        _figure("waiting", "used by who waits, while nothing happens", "% of a core", "used", heard, polled),
    ]


async def _woken(
    folder: Path, change: Callable[[], Awaitable[Change]], count: int, idle: float, *arguments: object
) -> Woken:
    changes: list[Change] = []
    async with neighbour(*arguments, folder=folder) as waiter:
        waiter.begin()
        before = processor_seconds([waiter.pid])
        await asyncio.sleep(idle)
        used = (processor_seconds([waiter.pid]) - before) / idle * 100
        for _ in range(count):
            changes.append(await change())
            await asyncio.sleep(random.uniform(*APART))
        known = {int(version): when for version, when in (await waiter.done()).items()}
    return Woken(
        # Who was late may have read several changes at once.
        median(min(known[v] for v in known if v >= each.version) - each.began for each in changes) * 1e3,
        median(each.durable - each.began for each in changes) * 1e3,
        used,
    )


def _figure(
    name: str,
    what: str,
    unit: Unit,
    part: str,
    ours: Sequence[Beside | Woken],
    otherwise: Sequence[Beside | Woken] = (),
    *,
    at_most: float | None = None,
) -> Figure:
    """The figure that a part of these rounds makes."""
    values, beside = ([getattr(each, part) for each in rounds] for rounds in (ours, otherwise))
    return Figure(name, what, unit, values, beside, at_most=at_most)


async def idle(folder: Path, rounds: int, scale: float) -> list[Figure]:
    """What a service with its worker needs to hear of everything, while there is nothing to hear; as in `basics.py`."""
    async with idle_processor(folder, max(1, round(IDLE * scale))) as pair:
        used = [await pair.ours() for _ in range(rounds)]
    return [Figure("idle", "used by server and worker, idle", "% of a core", used, at_most=1.0)]


MEASURES: Final[Mapping[str, Callable[[Path, int, float], Awaitable[list[Figure]]]]] = {
    "gate": gate,
    "doorbell": doorbell,
    "idle": idle,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; the exit code."""
    wanted = parser(__doc__, EXAMPLES, MEASURES).parse_args(arguments)
    figures: list[Figure] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name, measure in MEASURES.items():
            if not wanted.only or name in wanted.only:
                print(f"{name}: {(measure.__doc__ or '').splitlines()[0]}", file=sys.stderr, flush=True)
                figures += runner.run(_measured(measure, wanted.rounds, wanted.scale, wanted.folder))
    return tell(figures, wanted, beside="otherwise")


async def _measured(
    measure: Callable[[Path, int, float], Awaitable[list[Figure]]], rounds: int, scale: float, where: Path | None
) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="milepost-", dir=where, ignore_cleanup_errors=True) as folder:
        return await measure(Path(folder), rounds, scale)


if __name__ == "__main__":
    run(main)
