"""When do results, records and files whose time is over go?"""

from typing import ClassVar

from milepost.engine.background import BackgroundLoop
from milepost.times import HOUR, SECOND

BATCH = 500


class Expire(BackgroundLoop):
    """Retention, applied well within a minute; readers check it again themselves."""

    every: ClassVar[int] = 5 * SECOND

    async def round(self) -> int:
        """See BackgroundLoop."""
        gone = await self.store.expire(now=self.clock(), limit=BATCH)
        await self.files.delete(gone.file_keys)
        return 0 if gone.more else self.every


class Sweep(BackgroundLoop):
    """Files that were written for a result, or delivered, and that no task has: who wrote them died before that."""

    every: ClassVar[int] = HOUR

    async def round(self) -> int:
        """See BackgroundLoop."""
        await self.files.sweep(older_than=HOUR, now=self.clock(), known=self.store.known_files)
        return self.every
