import doctest
import math
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milepost import times
from milepost.times import (
    DAY,
    HOUR,
    LONGEST_DURATION,
    MICROSECOND,
    MILLISECOND,
    MINUTE,
    SECOND,
    format_duration,
    from_rfc3339,
    parse_duration,
    to_rfc3339,
)

MOMENT = 1_776_436_202_331_384
EARLIEST = -62_135_596_800 * SECOND
LATEST = 253_402_300_800 * SECOND - 1

any_time = st.integers(EARLIEST, LATEST)


def test_documented_examples_hold() -> None:
    assert doctest.testmod(times).failed == 0


def test_now_is_the_system_clock() -> None:
    before = time.time_ns() // 1_000
    assert before <= times.now() <= time.time_ns() // 1_000


def test_elapsed_time_never_goes_back() -> None:
    before = time.monotonic_ns() // 1_000
    assert before <= times.elapsed() <= times.elapsed()


def test_a_clock_that_never_goes_back_stands_still_while_the_other_is_behind() -> None:
    said = iter([5, 7, 3, 6, 8])
    steady = times.never_back(lambda: next(said))
    assert [steady() for _ in range(5)] == [5, 7, 7, 7, 8]


def test_a_clock_that_was_far_ahead_is_not_stood_still_for() -> None:
    said = iter([5, 7, 1005, 1005 - 10, 1005 - 11, 8, 1005 - 12])
    steady = times.never_back(lambda: next(said), at_most=10)
    assert [steady() for _ in range(7)] == [5, 7, 1005, 1005, 994, 8, 993]


@given(any_time)
def test_datetimes_are_exact(us: int) -> None:
    moment = times.to_datetime(us)
    assert moment.tzinfo is UTC
    assert times.from_datetime(moment) == us


def test_a_datetime_is_given_in_the_zone_asked_for() -> None:
    zone = timezone(timedelta(hours=2))
    assert times.to_datetime(MOMENT, zone) == datetime(2026, 4, 17, 16, 30, 2, 331384, zone)
    assert times.to_datetime(MOMENT, zone).hour == 16


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (MOMENT, "2026-04-17T14:30:02.331384Z"),
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (EARLIEST, "0001-01-01T00:00:00.000000Z"),
        (LATEST, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_written_with_six_digits_in_utc(us: int, text: str) -> None:
    assert to_rfc3339(us) == text
    assert from_rfc3339(text) == us


@given(any_time)
def test_written_times_are_read_back_and_sort_as_text(us: int) -> None:
    assert from_rfc3339(to_rfc3339(us)) == us
    assert (to_rfc3339(us) < to_rfc3339(MOMENT)) == (us < MOMENT)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
    st.integers(-(24 * 60 - 1), 24 * 60 - 1),
    st.sampled_from("Tt"),
)
def test_any_offset_is_understood(naive: datetime, offset_minutes: int, separator: str) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    assert from_rfc3339(moment.isoformat(separator)) == times.from_datetime(moment)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-04-17T14:30:02Z", MOMENT - 331_384),
        ("2026-04-17t14:30:02.331384z", MOMENT),
        ("2026-04-17T14:30:02.3Z", MOMENT - 31_384),
        ("2026-04-17T14:30:02.331384999999999Z", MOMENT),
        ("2026-04-17T16:30:02.331384+02:00", MOMENT),
        ("2026-04-17T14:30:02.331384-00:00", MOMENT),
        ("2026-04-18T14:29:02.331384+23:59", MOMENT),
        ("1969-12-31T23:59:59.5Z", -500 * MILLISECOND),
        # Leap seconds, from RFC 3339 section 5.8.
        ("1990-12-31T23:59:60Z", 662_688_000 * SECOND),
        ("1990-12-31T15:59:60.25-08:00", 662_688_000 * SECOND + 250 * MILLISECOND),
    ],
)
def test_rfc3339_forms_that_are_read(text: str, us: int) -> None:
    assert from_rfc3339(text) == us


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2026-04-17T14:30:02", "with offset"),
        ("", "with offset"),
        ("2026-04-17", "with offset"),
        ("2026-04-17 14:30:02Z", "with offset"),
        ("2026-04-17T14:30Z", "with offset"),
        ("2026-04-17T14:30:02.Z", "with offset"),
        ("2026-04-17T14:30:02,5Z", "with offset"),
        ("2026-04-17T24:00:00Z", "with offset"),
        ("2026-04-17T14:60:00Z", "with offset"),
        ("2026-04-17T14:30:61Z", "with offset"),
        ("2026-04-17T14:30:02+2:00", "with offset"),
        ("2026-04-17T14:30:02+0200", "with offset"),
        ("2026-04-17T14:30:02+24:00", "with offset"),
        ("2026-04-17T14:30:02+01:60", "with offset"),
        ("20260417T143002Z", "with offset"),
        ("2026-W16-5T14:30:02Z", "with offset"),
        ("2026-04-17T14:30:02Z\n", "with offset"),
        ("٢٠٢٦-04-17T14:30:02Z", "with offset"),
        ("2026-02-29T14:30:02Z", "no such date"),
        ("2026-13-01T14:30:02Z", "no such date"),
        ("0000-01-01T00:00:00Z", "no such date"),
        ("2026-04-17T14:30:60Z", "leap second"),
        ("0001-01-01T00:00:00+00:01", "years 1 to 9999"),
        ("9999-12-31T23:59:59-00:01", "years 1 to 9999"),
        ("9999-12-31T23:59:60Z", "years 1 to 9999"),
    ],
)
def test_other_times_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_rfc3339(text)


@given(st.text() | st.text("0123456789-+:.TtZz ", max_size=35))
@example("9999-99-99T00:00:00Z")
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    try:
        us = from_rfc3339(text)
    except ValueError:
        return
    assert from_rfc3339(to_rfc3339(us)) == us


@pytest.mark.parametrize(
    ("value", "us"),
    [
        ("90s", 90 * SECOND),
        ("30m", 30 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("7d", 7 * DAY),
        ("2w", 14 * DAY),
        ("250ms", 250 * MILLISECOND),
        ("5us", 5 * MICROSECOND),
        ("1w2d3h4m5s6ms7us", 9 * DAY + 3 * HOUR + 4 * MINUTE + 5 * SECOND + 6 * MILLISECOND + 7),
        ("0s", 0),
        ("36525d", LONGEST_DURATION),
        (90, 90 * SECOND),
        (0, 0),
        (0.25, 250 * MILLISECOND),
        (0.0000014, MICROSECOND),
        (LONGEST_DURATION // SECOND, LONGEST_DURATION),
    ],
)
def test_durations_that_are_read(value: str | float, us: int) -> None:
    assert parse_duration(value) == us


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("", "not a duration"),
        ("90", "not a duration"),
        ("-5s", "not a duration"),
        ("1.5h", "not a duration"),
        ("5y", "not a duration"),
        ("5S", "not a duration"),
        ("30m1h", "not a duration"),
        ("1m1m", "not a duration"),
        ("1h 30m", "not a duration"),
        ("s", "not a duration"),
        ("٣s", "not a duration"),
        ("9" * 5000 + "s", "not a duration"),
        ("36526d", "at most 36525d"),
        ("9" * 18 + "w", "at most 36525d"),
        (-1, "from 0 to"),
        (-0.001, "from 0 to"),
        (math.nan, "from 0 to"),
        (math.inf, "from 0 to"),
        (1e300, "from 0 to"),
        (10**400, "from 0 to"),
        (True, "from 0 to"),
    ],
)
def test_other_durations_are_refused(value: str | float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_duration(value)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1us"),
        (250 * MILLISECOND, "250ms"),
        (90 * SECOND, "1m30s"),
        (90 * MINUTE, "1h30m"),
        (HOUR, "1h"),
        (DAY + SECOND, "1d1s"),
        (7 * DAY, "1w"),
        (14 * DAY, "2w"),
        (30 * DAY, "30d"),
        (7 * DAY + HOUR, "7d1h"),
    ],
)
def test_durations_are_written_without_empty_parts(us: int, text: str) -> None:
    assert format_duration(us) == text


def test_a_negative_duration_is_not_written() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        format_duration(-1)


round_durations = st.builds(
    int.__mul__,
    st.integers(0, 100),
    st.sampled_from([MICROSECOND, MILLISECOND, SECOND, MINUTE, HOUR, DAY, 7 * DAY]),
)


@given(st.integers(0, LONGEST_DURATION) | round_durations)
def test_written_durations_are_read_back(us: int) -> None:
    assert parse_duration(format_duration(us)) == us


@given(st.text() | st.text("0123456789wdhmsu", max_size=12) | st.floats() | st.integers())
def test_a_duration_is_within_bounds_or_refused(value: str | float) -> None:
    try:
        us = parse_duration(value)
    except ValueError:
        return
    assert 0 <= us <= LONGEST_DURATION
