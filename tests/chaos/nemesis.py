"""What goes wrong, and when? A schedule of faults that depends on the seed alone."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple

import psutil

from milepost.times import SECOND
from tests.chaos.cluster import Cluster
from tests.chaos.members import Target
from tests.chaos.sleeper import Sleeper

Kind = str
KINDS: Final[dict[Kind, int]] = {
    "kill worker": 8,
    "kill server": 4,
    "suspend worker": 5,
    "suspend server": 2,
    "stop worker": 2,
    "stop server": 1,
    "full disk": 3,
    "clock forward": 2,
    "clock back": 1,
    "oversleep": 0,
}
"""Every fault, and how often it is chosen. Workers oversleep at times of their own, so that no run is without that."""
PAUSE: Final = (1.0, 4.0)
"""Seconds between two faults."""
OVERSLEEP: Final = (11.0, 16.0)
"""Seconds between one worker that oversleeps and the next: about as long as one takes for it."""


class Fault(NamedTuple):
    """One thing that goes wrong `at` so many seconds after the beginning."""

    at: float
    kind: Kind
    which: int
    """Of which worker or server; for one that oversleeps whoever claims its task decides."""
    seconds: float
    """How long it lasts, or how far the clock jumps."""

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind} {self.which}, {self.seconds:.1f} s"


def schedule(seed: int, seconds: float) -> list[Fault]:
    """The faults of a run: each kind once as far as there is time, then more as chance has it."""
    chance = random.Random(f"faults {seed}")
    first = [kind for kind, weight in KINDS.items() if weight]
    chance.shuffle(first)
    faults = []
    at = chance.uniform(*PAUSE)
    while at < seconds:
        kind = first.pop() if first else chance.choices(list(KINDS), list(KINDS.values()))[0]
        faults.append(Fault(round(at, 2), kind, chance.randrange(6), round(_length(kind, chance), 2)))
        at += chance.uniform(*PAUSE)
    return sorted([*faults, *_oversleeping(random.Random(f"sleepers {seed}"), seconds)])


def _oversleeping(chance: random.Random, seconds: float) -> Iterator[Fault]:
    at = chance.uniform(*PAUSE)
    while at < seconds:
        yield Fault(round(at, 2), "oversleep", 0, 0.0)
        at += chance.uniform(*OVERSLEEP)


def _length(kind: Kind, chance: random.Random) -> float:
    match kind:
        case "suspend worker":
            return chance.choice(
                (chance.uniform(0.5, 3), chance.uniform(7, 11), chance.uniform(7, 11))
            )  # within and past its lease
        case "suspend server":
            return chance.uniform(0.5, 4)
        case "full disk":
            return chance.uniform(1, 5)
        case "clock forward":
            return chance.choice((chance.uniform(1, 5), chance.uniform(10, 60)))
        case "clock back":
            return chance.uniform(1, 12)
    return 0.0


class Nemesis:
    """Lets the faults happen to a cluster. `counts` says how many did, by kind."""

    def __init__(self, cluster: Cluster, sleeper: Sleeper, faults: Sequence[Fault]) -> None:
        self.counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._cluster = cluster
        self._sleeper = sleeper
        self._faults = faults
        self._disk = asyncio.Lock()
        self._acts: dict[Kind, Callable[[Fault], Awaitable[bool]]] = {
            "kill worker": lambda fault: self._end(self._worker(fault), signal.SIGKILL),
            "kill server": lambda fault: self._end(self._server(fault), signal.SIGKILL),
            "suspend worker": lambda fault: self._suspend(self._worker(fault), fault.seconds),
            "suspend server": lambda fault: self._suspend(self._server(fault), fault.seconds),
            "stop worker": lambda fault: self._end(self._worker(fault), signal.SIGTERM),
            "stop server": lambda fault: self._end(self._server(fault), signal.SIGTERM),
            "full disk": self._fill_disk,
            "clock forward": lambda fault: self._jump(fault.seconds),
            "clock back": lambda fault: self._jump(-fault.seconds),
            "oversleep": lambda _: sleeper.oversleep(),
        }

    async def run(self) -> None:
        """Return when all faults have happened and what they broke is whole again."""
        async with asyncio.TaskGroup() as group:
            for fault in self._faults:
                group.create_task(self._let_happen(fault))

    async def _let_happen(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        if await self._acts[fault.kind](fault):
            self.counts[fault.kind] += 1

    def _worker(self, fault: Fault) -> Target:
        """Whoever oversleeps is left to it."""
        workers = [member.worker for member in (self._cluster.servers[0], *self._cluster.workers)]
        awake = [worker for worker in workers if not self._oversleeps(worker)] or workers
        return awake[fault.which % len(awake)]

    def _oversleeps(self, worker: Target) -> bool:
        process = worker.find()
        return process is not None and process.pid in self._sleeper.asleep

    def _server(self, fault: Fault) -> Target:
        servers = self._cluster.servers
        return servers[fault.which % len(servers)]

    async def _end(self, target: Target, number: signal.Signals) -> bool:
        return target.send(number)

    async def _suspend(self, target: Target, seconds: float) -> bool:
        """Suspend a process, and wake that very one: its place may be taken by another meanwhile."""
        process = target.find()
        if process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
            try:
                await asyncio.sleep(seconds)
            finally:
                process.resume()
        return True

    async def _fill_disk(self, fault: Fault) -> bool:
        async with self._disk:
            self._cluster.disk.fill()
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                self._cluster.disk.free()
        return True

    async def _jump(self, seconds: float) -> bool:
        self._cluster.clock.jump(round(seconds * SECOND))
        return True
