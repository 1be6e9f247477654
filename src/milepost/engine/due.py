"""When do scheduled tasks, and the next runs of repeating ones, come into the queue?"""

from typing import ClassVar

from milepost.engine.background import BackgroundLoop
from milepost.times import MILLISECOND, SECOND

BATCH = 500


class Due(BackgroundLoop):
    """Queues what is due, waking just in time for the next one that it knows of."""

    every: ClassVar[int] = SECOND

    async def round(self) -> int:
        """See BackgroundLoop."""
        queued = await self.store.enqueue_due(now=self.clock(), limit=BATCH)
        if len(queued) == BATCH:
            return 0
        now = self.clock()
        ahead = await self.store.next_due(now=now)
        return self.every if ahead is None else min(self.every, max(MILLISECOND, ahead - now))
