"""How does a worker wake up after its lease, for sure, and write of a task that another one has by then?

A task suspends its worker in the middle of its work. Once the lease is over and the next try has come to a checkpoint,
that worker is woken: the first thing that it does is to write a checkpoint of its own, which only the store can refuse.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
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


class Sleeper:
    """Lets workers oversleep, whichever claims its tasks."""

    def __init__(self, cluster: Cluster, caller: Caller) -> None:
        self._cluster = cluster
        self._caller = caller
        self._started = 0

    async def close(self) -> None:
        """Hang up."""
        await self._caller.close()

    async def oversleep(self) -> bool:
        """Whether a worker woke while another one was at work on its task."""
        task = await self._start()
        if task is None or (asleep := await self._mark(task, _is_asleep, ASLEEP_WITHIN)) is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(asleep.pid)
            try:
                newer = await self._mark(
                    task, lambda mark: mark.epoch > asleep.epoch and mark.event == "saved", LOST_WITHIN
                )
            finally:
                process.resume()
            return newer is not None
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


def _is_asleep(mark: Mark) -> bool:
    return mark.event == "asleep"
