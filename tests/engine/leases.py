"""Leases without a worker: what a function tells is kept where a test can look at it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from milepost import times
from milepost.engine.channel import Lease
from milepost.engine.outcome import Parked, StopReason
from milepost.engine.relatives import ChildStart
from milepost.engine.task_type import TaskType
from milepost.lifecycle import Report
from milepost.store.workers import Claimed
from milepost.task import DeliveredFile, Entry, State, Task

WITHIN: Final = 20.0
"""Seconds after which a wait has failed."""


def running(type: str = "work", **fields: Any) -> Task:
    """The record of a task that runs its first attempt."""
    now = times.now()
    given = {"state": State.RUNNING, "attempt": 1, "epoch": 1, "started_at": now, **fields}
    return Task(
        id="01a20761-6b03-7624-9c56-3962462f175b",
        tenant="default",
        owner="local",
        type=type,
        created_at=now,
        updated_at=now,
        **given,
    )


class Book:
    """Where leases write: `reports`, in the order in which they were written."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.results: dict[str, bytes] = {}
        self.is_open = asyncio.Event()
        """Cleared, nothing is written until it is set."""
        self.is_open.set()
        self.begun = asyncio.Event()
        """Set when somebody begins to write."""
        self._written = asyncio.Event()
        self.is_lost = self.fails = False
        self.at_once = self._writing = 0
        """How many wrote at the same time, at most."""

    def lease(
        self,
        task: Task | None = None,
        *,
        input: bytes = b"{}",
        saved: bytes | None = None,
        on_told: Callable[[Lease], None] = lambda _: None,
    ) -> Lease:
        """A lease that writes here."""
        claimed = Claimed(task or running(), input, saved)
        return Lease(claimed, on_told=on_told, write=self._write, relatives=self, fetch=self.fetch)

    async def until(self, arrived: Callable[["Book"], object]) -> None:
        """Return once enough was written."""
        async with asyncio.timeout(WITHIN):
            while not arrived(self):
                self._written.clear()
                await self._written.wait()

    async def _write(self, lease: Lease, report: Report) -> None:
        self.begun.set()
        self._writing += 1
        self.at_once = max(self.at_once, self._writing)
        await self.is_open.wait()
        self._writing -= 1
        if self.is_lost:
            lease.stop(StopReason.LEASE_LOST)
            raise Parked(StopReason.LEASE_LOST)
        if self.fails:
            raise OSError("no room")
        self.reports.append(report)
        self._written.set()

    async def result_of(self, task: Task, id: str) -> bytes:
        """See Relatives."""
        if id not in self.results:
            raise LookupError(f"Task {id} has no JSON result.")
        return self.results[id]

    async def start(self, task: Task, wish: ChildStart) -> Task:
        """See Relatives."""
        raise NotImplementedError

    async def children(self, task: Task, ids: Sequence[str]) -> list[Task]:
        """See Relatives."""
        raise NotImplementedError

    async def fetch(self, task: Task, number: int, file: DeliveredFile) -> Path:
        """See Fetch."""
        raise NotImplementedError

    @property
    def entries(self) -> list[Entry]:
        """All entries that were written."""
        return [entry for report in self.reports for entry in report.entries]

    @property
    def lines(self) -> list[str]:
        """Their messages."""
        return [entry.message for entry in self.entries]

    @property
    def checkpoints(self) -> list[Any]:
        """What was saved."""
        return [msgspec.json.decode(r.checkpoint) for r in self.reports if isinstance(r.checkpoint, bytes)]


def lease_for(book: Book, task_type: TaskType, input: Any = None, **fields: Any) -> Lease:
    """A lease of a task of this type."""
    return book.lease(
        running(task_type.name, runner=task_type.runner, **fields), input=msgspec.json.encode(input or {})
    )
