"""How do a running function and its worker talk?

What the function tells is buffered and flushed by the worker; what it saves is durable when `save` returns; that it is
to stop shows in `stopping`. `Lease` is the worker's end; a function in a process of its own holds another kind.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from msgspec import UNSET, UnsetType

from milepost.engine.outcome import Parked, StopReason
from milepost.engine.relatives import ChildStart, Relatives
from milepost.lifecycle import Report
from milepost.store.protocol import Claimed
from milepost.task import Counts, Entry, Task

_log = logging.getLogger(__name__)


class Channel(Protocol):
    """What a context needs of its worker."""

    task: Task
    """The record at the claim."""
    saved: bytes | None
    """What the last checkpoint saved, as JSON."""
    stopping: StopReason | None
    """Why the function is to stop, once it is."""

    def tell(
        self,
        *,
        progress: float | None = None,
        message: str | None = None,
        counts: Counts | None = None,
        entry: Entry | None = None,
    ) -> None:
        """Note how far it is, or a log entry. From any thread, at once; durable with the next flush."""
        ...

    async def save(self, checkpoint: bytes | UnsetType = UNSET) -> None:
        """Make durable what was told, and a checkpoint (JSON) with it. Raises Parked when the lease is lost."""
        ...

    async def result_of(self, id: str) -> bytes:
        """See Relatives."""
        ...

    async def start(self, wish: ChildStart) -> Task:
        """See Relatives."""
        ...

    async def children(self, ids: Sequence[str]) -> list[Task]:
        """See Relatives."""
        ...


class Lease:
    """A claimed task while this worker runs it: buffers what the function tells until it is flushed."""

    def __init__(
        self,
        claimed: Claimed,
        *,
        on_told: Callable[["Lease"], None],
        write: Callable[["Lease", Report], Awaitable[None]],
        relatives: Relatives,
    ) -> None:
        self.task = claimed.task
        self.input = claimed.input
        self.saved = claimed.checkpoint
        self.stopping: StopReason | None = None
        self.forced = False
        """Force was used: what the function does from now on is no failure of its own."""
        self.writing = asyncio.Lock()
        """Held by whoever writes of this task, so that everything is written in the order in which it was told."""
        self._on_told = on_told
        self._write = write
        self._relatives = relatives
        self._lock = threading.Lock()
        self._told = Report()
        self._entries: list[Entry] = []
        self.unhook()

    def hook(self, *, on_stop: Callable[[StopReason | None], object], on_force: Callable[[StopReason], object]) -> None:
        """For the runner. `on_stop` passes a request to stop on, or (None) that it was taken back; `on_force` acts."""
        self._on_stop = on_stop
        self._on_force = on_force

    def unhook(self) -> None:
        """The function has ended: there is nobody to stop any more."""
        self.hook(on_stop=_nobody, on_force=_nobody)

    def tell(
        self,
        *,
        progress: float | None = None,
        message: str | None = None,
        counts: Counts | None = None,
        entry: Entry | None = None,
    ) -> None:
        """See Channel."""
        with self._lock:
            told = self._told
            self._told = Report(
                told.progress if progress is None else progress,
                told.message if message is None else message,
                counts or told.counts,
            )
            if entry is not None:
                self._entries.append(entry)
        self._on_told(self)

    def take(self, checkpoint: bytes | UnsetType = UNSET) -> Report | None:
        """What was told since the last time, with a checkpoint if there is one; None for nothing at all."""
        with self._lock:
            told, entries = self._told, tuple(self._entries)
            self._told = Report()
            self._entries.clear()
        if told == Report() and not entries and checkpoint is UNSET:
            return None
        return Report(told.progress, told.message, told.counts, entries, checkpoint)

    async def save(self, checkpoint: bytes | UnsetType = UNSET) -> None:
        """See Channel."""
        saving = asyncio.ensure_future(self._save(checkpoint))
        try:
            # If the function stops waiting (its own time limit, or force), what was taken is still written.
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            saving.add_done_callback(self._saved_unseen)
            raise

    def _saved_unseen(self, saving: "asyncio.Future[None]") -> None:
        """Nobody waits for the end of this any more; that the lease is lost is nothing to tell of."""
        error = None if saving.cancelled() else saving.exception()
        if error is not None and not isinstance(error, Parked):
            _log.error("What task %s told could not be written", self.task.id, exc_info=error)

    async def _save(self, checkpoint: bytes | UnsetType) -> None:
        async with self.writing:
            report = self.take(checkpoint)
            if report is not None:
                await self.write(report)

    async def write(self, report: Report) -> None:
        """Make a report durable. Raises Parked when the lease is lost."""
        if self.stopping is StopReason.LEASE_LOST:
            raise Parked(StopReason.LEASE_LOST)
        await self._write(self, report)

    async def result_of(self, id: str) -> bytes:
        """See Relatives."""
        return await self._relatives.result_of(self.task, id)

    async def start(self, wish: ChildStart) -> Task:
        """See Relatives. What stops it stops the function."""
        try:
            return await self._relatives.start(self.task, wish)
        except Parked as parked:
            self.stop(parked.reason)
            raise

    async def children(self, ids: Sequence[str]) -> list[Task]:
        """See Relatives."""
        return await self._relatives.children(self.task, ids)

    def stop(self, reason: StopReason) -> bool:
        """Ask the function to stop; True if that is news. A stronger reason replaces a weaker one."""
        if self.stopping is not None and _STRENGTH.index(reason) <= _STRENGTH.index(self.stopping):
            return False
        self.stopping = reason
        self._on_stop(reason)
        return True

    def force(self, reason: StopReason) -> None:
        """End the function by force, as far as its runner can: it did not stop in time for `reason`."""
        self.forced = True
        self._on_force(reason)

    def carry_on(self) -> None:
        """Take back a pause that the function has not come to yet."""
        if self.stopping is StopReason.PAUSE:
            self.stopping = None
            self._on_stop(None)


def _nobody(_: StopReason | None) -> None:
    """There is no function to pass it on to."""


_STRENGTH: Final = (
    StopReason.PAUSE,
    StopReason.SHUTDOWN,
    StopReason.CANCEL,
    StopReason.TIMEOUT,
    StopReason.LEASE_LOST,
)
