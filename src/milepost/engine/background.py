"""How does a loop that looks after the store run: again and again, whatever a round meets?"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import ClassVar, Final

from milepost.files.protocol import FileStore
from milepost.store.protocol import TaskStore
from milepost.times import MILLISECOND, SECOND, Clock

_log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]

SHORTEST: Final = 10 * MILLISECOND
"""So long is each pause of an attentive loop at least, however often something is committed."""


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


class AttentiveLoop(BackgroundLoop):
    """One whose pauses end early when something was committed, by whichever process."""

    def __init__(self, store: TaskStore, files: FileStore, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(store, files, clock, sleep)
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """See BackgroundLoop."""
        listening = asyncio.create_task(self._listen())
        try:
            await super().run()
        finally:
            listening.cancel()

    async def _listen(self) -> None:
        async for _ in self.store.changes():
            self._changed.set()

    async def pause(self, length: int) -> None:
        """Let `length` µs pass, or less if something was committed: it may be due earlier."""
        await super().pause(min(length, SHORTEST))
        if length <= SHORTEST:
            return
        rest = asyncio.ensure_future(super().pause(length - SHORTEST))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([rest, change], return_when=asyncio.FIRST_COMPLETED)
        finally:
            rest.cancel()
            change.cancel()
        self._changed.clear()


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
