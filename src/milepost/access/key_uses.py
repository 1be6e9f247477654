"""When was a key used last? To the minute, without a write for each request."""

import asyncio
import logging
from typing import Final

from milepost.store.api_keys import ApiKey, KeyStore
from milepost.times import MINUTE, Clock

logger = logging.getLogger(__name__)

PAUSE: Final = 5.0
"""Seconds for which uses are gathered before they are written together."""


class KeyUses:
    """Gathers uses of keys, and writes them to the store now and then.

    `clock` gives µs since the epoch. `pause`: seconds for which they are gathered.
    """

    def __init__(self, store: KeyStore, clock: Clock, *, pause: float = PAUSE) -> None:
        self._store = store
        self._clock = clock
        self._pause = pause
        self._noted: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, key: ApiKey) -> None:
        """A key, as it stands in the store, is used. What the store knows to the minute is not written again."""
        now = self._clock()
        if key.last_used_at is not None and now - key.last_used_at < MINUTE:
            return
        self._noted[key.id] = now
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._write)

    def _write(self) -> None:
        self._timer = None
        self._writing = asyncio.ensure_future(self._flush())

    async def _flush(self) -> None:
        uses, self._noted = self._noted, {}
        try:
            await self._store.note_key_uses(uses)
        except Exception as error:  # it hinders no request; whatever hinders it is told by others
            self._noted = uses | self._noted
            logger.warning("When keys were used could not be written; it is tried again: %s", error)

    async def close(self) -> None:
        """Write what was gathered. The store is open until then."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await self._writing
        if self._noted:
            await self._flush()
