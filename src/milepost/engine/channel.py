"""How do a running function and its worker talk?

What the function tells is buffered and flushed by the worker; what it saves is durable when `save` returns; that it is
to stop shows in `stopping`. `Lease` is the worker's end; a function in a process of its own holds another kind.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from milepost import times
from milepost.engine.outcome import Died, Outcome, Parked, Raised, Stopped, StopReason, veiled
from milepost.engine.relatives import ChildStart, Relatives
from milepost.engine.veil import Veil
from milepost.lifecycle import Report
from milepost.store.workers import Claimed
from milepost.task import Counts, DeliveredFile, Entry, Task
from milepost.times import Clock

_log = logging.getLogger(__name__)

MOST_WAITING: Final = 16 * 1024 * 1024
"""Bytes of a task's lines that wait to be written at most: some times what its log may have, so that only a flood comes
to it, or a store that takes nothing for long."""


class Channel(Protocol):
    """What a context needs of its worker."""

    task: Task
    """The record at the claim."""
    input: bytes
    """What it was started with, as JSON."""
    saved: bytes | None
    """What the last checkpoint saved, as JSON."""
    files: tuple[DeliveredFile, ...]
    """What was delivered with its input."""
    veil: Veil
    """What hides the secrets of the input."""
    stopping: StopReason | None
    """Why the function is to stop, once it is."""
    clock: Clock
    """The worker's; in a process of its own the system's."""

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

    async def fetch(self, number: int) -> Path:
        """The path of one of `files`. Raises TaskError."""
        ...


class _Lines:
    """Log entries that wait to be written: at most about `MOST_WAITING` bytes of them, what is beyond is counted."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._entries: list[Entry] = []
        self._size = self._dropped = 0
        self._latest: Entry | None = None  # of those that were dropped

    def add(self, entry: Entry, size: int) -> None:
        """Keep an entry, or drop it; once one was dropped all that follow are, so that what is left has one gap."""
        if self._dropped or self._size + size > MOST_WAITING:
            self._dropped += 1
            self._latest = entry
            return
        self._entries.append(entry)
        self._size += size

    def take(self) -> tuple[Entry, ...]:
        """All that wait, with a line at their end that says how many were dropped."""
        taken = tuple(self._entries)
        if self._latest is not None:
            lines = "1 line was" if self._dropped == 1 else f"{self._dropped} lines were"
            text = f"{lines} dropped here: there were more than could be written."
            taken += (replace(self._latest, level="warning", message=text, fields=None),)
        self._clear()
        return taken


def _size(entry: Entry) -> int:
    """About how many bytes an entry takes in the log."""
    return 100 + len(entry.message or "") + (len(msgspec.json.encode(entry.fields)) if entry.fields else 0)


class Lease:
    """A claimed task while this worker runs it: buffers what the function tells until it is flushed."""

    def __init__(
        self,
        claimed: Claimed,
        *,
        on_told: Callable[["Lease"], None],
        write: Callable[["Lease", Report], Awaitable[None]],
        relatives: Relatives,
        fetch: Callable[[Task, int, DeliveredFile], Awaitable[Path]],
        clock: Clock = times.now,
    ) -> None:
        self.clock = clock
        self.task = claimed.task
        self.input = claimed.input
        self.sealed = claimed.sealed
        self.secret: Sequence[str] = ()
        """Names of what is secret in the input."""
        self.veil = Veil()
        self.saved = claimed.checkpoint
        self.files = claimed.files
        self.stopping: StopReason | None = None
        self.asked: StopReason | None = None
        """Why the function was asked to stop at last, even if that was taken back."""
        self.forced = False
        """Force was used: what the function does from now on is no failure of its own."""
        self.writing = asyncio.Lock()
        """Held by whoever writes of this task, so that everything is written in the order in which it was told."""
        self._on_told = on_told
        self._write = write
        self._relatives = relatives
        self._fetch = fetch
        self._lock = threading.Lock()
        self._told = Report()
        self._lines = _Lines()
        self.unhook()

    def reveal(self, input: bytes, secret: Sequence[str]) -> None:
        """The input as it was given, and the names of what is secret in it, which nothing that is told shows."""
        self.input, self.secret = input, secret
        values = msgspec.json.decode(input, type=dict[str, Any]) if secret else {}
        self.veil = Veil(values[name] for name in secret)

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
        if self.veil:
            message = None if message is None else self.veil.text(message)
            entry = None if entry is None else self.veil.entry(entry)
        size = 0 if entry is None else _size(entry)
        with self._lock:
            told = self._told
            self._told = Report(
                told.progress if progress is None else progress,
                told.message if message is None else message,
                counts or told.counts,
            )
            if entry is not None:
                self._lines.add(entry, size)
        self._on_told(self)

    def take(self, checkpoint: bytes | UnsetType = UNSET) -> Report | None:
        """What was told since the last time, with a checkpoint if there is one; None for nothing at all."""
        with self._lock:
            told, entries = self._told, self._lines.take()
            self._told = Report()
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

    async def fetch(self, number: int) -> Path:
        """See Channel."""
        return await self._fetch(self.task, number, self.files[number])

    def stop(self, reason: StopReason) -> bool:
        """Ask the function to stop; True if that is news. A stronger reason replaces a weaker one."""
        if self.stopping is not None and _STRENGTH.index(reason) <= _STRENGTH.index(self.stopping):
            return False
        self.stopping = self.asked = reason
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

    def judge(self, outcome: Outcome) -> Outcome:
        """The outcome as it counts: here it is known why the function was to stop, and force is not its failure.

        And as it may be told.
        """
        outcome = veiled(outcome, self.veil) if self.veil else outcome
        if self.stopping is None:
            return outcome
        is_forced = self.forced and isinstance(outcome, Raised | Died)
        return Stopped(self.stopping) if is_forced or isinstance(outcome, Stopped) else outcome


def _nobody(_: StopReason | None) -> None:
    """There is no function to pass it on to."""


_STRENGTH: Final = (
    StopReason.PAUSE,
    StopReason.SHUTDOWN,
    StopReason.CANCEL,
    StopReason.TIMEOUT,
    StopReason.LEASE_LOST,
)
