"""When do results, records, files and keys whose time is over go?"""

from typing import ClassVar, Final

from milepost.engine.background import BackgroundLoop
from milepost.times import DAY, HOUR, SECOND

BATCH = 500

KEYS_KEPT: Final = 30 * DAY
"""How long a key is remembered that has expired or was revoked."""


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


class Forget(BackgroundLoop):
    """Keys that ended long ago. They let nobody in: nothing depends on when they go."""

    every: ClassVar[int] = HOUR

    async def round(self) -> int:
        """See BackgroundLoop."""
        gone = await self.store.forget_keys(until=self.clock() - KEYS_KEPT, limit=BATCH)
        return 0 if gone == BATCH else self.every
