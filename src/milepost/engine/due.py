"""When do scheduled tasks, and the next runs of repeating ones, come into the queue?"""

from typing import ClassVar, Final

from milepost.engine.background import SHORTEST, AttentiveLoop
from milepost.times import SECOND

BATCH: Final = 500


class Due(AttentiveLoop):
    """Queues what is due, waking just in time for the next that it knows of, or hears of meanwhile."""

    every: ClassVar[int] = SECOND

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
