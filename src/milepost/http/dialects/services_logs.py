"""Which log entries does the Services API show of a task, and since when does it run?

Only changes that read as such in its words count, so that more of a history may have to be read than is shown.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from milepost.errors import NotFound
from milepost.http.dialect import Call
from milepost.http.dialects.services_render import entry_body
from milepost.http.dialects.services_shapes import EntryBody
from milepost.service import LogPage
from milepost.task import TERMINAL, Entry, State, Task

AT_ONCE: Final = 50
"""Entries of a history that are read at once; most have fewer."""


class Told(NamedTuple):
    """A record, what is shown of its log, oldest first, and when its last run began (µs)."""

    task: Task
    logs: list[EntryBody]
    last_run: int | None


async def told(call: Call[Any, Any], tasks: Sequence[Task], *, limit: int, offset: int = 0) -> list[Told]:
    """Records as they stand, each with its newest `limit` log entries after `offset`; without those that are gone."""
    pages = await call.service.history(call.principal, [task.id for task in tasks], limit=AT_ONCE)
    return [await _told(call, page, limit, offset) for page in pages if page is not None]


async def tell(call: Call[Any, Any], task: Task, *, limit: int, offset: int = 0) -> Told:
    """The same of one task. Raises NotFound."""
    found = await told(call, [task], limit=limit, offset=offset)
    if not found:
        raise NotFound("The task is gone.")
    return found[0]


async def _told(call: Call[Any, Any], first: LogPage, limit: int, offset: int) -> Told:
    reader = _Reader(first.task, limit, offset)
    entries: Sequence[Entry] = first.entries
    while not reader.read(entries) and len(entries) == AT_ONCE:
        (older,) = await call.service.history(call.principal, [first.task.id], before=entries[-1].seq, limit=AT_ONCE)
        entries = () if older is None else older.entries
    return Told(first.task, reader.shown[::-1], reader.last_run)


class _Reader:
    """Takes the entries of a history, newest first, until it has what it needs."""

    def __init__(self, task: Task, limit: int, offset: int) -> None:
        self.shown: list[EntryBody] = []
        self.last_run = task.started_at
        self._limit = limit
        self._offset = offset
        # A record that is to run again has forgotten when it ran last: its history knows.
        self._is_dated = task.started_at is not None

    def read(self, entries: Sequence[Entry]) -> bool:
        """Take these; whether that was enough."""
        for entry in entries:
            if self._is_dated and len(self.shown) >= self._limit:
                return True
            self._date(entry)
            body = entry_body(entry)
            if body is None:
                continue
            if self._offset > 0:
                self._offset -= 1
            elif len(self.shown) < self._limit:
                self.shown.append(body)
        return False

    def _date(self, entry: Entry) -> None:
        if self._is_dated:
            return
        if entry.target is State.RUNNING:
            self.last_run = entry.time
        if self.last_run is not None and (entry.source is None or entry.source in TERMINAL) and entry.kind == "state":
            self._is_dated = True
