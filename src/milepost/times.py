"""How do times and durations read in text?

Inside Milepost a time is an integer of microseconds since the Unix epoch (UTC), and a duration an integer of
microseconds. Text is for the edges: RFC 3339 for times, ``1h30m`` for durations.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

MICROSECOND = 1
MILLISECOND = 1_000 * MICROSECOND
SECOND = 1_000 * MILLISECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# About a hundred years: a time of this age plus a duration can always be written as a date.
LONGEST_DURATION = 36_525 * DAY

Clock = Callable[[], int]
"""Gives the current time in microseconds since the Unix epoch; an argument wherever time matters."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
EARLIEST = (datetime.min - _NAIVE_EPOCH) // timedelta.resolution
LATEST = (datetime.max - _NAIVE_EPOCH) // timedelta.resolution
"""The first and the last time that can be written as a date: of the years 1 to 9999."""

_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]"
    r"((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]+))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)

_UNITS = {
    "w": 7 * DAY,
    "d": DAY,
    "h": HOUR,
    "m": MINUTE,
    "s": SECOND,
    "ms": MILLISECOND,
    "us": MICROSECOND,
}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,18}}){unit})?" for unit in _UNITS))


def now() -> int:
    """The system clock, in microseconds since the Unix epoch."""
    return time.time_ns() // 1_000


def elapsed() -> int:
    """A clock for durations, in microseconds since some moment: nobody sets it, and it never goes back."""
    return time.monotonic_ns() // 1_000


def never_back(clock: Clock, *, at_most: int = HOUR) -> Clock:
    """A clock that stands still while `clock`, having been set back by up to `at_most` µs, is behind what it has said.

    Set back by more, `clock` is followed: what it said before was wrong, and to stand still would be so for as long.
    """
    latest = 0

    def steady() -> int:
        nonlocal latest
        now = clock()
        if now > latest or latest - now > at_most:
            latest = now
        return latest

    return steady


def to_datetime(us: int, zone: tzinfo = UTC) -> datetime:
    """The time ``us`` (microseconds since the Unix epoch) as an aware datetime in ``zone``, exact."""
    return (_EPOCH + timedelta(microseconds=us)).astimezone(zone)


def from_datetime(moment: datetime) -> int:
    """Microseconds since the Unix epoch of an aware datetime, exact."""
    return (moment - _EPOCH) // timedelta.resolution


# Clients poll the same records, so the same times are asked for again and again: a hit costs a twentieth of
# a conversion, and a miss a third more than one.
@lru_cache(maxsize=8192)
def to_rfc3339(us: int) -> str:
    """``us`` (microseconds since the Unix epoch) as RFC 3339 in UTC, always with six fractional digits.

    >>> to_rfc3339(1_776_436_202_331_384)
    '2026-04-17T14:30:02.331384Z'
    """
    return (_NAIVE_EPOCH + timedelta(microseconds=us)).isoformat("T", "microseconds") + "Z"


def from_rfc3339(text: str) -> int:
    """Microseconds since the Unix epoch of an RFC 3339 date-time; digits past the microsecond are cut off.

    The offset is required (RFC 3339 section 5.6), as ``Z`` or ``+02:00``; letters may be lower case. A leap second
    counts as the second after it, as in POSIX time. Raises ValueError for any other text, and for a time
    that lies outside the years 1 to 9999 in UTC.

    >>> from_rfc3339("2026-04-17t16:30:02.3313849+02:00")
    1776436202331384
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 date-time with offset, like 2026-04-17T14:30:02Z: {text!r:.60}")
    date, minute, second, fraction, offset = match.groups(default="")
    try:
        start_of_minute = datetime.fromisoformat(f"{date}T{minute}{offset.upper()}")
    except ValueError as error:
        raise ValueError(f"no such date: {text!r:.60}") from error
    us = from_datetime(start_of_minute) + int(second) * SECOND
    if second == "60" and us % DAY != 0:
        raise ValueError(f"a leap second can only be the last one of a day in UTC: {text!r:.60}")
    us += int(f"{fraction:0<6.6}")
    if not EARLIEST <= us <= LATEST:
        raise ValueError(f"outside the years 1 to 9999 in UTC: {text!r:.60}")
    return us


def parse_duration(text_or_seconds: str | int | float) -> int:
    """Microseconds of a duration: text such as ``1h30m`` or ``250ms``, or a number of seconds.

    The units are w, d, h, m, s, ms and us, each with a whole number, the larger ones first. Raises ValueError for
    anything else, for a negative duration, and for one that is longer than ``LONGEST_DURATION``.

    >>> parse_duration("1h30m") == parse_duration(5400) == 90 * MINUTE
    True
    """
    if not isinstance(text_or_seconds, str):
        return _from_seconds(text_or_seconds)
    match = _DURATION.fullmatch(text_or_seconds)
    if match is None or not text_or_seconds:
        units = ", ".join(_UNITS)
        raise ValueError(f"not a duration, like 90s, 1h30m or 7d (units: {units}): {text_or_seconds!r:.60}")
    us = sum(int(count) * unit for count, unit in zip(match.groups("0"), _UNITS.values(), strict=True))
    if us > LONGEST_DURATION:
        raise ValueError(f"a duration may last at most {format_duration(LONGEST_DURATION)}: {text_or_seconds!r:.60}")
    return us


def _from_seconds(seconds: int | float) -> int:
    longest = LONGEST_DURATION // SECOND
    if not isinstance(seconds, int | float):
        raise ValueError(f"a duration is text such as 90s, or a number of seconds, not {type(seconds).__name__}")
    # bool is an int to Python, but `true` is not a duration. NaN fails every comparison.
    if isinstance(seconds, bool) or not 0 <= seconds <= longest:
        raise ValueError(f"a duration in seconds must be a number from 0 to {longest}, not {seconds!r:.60}")
    return round(seconds * SECOND)


def format_duration(us: int) -> str:
    """A duration in microseconds as text, in the form that ``parse_duration`` reads; parts of zero are left out.

    Weeks are written only when there is nothing else: 30 days read ``30d``, not ``4w2d``. Raises ValueError
    when ``us`` is negative.

    >>> format_duration(90 * MINUTE)
    '1h30m'
    """
    if us < 0:
        raise ValueError(f"a duration must not be negative, not {us}")
    if us == 0:
        return "0s"
    parts = []
    for name, unit in _UNITS.items():
        if name == "w" and us % unit:
            continue
        count, us = divmod(us, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)
