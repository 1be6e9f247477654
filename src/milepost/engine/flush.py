"""When does what running tasks tell become durable? At most ten times a second, for all of them together."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from milepost.engine.channel import Lease
from milepost.engine.outcome import Parked

_log = logging.getLogger(__name__)

FLUSH_EVERY: Final = 0.1
"""Seconds between two flushes."""


class Flusher:
    """Writes what leases have buffered; `note` may be called from any thread."""

    def __init__(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._loop = asyncio.get_running_loop()
        self._sleep = sleep
        self._lock = threading.Lock()
        self._dirty: set[Lease] = set()
        self._woken = asyncio.Event()

    def note(self, lease: Lease) -> None:
        """This lease has something to write."""
        with self._lock:
            is_first = not self._dirty
            self._dirty.add(lease)
        if is_first:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the worker went without this thread
                self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            with self._lock:
                leases, self._dirty = self._dirty, set()
            await asyncio.gather(*map(_flush, leases))
            await self._sleep(FLUSH_EVERY)


async def _flush(lease: Lease) -> None:
    try:
        await lease.save()
    except Parked:
        pass  # the lease is lost; what its function tells counts no more
    except Exception:
        _log.exception("What task %s told could not be written", lease.task.id)
