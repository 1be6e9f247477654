"""When do scheduled tasks, and the next runs of repeating ones, come into the queue?"""

import asyncio
from typing import ClassVar, Final

from milepost.engine.background import BackgroundLoop, Sleep
from milepost.files.protocol import FileStore
from milepost.store.protocol import TaskStore
from milepost.times import MILLISECOND, SECOND, Clock

BATCH: Final = 500
SHORTEST: Final = 10 * MILLISECOND
"""So long is each pause at least, however often something is committed."""


class Due(BackgroundLoop):
    """Queues what is due, waking just in time for the next that it knows of, or hears of meanwhile."""

    every: ClassVar[int] = SECOND

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

    async def round(self) -> int:
        """See BackgroundLoop."""
        now = self.clock()
        due = await self.store.next_due(now=now)
        if due is not None and due <= now:
            queued = await self.store.enqueue_due(now=now, limit=BATCH)
            if len(queued) == BATCH:
                return 0
            due = await self.store.next_due(now=now)
        return self.every if due is None else min(self.every, max(SHORTEST, due - now))

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
