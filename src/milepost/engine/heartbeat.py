"""How does a worker keep its lease while its tasks hold the interpreter or its event loop?"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from milepost.store.protocol import Heart
from milepost.times import SECOND, Clock

_log = logging.getLogger(__name__)

LEASE: Final = 6 * SECOND
"""How long a lease holds after a heartbeat."""
BEAT: Final = 2 * SECOND
"""The pause between two heartbeats."""


class Heartbeat:
    """Extends one worker's lease from a thread of its own, until stopped or until the lease is over.

    `on_over` is called, in that thread, when the lease ended in spite of the heartbeats.
    """

    def __init__(self, heart: Callable[[], Heart], worker: str, *, clock: Clock, on_over: Callable[[], None]) -> None:
        self._heart = heart
        self._worker = worker
        self._clock = clock
        self._on_over = on_over
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the lease then ends by itself."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        heart = self._heart()
        try:
            until = self._clock() + LEASE
            while not self._stopped.wait(BEAT / SECOND):
                now = self._clock()
                try:
                    alive = heart.beat(self._worker, now=now, until=now + LEASE)
                    until = now + LEASE if alive else now
                except Exception:
                    _log.exception("A heartbeat failed")
                    alive = now < until
                if not alive:
                    self._on_over()
                    return
        finally:
            heart.close()
