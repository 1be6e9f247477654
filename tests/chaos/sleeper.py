"""How does a worker wake up after its lease, for sure, and write of a task that another one has by then?

A task suspends its worker in the middle of its work. Once the lease is over and the next try has come to a checkpoint,
that worker is woken: the first thing that it does is to write a checkpoint of its own, which only the store can refuse.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from tests.chaos.caller import UNREACHABLE, Caller
from tests.chaos.cluster import Cluster
from tests.chaos.traces import Mark, marks, path_of

TYPES: Final = ("oversleeps", "oversleeps_in_thread")
INPUT: Final = {"steps": 10, "seconds": 0.5}
"""The next try is still at work for some seconds when it has come to its first checkpoint."""
FIRST: Final = 100
"""The priority of such a task: it is not to wait behind others."""
ASLEEP_WITHIN: Final = 10.0
LOST_WITHIN: Final = 20.0
"""Seconds in which a worker falls asleep, and in which the next try comes to a checkpoint; else something else has gone
wrong first. A lease holds for 6 s, whoever watches it notices up to 2 s later, and a process has to start."""
LOOK_EVERY: Final = 0.05
TRIES: Final = 5


class Sleeper:
    """Lets workers oversleep, whichever claim its tasks. `asleep` are their pids."""

    def __init__(self, cluster: Cluster, caller: Caller) -> None:
        self.asleep: set[int] = set()
        self._cluster = cluster
        self._caller = caller
        self._started = 0

    async def close(self) -> None:
        """Hang up."""
        await self._caller.close()

    async def oversleep(self) -> bool:
        """Whether a worker woke while another one was at work on its task."""
        for _ in range(TRIES):
            task = await self._start()
            asleep = task and await self._mark(task, lambda mark: mark.event == "asleep", ASLEEP_WITHIN)
            if not asleep:
                return False
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(asleep.pid)
                self.asleep.add(process.pid)
                try:
                    if await _stopped(process) and not has_turn(process.pid, self._cluster.store):
                        newer = await self._mark(asleep.task, partial(_goes_on_after, asleep), LOST_WITHIN)
                        return newer is not None and process.status() == psutil.STATUS_STOPPED
                finally:
                    self.asleep.discard(process.pid)
                    process.resume()
        return False

    async def _start(self) -> str | None:
        self._started += 1
        tag = f"{self._caller.name}-{self._started}"
        body = {"type": TYPES[self._started % len(TYPES)], "input": INPUT, "title": tag, "priority": FIRST}
        deadline = time.monotonic() + ASLEEP_WITHIN
        while time.monotonic() < deadline:
            started = await self._caller.ask(
                "start",
                "/v1/tasks",
                method="POST",
                json=body,
                headers={"idempotency-key": tag},
                tag=tag,
                keyed=True,
            )
            if started.task is not None:
                return started.task
            await asyncio.sleep(UNREACHABLE)
        return None

    async def _mark(self, task: str, is_meant: Callable[[Mark], bool], within: float) -> Mark | None:
        """The first such mark of a task, if it comes within so many seconds."""
        path = path_of(task, self._cluster.traces)
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for mark in marks(path):
                if is_meant(mark):
                    return mark
            await asyncio.sleep(LOOK_EVERY)
        return None


def _goes_on_after(asleep: Mark, mark: Mark) -> bool:
    return mark.epoch > asleep.epoch and mark.event == "saved"


def has_turn(pid: int, store: Path) -> bool:
    """Whether a process has its turn to write: while it sleeps then, nobody can begin the next try. See Gate."""
    locks = Path("/proc/locks").read_text()
    for status in (store.with_name(f"{store.name}-{lock}").stat() for lock in ("turn", "write")):
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        if f" {pid} {device}:{status.st_ino} " in locks:
            return True
    return False


async def _stopped(process: psutil.Process) -> bool:
    """Whether it is suspended, as it is to be at once. Raises NoSuchProcess."""
    deadline = time.monotonic() + ASLEEP_WITHIN
    while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_EVERY)
    return bool(process.status() == psutil.STATUS_STOPPED)
