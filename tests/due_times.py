"""Time zones, wall clocks, and one due time after the other, for tests of triggers."""

from collections.abc import Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from milepost import trigger as trigger_module
from milepost.times import MINUTE, from_datetime, from_rfc3339, to_datetime
from milepost.trigger import Trigger, following

NOON = from_rfc3339("2026-05-26T12:00:00Z")

# Whole and half hour shifts, shifts before and at midnight, a skipped day (Apia, 2011), odd offsets, none.
SHIFTING_ZONES = [
    "Europe/Brussels",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Nuuk",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "UTC",
]
zones = st.sampled_from(SHIFTING_ZONES) | st.sampled_from(sorted(trigger_module._timezones()))
repeats = st.sampled_from(["daily", "weekly", "monthly"])
CRON_EXPRESSIONS = ["0 3 * * *", "30 2 * * *", "*/15 * * * *", "0 0 1 * *", "0 9 * * MON-FRI", "5,35 1-3 * * *"]


def near_night_times(earliest_year: int, latest_year: int) -> st.SearchStrategy[int]:
    """Times of whole minutes, mostly in the hours when clocks are changed."""
    days = st.dates(date(earliest_year, 1, 1), date(latest_year, 12, 31))
    minutes = st.integers(-60, 4 * 60) | st.integers(0, 24 * 60)
    return st.builds(lambda day, minute: at(f"{day}T00:00:00Z") + minute * MINUTE, days, minutes)


def at(text: str, zone: str | None = None) -> int:
    """Microseconds of RFC 3339 text, or of a wall-clock time in a zone (the first, where it comes twice)."""
    if zone is None:
        return from_rfc3339(text)
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def wall(us: int, zone: str) -> datetime:
    return to_datetime(us, ZoneInfo(zone)).replace(tzinfo=None)


def next_due_time(trigger: Trigger, *, due: int, now: int) -> int:
    """What `following` says of a trigger that always has a next time."""
    next_due = following(trigger, due=due, now=now)
    assert next_due is not None
    return next_due


def due_times(trigger: Trigger, due: int) -> Iterator[int]:
    """Every due time after ``due``, one by one, none missed."""
    while True:
        due = next_due_time(trigger, due=due, now=due)
        yield due
