"""How does a task's log get its sequence numbers, and keep to its cap?"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from milepost.store.protocol import LOG_PAGE_BYTES
from milepost.task import Entry, Task

MAX_LOG_BYTES: Final = 5 * 1024 * 1024
MAX_LOG_LINES: Final = 100_000

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Entry]).decode
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one: Final = msgspec.json.Decoder(Entry).decode


class LogCap(NamedTuple):
    """What a task's log may have."""

    bytes: int
    lines: int


class Told(NamedTuple):
    """What of a change goes into the log: a row of it, and the record that knows of that."""

    task: Task
    row: tuple[int, int, int, str, bool] | None
    """First and last sequence number, version, entries as JSON, and whether a state or an outcome is among these."""


def tell(task: Task, entries: Sequence[Entry], cap: LogCap) -> Told:
    """Number what a change tells; `task` is the record after the change.

    Past the cap one entry says that the log is full, further entries of kind `log` are dropped and counted; states and
    outcomes are always written, outcomes with that count.
    """
    text = _encode(entries)
    if task.log_dropped or task.log_bytes + len(text) > cap.bytes or task.log_seq + len(entries) > cap.lines:
        entries, dropped = _fitting(task, entries, cap)
        text = _encode(entries)
        task = replace(task, log_dropped=task.log_dropped + dropped)
    if not entries:
        return Told(task, None)
    first, last = task.log_seq + 1, task.log_seq + len(entries)
    told = replace(task, log_seq=last, log_bytes=task.log_bytes + len(text))
    return Told(told, (first, last, task.version, text.decode(), any(map(is_eventful, entries))))


def is_eventful(entry: Entry) -> bool:
    """Whether it belongs to a task's history, which is told apart from what the task itself logs."""
    return entry.kind != "log"


def _fitting(task: Task, entries: Sequence[Entry], cap: LogCap) -> tuple[list[Entry], int]:
    """The entries that still go into a log that is full, or becomes so; and how many do not."""
    kept: list[Entry] = []
    room, lines, dropped, full = cap.bytes - task.log_bytes, cap.lines - task.log_seq, 0, task.log_dropped > 0
    for entry in entries:
        room -= len(_encode(entry))
        lines -= 1
        if entry.kind == "outcome":
            entry = replace(entry, fields={**(entry.fields or {}), "log_dropped": task.log_dropped + dropped})
        if entry.kind != "log" or (room >= 0 and lines >= 0 and not full):
            kept.append(entry)
            continue
        if not full:
            kept.append(replace(entry, level="warning", message=_full(cap, short=lines < 0), fields=None))
        full = True
        dropped += 1
    return kept, dropped


def _full(cap: LogCap, *, short: bool) -> str:
    """`short`: of lines, and not of bytes."""
    size = f"{cap.lines} lines" if short else f"{cap.bytes} bytes"
    return f"The log is full ({size}): further lines are dropped."


def entries_of(rows: Iterable[tuple[Any, ...]], *, after: int, limit: int) -> list[Entry]:
    """Up to `limit` entries with a sequence number above `after`, of rows (first, version, entries) in order.

    Fewer where these have `LOG_PAGE_BYTES`, but one at least: a row may have megabytes.
    """
    found: list[Entry] = []
    room = LOG_PAGE_BYTES
    for first, version, text in rows:
        for seq, entry in enumerate(_split(text), first):
            if seq <= after:
                continue
            if len(found) == limit or room <= 0:
                return found
            found.append(replace(_decode_one(entry), seq=seq, version=version))
            room -= len(entry)
    return found


def history_of(rows: Iterable[tuple[Any, ...]], *, before: int, limit: int) -> list[Entry]:
    """Up to `limit` states and outcomes with a sequence number below `before`, newest first, of rows in that order."""
    found: list[Entry] = []
    for first, version, text in rows:
        if len(found) >= limit:
            break
        told = [replace(entry, seq=seq, version=version) for seq, entry in enumerate(_decode(text), first)]
        found += [entry for entry in reversed(told) if entry.seq < before and is_eventful(entry)]
    return found[:limit]
