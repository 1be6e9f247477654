"""When is a task due: at first, and next?

A trigger says it in one of four ways: at one time (``once``), at a fixed interval (``every``), at the same wall-clock
time each day, week or month (``repeat``), or by a cron expression (``cron``). Times and durations are integer
microseconds. Every ValueError that comes from one field starts with that field's name and a colon.
"""

import calendar
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from itertools import count
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from milepost import times

Repeat = Literal["daily", "weekly", "monthly"]

# Where a repetition may start. Far enough from the ends of the calendar that neither a time zone nor the search for
# the next due time can leave it.
_EARLIEST_START = times.from_rfc3339("1970-01-01T00:00:00Z")
_LATEST_START = times.from_rfc3339("2999-12-31T23:59:59Z")


class Trigger(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """When a task is due, as it is stored; exactly one of the first four fields is set.

    Raises ValueError when it is not a valid trigger.
    """

    once: int | None = None
    """The only due time, in microseconds since the Unix epoch."""
    every: int | None = None
    """Microseconds from one due time to the next, at least one second."""
    repeat: Repeat | None = None
    """Wall-clock time, weekday and day of the month are those of the anchor in the time zone."""
    cron: str | None = None
    """Five fields as in crontab(5), or six with seconds first; Debian's rules across daylight saving."""
    timezone: str = "UTC"
    """IANA name of the time zone in which `repeat` and `cron` are meant."""
    anchor: int | None = None
    """First due time of `every` and `repeat`, in microseconds since the Unix epoch; set by `first`."""

    def __post_init__(self) -> None:
        given = [name for name in ("once", "every", "repeat", "cron") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of once, every, repeat and cron must be given")
        if self.timezone not in _timezones():
            raise ValueError(f"timezone: not the IANA name of a time zone: {self.timezone!r:.60}")
        if self.every is not None and not times.SECOND <= self.every <= times.LONGEST_DURATION:
            raise ValueError(f"every: must last from 1s to {times.format_duration(times.LONGEST_DURATION)}")
        if self.repeat is not None and self.repeat not in get_args(Repeat):
            raise ValueError(f"repeat: must be one of {', '.join(get_args(Repeat))}, not {self.repeat!r:.60}")
        if self.cron is not None:
            _check_cron(self.cron)


@cache
def _timezones() -> frozenset[str]:
    # Not zoneinfo.available_timezones(): it lists what this machine has, `localtime` included, while a record must
    # mean the same on every machine.
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("ascii").split())


@lru_cache(maxsize=1024)
def _check_cron(expression: str) -> None:
    try:
        # A date falls on a given weekday at least every 40 years and cronsim searches 50, so what it does not find
        # once it never finds.
        match = next(CronSim(expression, datetime(2000, 1, 1)), None)
    except (CronSimError, ValueError) as error:
        raise ValueError(f"cron: not a cron expression ({error}): {expression!r:.60}") from error
    if match is None:
        raise ValueError(f"cron: never matches: {expression!r:.60}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _duration(value: object) -> int:
    if not isinstance(value, str | int | float):
        raise ValueError("must be a duration, like 15m, or a number of seconds")
    return times.parse_duration(value)


_PARSERS: dict[str, Callable[[object], Any]] = {
    "once": lambda value: times.from_rfc3339(_text(value)),
    "every": _duration,
    "repeat": _text,
    "cron": _text,
    "timezone": _text,
}


def parse(fields: Mapping[str, object]) -> Trigger:
    """The trigger that a caller sent, such as ``{"repeat": "daily", "timezone": "Europe/Brussels"}``.

    ``once`` is an RFC 3339 date-time, ``every`` a duration or a number of seconds. Raises ValueError when the fields
    are not a valid trigger.
    """
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in _PARSERS:
            raise ValueError(f"{name:.60}: not a field of a trigger")
        try:
            values[name] = _PARSERS[name](value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return Trigger(**values)


def render(trigger: Trigger) -> dict[str, str]:
    """The trigger as `parse` reads it, without the anchor; a time zone of UTC goes without saying."""
    fields: dict[str, str] = {}
    if trigger.once is not None:
        fields["once"] = times.to_rfc3339(trigger.once)
    if trigger.every is not None:
        fields["every"] = times.format_duration(trigger.every)
    if trigger.repeat is not None:
        fields["repeat"] = trigger.repeat
    if trigger.cron is not None:
        fields["cron"] = trigger.cron
    if trigger.timezone != "UTC":
        fields["timezone"] = trigger.timezone
    return fields


def first(trigger: Trigger, *, now: int, run_at: int | None) -> tuple[Trigger, int]:
    """The trigger with its anchor set where it has one (`every`, `repeat`), and the first due time.

    All times are microseconds since the Unix epoch. `once` is due at its time, whatever ``run_at`` says; `every` and
    `repeat` at ``run_at``, or now; `cron` at its first match at or after ``run_at``, or after now. Raises ValueError
    when a repetition would start outside the years 1970 to 2999.
    """
    if trigger.once is not None:
        return trigger, trigger.once
    start = now if run_at is None else run_at
    if not _EARLIEST_START <= start <= _LATEST_START:
        raise ValueError("run_at: a repetition must start in the years 1970 to 2999")
    if trigger.cron is not None:
        return trigger, _next_match(trigger.cron, trigger.timezone, now if run_at is None else run_at - 1)
    return msgspec.structs.replace(trigger, anchor=start), start


def following(trigger: Trigger, *, due: int, now: int) -> int | None:
    """The next due time, strictly after both ``due`` and ``now``, so that missed times collapse into one run.

    All times are microseconds since the Unix epoch. `every` counts on from ``due``; `repeat` from the anchor. A
    wall-clock time that daylight saving skips is due as much later as the clock jumped (02:30 at 03:30); one that
    comes twice is due the first time. None when the trigger is `once`. Raises ValueError when the trigger
    needs an anchor and has none.
    """
    after = max(due, now)
    if trigger.every is not None:
        return due + ((after - due) // trigger.every + 1) * trigger.every
    if trigger.repeat is not None:
        if trigger.anchor is None:
            raise ValueError("anchor: not set, first() sets it")
        return _next_repeat(trigger.repeat, trigger.timezone, trigger.anchor, after)
    if trigger.cron is not None:
        return _next_match(trigger.cron, trigger.timezone, after)
    return None


def _next_match(expression: str, timezone: str, after: int) -> int:
    # In the hour that comes twice cronsim may answer with the first pass, which is over: hence the condition.
    matches = CronSim(expression, times.to_datetime(after, ZoneInfo(timezone)))
    return next(due for due in map(times.from_datetime, matches) if due > after)


def _next_repeat(repeat: Repeat, timezone: str, anchor: int, after: int) -> int:
    zone = ZoneInfo(timezone)
    wall = times.to_datetime(anchor, zone).replace(tzinfo=None, fold=0)
    reached = _periods(repeat, wall, times.to_datetime(after, zone))
    # One period back, as a time that daylight saving skips may be due on the next date; never before the anchor.
    # From there the next due time is at most a few steps away, however long ago the anchor was.
    candidates = (_nth(repeat, wall, n).replace(tzinfo=zone) for n in count(max(0, reached - 1)))
    return next(due for due in map(times.from_datetime, candidates) if due > after)


def _periods(repeat: Repeat, start: datetime, end: datetime) -> int:
    """Whole days or weeks, or months begun, from the date of ``start`` to that of ``end``."""
    if repeat == "monthly":
        return (end.year - start.year) * 12 + end.month - start.month
    return (end.date() - start.date()).days // (7 if repeat == "weekly" else 1)


def _nth(repeat: Repeat, start: datetime, n: int) -> datetime:
    """The wall-clock time ``n`` days, weeks or months after ``start``, or the last day of a shorter month."""
    if repeat == "daily":
        return start + timedelta(days=n)
    if repeat == "weekly":
        return start + timedelta(weeks=n)
    year, month = divmod(start.year * 12 + start.month - 1 + n, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return start.replace(year=year, month=month + 1, day=min(start.day, last_day))
