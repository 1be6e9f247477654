"""How does a worker keep its lease while its tasks hold the interpreter or its event loop?"""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

from milepost.store.workers import Heart
from milepost.times import SECOND, Clock, elapsed

_log = logging.getLogger(__name__)

LEASE: Final = 6 * SECOND
"""How long a lease holds after a heartbeat."""
BEATS: Final = 3
"""Heartbeats in the time of a lease: two may fail."""


class Heartbeat:
    """Keeps one worker's lease, which holds for `lease` µs after a beat, from a thread of its own.

    It ends when it is stopped, or when the lease is over in spite of it: then `on_over` is called, in that thread.
    `timer` gives µs since some moment.
    """

    def __init__(
        self,
        heart: Callable[[], Heart],
        worker: str,
        *,
        on_over: Callable[[], object],
        lease: int = LEASE,
        timer: Clock = elapsed,
    ) -> None:
        self._heart = heart
        self._worker = worker
        self._on_over = on_over
        self._lease = lease
        self._timer = timer
        self._beat_at = timer()
        self._stopped = threading.Event()
        self._opened = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the lease then ends by itself. A beat that still waits for the store is not waited for."""
        self._stopped.set()
        self._thread.join(self._lease / SECOND)

    def _run(self) -> None:
        heart = None
        with self._opened:
            while not self._stopped.wait(self._lease / BEATS / SECOND):
                try:
                    heart = heart or self._open()
                    alive = self._beat(heart)
                except Exception:
                    _log.exception("A heartbeat failed")
                    alive = self._timer() - self._beat_at < self._lease
                if not alive:
                    self._on_over()
                    return

    def _open(self) -> Heart:
        heart = self._heart()
        self._opened.callback(heart.close)
        return heart

    def _beat(self, heart: Heart) -> bool:
        began = self._timer()
        alive = heart.beat(self._worker)
        if alive:
            self._beat_at = began
        return alive
