"""When a task is due next: intervals, wall clocks across daylight saving, cron, and times that were missed."""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import cast, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from milepost.times import DAY, HOUR, SECOND, from_datetime, to_datetime
from milepost.trigger import Repeat, Trigger, first, following
from tests.due_times import CRON_EXPRESSIONS, NOON, at, due_times, near_night_times, next_due_time, repeats, wall, zones


def walls(repeat: Repeat, zone: str, start: str, n: int) -> list[str]:
    """Where the first ``n`` due times fall: wall-clock time and offset."""
    trigger, due = first(Trigger(repeat=repeat, timezone=zone), now=0, run_at=at(start, zone))
    dues = [due, *islice(due_times(trigger, due), n - 1)]
    return [to_datetime(due, ZoneInfo(zone)).isoformat(" ", "minutes") for due in dues]


def test_once_has_no_next_time() -> None:
    assert following(Trigger(once=NOON), due=NOON, now=NOON) is None


@pytest.mark.parametrize(
    ("now", "due"),
    [(NOON - DAY, NOON + HOUR), (NOON, NOON + HOUR), (NOON + HOUR - 1, NOON + HOUR), (NOON + HOUR, NOON + 2 * HOUR)],
)
def test_an_interval_is_counted_from_the_due_time(now: int, due: int) -> None:
    assert following(Trigger(every=HOUR), due=NOON, now=now) == due


@given(st.integers(SECOND, 400 * DAY), st.integers(0, 2 * NOON), st.integers(0, 4 * NOON))
def test_an_interval_does_not_drift(every: int, due: int, now: int) -> None:
    next_due = next_due_time(Trigger(every=every), due=due, now=now)
    assert (next_due - due) % every == 0
    assert next_due - every <= max(due, now) < next_due


def test_a_repetition_without_anchor_has_no_next_time() -> None:
    with pytest.raises(ValueError, match=r"^anchor: not set"):
        following(Trigger(repeat="daily"), due=NOON, now=NOON)


def test_a_repetition_never_precedes_its_anchor() -> None:
    trigger = Trigger(repeat="weekly", anchor=NOON)
    assert following(trigger, due=NOON - 30 * DAY, now=NOON - 40 * DAY) == NOON


def test_a_time_that_daylight_saving_skips_is_due_later_by_the_gap() -> None:
    assert walls("daily", "Europe/Brussels", "2026-03-28 02:30", 3) == [
        "2026-03-28 02:30+01:00",
        "2026-03-29 03:30+02:00",
        "2026-03-30 02:30+02:00",
    ]
    assert walls("weekly", "America/New_York", "2026-03-01 02:15", 3) == [
        "2026-03-01 02:15-05:00",
        "2026-03-08 03:15-04:00",
        "2026-03-15 02:15-04:00",
    ]
    assert walls("daily", "Australia/Lord_Howe", "2026-10-03 02:15", 3) == [
        "2026-10-03 02:15+10:30",
        "2026-10-04 02:45+11:00",
        "2026-10-05 02:15+11:00",
    ]


def test_a_time_that_comes_twice_is_due_once_the_first_time() -> None:
    assert walls("daily", "Europe/Brussels", "2026-10-24 02:30", 3) == [
        "2026-10-24 02:30+02:00",
        "2026-10-25 02:30+02:00",
        "2026-10-26 02:30+01:00",
    ]
    assert walls("monthly", "America/New_York", "2026-10-01 01:30", 3) == [
        "2026-10-01 01:30-04:00",
        "2026-11-01 01:30-04:00",
        "2026-12-01 01:30-05:00",
    ]
    assert walls("daily", "Australia/Lord_Howe", "2026-04-04 01:45", 3) == [
        "2026-04-04 01:45+11:00",
        "2026-04-05 01:45+11:00",
        "2026-04-06 01:45+10:30",
    ]


def test_an_anchor_in_the_second_pass_of_an_hour_repeats_in_the_first() -> None:
    anchor = at("2026-10-25T01:30:00Z")  # 02:30 in Brussels for the second time
    trigger, due = first(Trigger(repeat="monthly", timezone="Europe/Brussels"), now=anchor, run_at=None)
    assert following(trigger, due=due, now=due) == at("2026-11-25 02:30", "Europe/Brussels")
    in_a_year_with_the_same_change = at("2037-10-25T00:00:00Z")
    assert following(trigger, due=due, now=in_a_year_with_the_same_change) == at("2037-10-25T00:30:00Z")


def test_the_hours_between_due_times_follow_the_clock() -> None:
    spring = first(Trigger(repeat="daily", timezone="Europe/Brussels"), now=0, run_at=at("2026-03-28T11:00:00Z"))
    assert list(islice(due_times(*spring), 2)) == [at("2026-03-29T10:00:00Z"), at("2026-03-30T10:00:00Z")]


def test_a_time_that_is_skipped_into_the_next_day_is_still_due_there() -> None:
    # In Nuuk the clock goes from 23:00 to 00:00 in spring, so that 23:30 falls on the next date.
    assert walls("daily", "America/Nuuk", "2025-03-28 23:30", 3) == [
        "2025-03-28 23:30-02:00",
        "2025-03-30 00:30-01:00",
        "2025-03-30 23:30-01:00",
    ]
    start = at("2025-03-01 23:30", "America/Nuuk")
    trigger = Trigger(repeat="daily", timezone="America/Nuuk", anchor=start)
    after_midnight = at("2025-03-30 00:10", "America/Nuuk")
    assert following(trigger, due=start, now=after_midnight) == at("2025-03-30 00:30", "America/Nuuk")


def test_a_day_that_does_not_exist_runs_once() -> None:
    # Samoa went from 29 to 31 December 2011: both days' runs fall on the same moment.
    assert walls("daily", "Pacific/Apia", "2011-12-28 10:00", 4) == [
        "2011-12-28 10:00-10:00",
        "2011-12-29 10:00-10:00",
        "2011-12-31 10:00+14:00",
        "2012-01-01 10:00+14:00",
    ]


def test_a_month_that_is_too_short_runs_on_its_last_day() -> None:
    assert walls("monthly", "UTC", "2026-01-31 08:00", 6) == [
        "2026-01-31 08:00+00:00",
        "2026-02-28 08:00+00:00",
        "2026-03-31 08:00+00:00",
        "2026-04-30 08:00+00:00",
        "2026-05-31 08:00+00:00",
        "2026-06-30 08:00+00:00",
    ]
    assert walls("monthly", "UTC", "2027-12-30 08:00", 4) == [
        "2027-12-30 08:00+00:00",
        "2028-01-30 08:00+00:00",
        "2028-02-29 08:00+00:00",
        "2028-03-30 08:00+00:00",
    ]
    start = at("2024-02-29T08:00:00Z")
    leap_day = Trigger(repeat="monthly", anchor=start)
    assert following(leap_day, due=start, now=at("2025-02-01T00:00:00Z")) == at("2025-02-28T08:00:00Z")
    assert following(leap_day, due=start, now=at("2028-02-28T08:00:00Z")) == at("2028-02-29T08:00:00Z")


def exists(naive: datetime, zone: str) -> bool:
    moment = naive.replace(tzinfo=ZoneInfo(zone))
    return wall(from_datetime(moment), zone) == naive


@given(repeats, zones, near_night_times(1970, 2036), near_night_times(1970, 2040))
def test_a_repetition_keeps_the_wall_clock_time_of_its_anchor(repeat: Repeat, zone: str, anchor: int, now: int) -> None:
    trigger = Trigger(repeat=repeat, timezone=zone, anchor=anchor)
    start = wall(anchor, zone)
    for due in islice(due_times(trigger, max(anchor, now)), 40):
        meant = wall(due, zone)
        if meant.time() != start.time():  # the wall-clock time was skipped, on this date or before midnight
            days = (meant.date(), meant.date() - timedelta(days=1))
            meant = next(skipped for day in days if not exists(skipped := datetime.combine(day, start.time()), zone))
            assert due == at(meant.isoformat(), zone)
        assert to_datetime(due, ZoneInfo(zone)).fold == 0
        if repeat == "weekly":
            assert meant.weekday() == start.weekday()
        if repeat == "monthly":
            assert meant.day == start.day or (meant.day < start.day and (meant + timedelta(days=1)).day == 1)


def anchored(zone: str, anchor: int, kind: str) -> Trigger:
    if kind in get_args(Repeat):
        return Trigger(repeat=cast("Repeat", kind), timezone=zone, anchor=anchor)
    if kind == "every":
        return Trigger(every=5 * HOUR + 7 * SECOND, anchor=anchor)
    return Trigger(cron=kind, timezone=zone)


kinds = repeats | st.sampled_from(["every", *CRON_EXPRESSIONS])


@given(kinds, zones, near_night_times(1970, 2100), near_night_times(1970, 2100))
def test_the_next_time_is_after_both_the_last_and_now(kind: str, zone: str, due: int, now: int) -> None:
    trigger = anchored(zone, due, kind)
    next_due = next_due_time(trigger, due=due, now=now)
    assert next_due > max(due, now)
    dues = list(islice(due_times(trigger, next_due), 20))
    assert dues == sorted({*dues, next_due} - {next_due})


@given(kinds, zones, near_night_times(1970, 2036), st.integers(0, 400), st.integers(-1, 1), st.data())
@settings(deadline=None)  # a long search by design
def test_missed_times_collapse_into_the_one_that_going_through_them_finds(
    kind: str, zone: str, start: int, missed: int, nudge: int, data: st.DataObject
) -> None:
    trigger = anchored(zone, start, kind)
    dues = [start, *islice(due_times(trigger, start), missed + 1)]
    now = data.draw(st.integers(dues[-2], dues[-1] - 1), "now") if nudge == 0 else dues[-2] + nudge
    expected = next(due for due in dues if due > max(start, now))
    assert following(trigger, due=start, now=now) == expected


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly", "every", *CRON_EXPRESSIONS])
def test_decades_of_missed_times_cost_nothing(kind: str) -> None:
    due = at("1970-01-01T02:30:00Z")
    trigger = anchored("Europe/Brussels", due, kind)
    start = time.process_time()
    for year in range(2000, 2100):
        assert following(trigger, due=due, now=at(f"{year}-03-29T00:59:00Z")) is not None
    # A step a day would take some seven seconds.
    assert time.process_time() - start < 2


# Cron


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("0 3 * * *", "Europe/Brussels", "2026-05-26T12:00:00Z", "2026-05-27T01:00:00Z"),
        ("0 3 * * *", "Europe/Brussels", "2026-12-26T12:00:00Z", "2026-12-27T02:00:00Z"),
        ("0 9 * * MON-FRI", "America/New_York", "2026-05-22T14:00:00Z", "2026-05-25T13:00:00Z"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 L * *", "UTC", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("*/30 * * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z"),
        # Skipped by daylight saving: as soon as the gap is over.
        ("30 2 * * *", "Europe/Brussels", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        # Twice: only the first time, in whichever pass the search starts.
        ("30 2 * * *", "Europe/Brussels", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Brussels", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("30 2 * * *", "Europe/Brussels", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
        # A star in the hour runs through both passes.
        ("30 * * * *", "Europe/Brussels", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
    ],
)
def test_cron_is_meant_in_the_time_zone(expression: str, zone: str, after: str, due: str) -> None:
    trigger = Trigger(cron=expression, timezone=zone)
    assert following(trigger, due=0, now=at(after)) == at(due)


@given(zones, near_night_times(1971, 2100))
def test_cron_and_repeat_agree_wherever_the_time_exists(zone: str, now: int) -> None:
    start = at("1970-01-01 02:30", zone)
    repeat_due = next_due_time(Trigger(repeat="daily", timezone=zone, anchor=start), due=start, now=now)
    assume(to_datetime(repeat_due, ZoneInfo(zone)).hour == 2 and to_datetime(repeat_due, UTC).second == 0)
    assert following(Trigger(cron="30 2 * * *", timezone=zone), due=start, now=now) == repeat_due
