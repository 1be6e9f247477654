"""When does who waits give up? Thousands who wait for a minute share a timer, as one each takes more than all else."""

import asyncio
from math import ceil
from typing import Final

GRAIN: Final = 0.05
"""Seconds that somebody is kept longer at most."""
LONG: Final = 5.0
"""Seconds from which on that does not matter."""


class Deadlines:
    """Sets futures of one event loop, which nothing else has set, once their time has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[float, set[asyncio.Future[None]]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """How many timers there are."""
        return len(self._timers)

    def add(self, woken: asyncio.Future[None], timeout: float) -> float:
        """Set this after `timeout` seconds; by what is returned it is taken back."""
        when = self._loop.time() + timeout
        if timeout >= LONG:
            when = ceil(when / GRAIN) * GRAIN
        if when not in self._due:
            self._due[when] = set()
            self._timers[when] = self._loop.call_at(when, self._over, when)
        self._due[when].add(woken)
        return when

    def remove(self, woken: asyncio.Future[None], when: float) -> None:
        """Do not set this any more."""
        due = self._due.get(when)
        if due is None:
            return
        due.discard(woken)
        if not due:
            del self._due[when]
            self._timers.pop(when).cancel()

    def _over(self, when: float) -> None:
        del self._timers[when]
        for woken in self._due.pop(when):
            if not woken.done():
                woken.set_result(None)
