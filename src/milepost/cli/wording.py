"""How does a task read in a line of text?"""

from datetime import datetime
from typing import Any

import msgspec

from milepost import times
from milepost.cli.records import LogEntry, Record, ResultLink
from milepost.cli.terminal import BENEATH, is_terminal, on_one_line, printable
from milepost.task import State


def state(record: Record) -> str:
    """Where it stands, with what was asked of it."""
    if record.state is State.RUNNING and record.cancel_requested:
        return "running, cancel requested"
    if record.state is State.RUNNING and record.pause_requested:
        return "running, pause requested"
    return str(record.state)


def progress(record: Record) -> str:
    """How far it is, such as `45 %  450,000 of 1,000,000`; empty where nothing is known."""
    return "  ".join(part for part in (_percent(record), _amount(record)) if part)


def _percent(record: Record) -> str:
    known = record.progress > 0 or record.counts.total
    # Rounded first: 0.29 * 100 is a little less than 29.
    return f"{int(round(record.progress * 100, 6))} %" if known else ""


def _amount(record: Record) -> str:
    counts = record.counts
    if not counts.done and counts.total is None:
        return ""
    return f"{counts.done:,}" if counts.total is None else f"{counts.done:,} of {counts.total:,}"


def shortfall(record: Record) -> str:
    """How many of the items did not go well, such as `3 failed, 20 skipped`."""
    counts = record.counts
    return ", ".join(f"{n:,} {name}" for n, name in ((counts.failed, "failed"), (counts.skipped, "skipped")) if n)


def waits_for(record: Record) -> str:
    """What keeps it from running, if anything that is known."""
    if record.state is State.BLOCKED:
        return on_one_line(record.blocked_reason or "waits for " + ", ".join(record.blocked_by))
    if record.state is State.SCHEDULED and record.run_at:
        return f"due at {moment(record.run_at)}"
    return ""


def status_line(record: Record) -> str:
    """The whole of it in one line."""
    parts = (state(record), progress(record), shortfall(record), waits_for(record), on_one_line(record.message or ""))
    return "  ".join(part for part in parts if part)


def log_line(entry: LogEntry) -> str:
    """A log entry as a line, or several where its message has several."""
    if entry.kind == "state":
        before = "" if entry.source is None else f"{entry.source} -> "
        text = f"{before}{entry.target}" + (f"  attempt {entry.attempt}" if entry.target is State.RUNNING else "")
    else:
        fields = (f"{name}={value(field)}" for name, field in (entry.fields or {}).items())
        message = printable(entry.message).replace("\n", f"\n{BENEATH}")
        text = "  ".join((message, *map(on_one_line, fields)))
    return f"{moment(entry.time)}  {entry.level:<8}  {text}"


def value(value: Any) -> str:
    """A JSON value as it would be typed: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def result(record: Record) -> str:
    """What its result is; empty where there is none."""
    if not record.result_is_link:
        body = bytes(record.result).decode()
        return "" if body == "null" else body
    link = msgspec.json.decode(record.result, type=ResultLink)
    return f"{link.name or link.media_type}, {link.size:,} bytes"


def moment(time: str) -> str:
    """An RFC 3339 time, as the server sends it; on a terminal the local time, with the date if that is another day."""
    if not is_terminal():
        return time
    local = datetime.fromisoformat(time).astimezone()
    return local.strftime("%H:%M:%S" if local.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """A duration to the second, such as `1h30m5s`; a short one to the tenth."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    return times.format_duration(round(seconds) * times.SECOND)
