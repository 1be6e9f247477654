"""How does a server run its worker itself, one a host however many processes it has?

All of them try to get one lock; who holds it works. The kernel frees it when its holder ends, however it does, and then
another process takes over.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from milepost.engine.slots import Slots
from milepost.engine.worker import DEFAULT_CONCURRENCY, Worker

_log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between two tries to get the lock."""
PAUSE: Final = 2 * POLL
"""Seconds for which a process whose worker ended lets the others try."""


class HostWorker:
    """Runs workers that `make` gives, one after another, while this process holds `lock`; `concurrency` tasks at once.

    The process is somebody else's, and is not begun afresh because functions in it do not stop. Those keep their slots,
    of one worker after the other, and the rest goes on. Once no slot is left others may have the lock, and this process
    takes part again when one of those functions has ended.

    The lock is a flock(2) lock on a file: it belongs to a process and to those that were forked from it, and shuts out
    another HostWorker in the same process too.
    """

    def __init__(self, lock: Path, make: Callable[[Slots], Worker], *, concurrency: int = DEFAULT_CONCURRENCY) -> None:
        self._lock = lock
        self._make = make
        self._slots = Slots(concurrency, worn_at=concurrency)
        self._stopping = asyncio.Event()
        self._worker: Worker | None = None
        self._running: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run in the background of a block. At its end tasks have their grace time, unless it is cancelled.

        Raises OSError where the lock's file can't be made.
        """
        file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        running = self._running = asyncio.create_task(self._run(file), name="milepost-worker")
        try:
            yield
        except asyncio.CancelledError:
            running.cancel()  # the process is to end at once
            raise
        finally:
            self._stop()
            try:
                await asyncio.wait([running])
            finally:
                running.cancel()
                os.close(file)

    def end(self) -> None:
        """Give up at once what runs; its lease runs out."""
        if self._running is not None:
            self._running.cancel()

    def _stop(self) -> None:
        self._stopping.set()
        if self._worker is not None:
            self._worker.stop()

    async def _run(self, file: int) -> None:
        while not self._stopping.is_set():
            pause = POLL
            if self._slots.are_worn:
                await self._wait_for_a_slot()
            elif _taken(file):
                await self._work()
                fcntl.flock(file, fcntl.LOCK_UN)
                pause = PAUSE
            await self._rest(pause)

    async def _wait_for_a_slot(self) -> None:
        _log.error(
            "%s are taken by tasks that do not stop: this process runs no more until one of these ends. Restart it, "
            'and give such tasks checkpoints, or runner="process", which can be ended.',
            self._slots,
        )
        freed, stopping = asyncio.create_task(self._slots.freed()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([freed, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            freed.cancel()
            stopping.cancel()

    async def _work(self) -> None:
        """Work until stopped, or until no slot is left, or the worker fails: a new one then begins."""
        _log.info("This process runs the tasks now")
        try:
            self._worker = self._make(self._slots)
            await self._worker.run()
        except Exception:
            _log.exception("The worker failed; another one begins soon")
        finally:
            self._worker = None

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks
        _log.exception("No worker can run here: its lock can't be taken")
        return False
    return True
