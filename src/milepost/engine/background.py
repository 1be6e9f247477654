"""How does a loop that looks after the store run: again and again, whatever a round meets?"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import ClassVar

from milepost.files.protocol import FileStore
from milepost.store.protocol import TaskStore
from milepost.times import SECOND, Clock

_log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class BackgroundLoop(ABC):
    """One concern, one `round` at a time. Clock and sleep are given, so that a simulator can drive it."""

    every: ClassVar[int]
    """The pause between two rounds, in µs, unless a round says another."""

    def __init__(self, store: TaskStore, files: FileStore, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self.store = store
        self.files = files
        self.clock = clock
        self._sleep = sleep

    @abstractmethod
    async def round(self) -> int:
        """Do what is due; returns the pause until the next round, in µs."""

    async def run(self) -> None:
        """Go round until cancelled. A round that fails is logged and tried again after the usual pause."""
        while True:
            pause = self.every
            try:
                pause = await self.round()
            except Exception:
                _log.exception("%s failed; next try in %.0f s", type(self).__name__, self.every / SECOND)
            await self.pause(pause)

    async def pause(self, length: int) -> None:
        """Let `length` µs pass."""
        await self._sleep(length / SECOND)


@contextlib.asynccontextmanager
async def run_together(loops: Iterable[BackgroundLoop]) -> AsyncIterator[None]:
    """Run loops in the background of a block."""
    running = [asyncio.create_task(loop.run(), name=type(loop).__name__) for loop in loops]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
