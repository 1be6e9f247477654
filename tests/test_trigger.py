import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import cast, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from milepost import trigger as trigger_module
from milepost.times import DAY, HOUR, LONGEST_DURATION, MINUTE, SECOND, from_datetime, from_rfc3339, to_datetime
from milepost.trigger import Repeat, Trigger, first, following, parse, render

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


def exists(naive: datetime, zone: str) -> bool:
    moment = naive.replace(tzinfo=ZoneInfo(zone))
    return wall(from_datetime(moment), zone) == naive


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


def walls(repeat: Repeat, zone: str, start: str, n: int) -> list[str]:
    """Where the first ``n`` due times fall: wall-clock time and offset."""
    trigger, due = first(Trigger(repeat=repeat, timezone=zone), now=0, run_at=at(start, zone))
    dues = [due, *islice(due_times(trigger, due), n - 1)]
    return [to_datetime(due, ZoneInfo(zone)).isoformat(" ", "minutes") for due in dues]


# What is a trigger


def test_exactly_one_way_of_saying_when() -> None:
    with pytest.raises(ValueError, match="exactly one of once, every, repeat and cron"):
        Trigger()
    with pytest.raises(ValueError, match="exactly one of once, every, repeat and cron"):
        Trigger(once=0, cron="0 3 * * *")


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Olympus",
        "",
        "Europe",
        "../UTC",
        "/usr/share/zoneinfo/UTC",
        "localtime",
        "right/UTC",
        "europe/brussels",
        "\0",
        "x" * 9999,
    ],
)
def test_the_time_zone_must_be_known(name: str) -> None:
    with pytest.raises(ValueError, match=r"^timezone: "):
        Trigger(repeat="daily", timezone=name)


def test_every_known_time_zone_can_be_used() -> None:
    for name in trigger_module._timezones():
        trigger, due = first(Trigger(repeat="daily", timezone=name), now=NOON, run_at=None)
        assert NOON < next_due_time(trigger, due=due, now=NOON) <= NOON + 26 * HOUR


@pytest.mark.parametrize("every", [-1, 0, SECOND - 1, LONGEST_DURATION + 1])
def test_an_interval_has_bounds(every: int) -> None:
    with pytest.raises(ValueError, match=r"^every: must last from 1s to 36525d"):
        Trigger(every=every)


def test_only_three_repetitions_exist() -> None:
    with pytest.raises(ValueError, match=r"^repeat: must be one of daily, weekly, monthly, not 'hourly'"):
        Trigger(repeat="hourly")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "not a cron expression"),
        ("* * * *", "not a cron expression"),
        ("60 * * * *", "not a cron expression"),
        ("0 0 30 2 *", "not a cron expression"),
        ("9" * 5000 + " * * * *", "not a cron expression"),
        ("0 0 */3 2 SUN#5", "never matches"),
    ],
)
def test_a_cron_expression_must_be_valid_and_come_true(expression: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^cron: {complaint}"):
        Trigger(cron=expression)


@given(st.lists(st.text("0123456789*/,-#LWMONJAFEB", min_size=1, max_size=6), min_size=5, max_size=6).map(" ".join))
@settings(deadline=None)  # a long search by design
def test_any_cron_expression_is_refused_or_has_a_next_time(expression: str) -> None:
    try:
        trigger = Trigger(cron=expression)
    except ValueError:
        return
    assert next_due_time(trigger, due=NOON, now=NOON) > NOON


@pytest.mark.parametrize(
    ("trigger", "stored"),
    [
        (Trigger(once=0), b'{"once":0}'),
        (Trigger(every=15 * MINUTE, anchor=NOON), b'{"every":900000000,"anchor":1779796800000000}'),
        (Trigger(repeat="daily", timezone="Europe/Brussels"), b'{"repeat":"daily","timezone":"Europe/Brussels"}'),
        (Trigger(cron="0 3 * * *"), b'{"cron":"0 3 * * *"}'),
    ],
)
def test_a_trigger_is_stored_as_json_with_integers(trigger: Trigger, stored: bytes) -> None:
    assert msgspec.json.encode(trigger) == stored
    assert msgspec.json.decode(stored, type=Trigger) == trigger


@pytest.mark.parametrize("stored", [b"{}", b'{"repeat":"daily","timezone":"?"}', b'{"once":0,"colour":1}'])
def test_an_invalid_stored_trigger_is_refused(stored: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(stored, type=Trigger)


# The text form


@pytest.mark.parametrize(
    ("fields", "trigger"),
    [
        ({"once": "2026-05-26T12:00:00.000000Z"}, Trigger(once=NOON)),
        ({"every": "15m"}, Trigger(every=15 * MINUTE)),
        (
            {"repeat": "daily", "timezone": "Europe/Brussels"},
            Trigger(repeat="daily", timezone="Europe/Brussels"),
        ),
        (
            {"cron": "0 3 * * *", "timezone": "Europe/Brussels"},
            Trigger(cron="0 3 * * *", timezone="Europe/Brussels"),
        ),
    ],
)
def test_the_text_form_is_parsed_and_rendered(fields: dict[str, object], trigger: Trigger) -> None:
    assert parse(fields) == trigger
    assert render(trigger) == fields


def test_an_interval_may_be_a_number_of_seconds() -> None:
    assert parse({"every": 90}) == parse({"every": 90.0}) == Trigger(every=90 * SECOND)


def test_the_anchor_is_not_rendered() -> None:
    assert render(Trigger(every=HOUR, anchor=NOON)) == {"every": "1h"}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "exactly one"),
        ({"timezone": "UTC"}, "exactly one"),
        ({"every": "1h", "repeat": "daily"}, "exactly one"),
        ({"every": "1h", "anchor": 0}, "^anchor: not a field"),
        ({"once": "tomorrow"}, "^once: not an RFC 3339"),
        ({"once": "2026-05-26T12:00:00"}, "^once: not an RFC 3339 date-time with offset"),
        ({"once": NOON}, "^once: must be a string"),
        ({"once": None}, "^once: must be a string"),
        ({"every": "often"}, "^every: not a duration"),
        ({"every": None}, "^every: must be a duration"),
        ({"every": True}, "^every: a duration in seconds"),
        ({"every": "1ms"}, "^every: must last from 1s"),
        ({"repeat": 1}, "^repeat: must be a string"),
        ({"repeat": "yearly"}, "^repeat: must be one of"),
        ({"cron": ["0 3 * * *"]}, "^cron: must be a string"),
        ({"cron": "at three"}, "^cron: not a cron expression"),
        ({"cron": "0 3 * * *", "timezone": 2}, "^timezone: must be a string"),
        ({"cron": "0 3 * * *", "timezone": "CEST"}, "^timezone: not the IANA name"),
    ],
)
def test_an_invalid_text_form_names_the_field(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(fields)


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@given(st.dictionaries(st.sampled_from(["once", "every", "repeat", "cron", "timezone", "else"]), json_values))
def test_no_input_breaks_parsing(fields: dict[str, object]) -> None:
    try:
        trigger = parse(fields)
    except ValueError:
        return
    assert parse(render(trigger)) == trigger


@given(
    st.builds(Trigger, once=st.integers(-(10**16), 10**17), timezone=zones)
    | st.builds(Trigger, every=st.integers(SECOND, LONGEST_DURATION), timezone=zones)
    | st.builds(Trigger, repeat=repeats, timezone=zones)
    | st.builds(Trigger, cron=st.sampled_from(CRON_EXPRESSIONS), timezone=zones)
)
def test_a_rendered_trigger_is_parsed_back(trigger: Trigger) -> None:
    assert parse(render(trigger)) == trigger


# The first due time


def test_once_is_due_at_its_time() -> None:
    trigger = Trigger(once=NOON)
    assert first(trigger, now=0, run_at=None) == (trigger, NOON)
    assert first(trigger, now=NOON + 1, run_at=NOON + HOUR) == (trigger, NOON)


@pytest.mark.parametrize("trigger", [Trigger(every=HOUR), Trigger(repeat="weekly", timezone="Europe/Brussels")])
def test_a_repetition_starts_at_run_at_or_now_and_is_anchored_there(trigger: Trigger) -> None:
    for now, run_at, due in [(NOON, None, NOON), (NOON, NOON + 5, NOON + 5), (NOON, 0, 0)]:
        anchored, first_due = first(trigger, now=now, run_at=run_at)
        assert first_due == anchored.anchor == due
        assert msgspec.structs.replace(anchored, anchor=None) == trigger


@pytest.mark.parametrize(
    ("now", "run_at", "due"),
    [
        ("2026-05-26T12:00:00Z", None, "2026-05-26T13:00:00Z"),
        ("2026-05-26T12:00:00.000001Z", None, "2026-05-26T13:00:00Z"),
        ("2026-05-26T11:59:59.999999Z", None, "2026-05-26T12:00:00Z"),
        ("2020-01-01T00:00:00Z", "2026-05-26T12:00:00Z", "2026-05-26T12:00:00Z"),
        ("2020-01-01T00:00:00Z", "2026-05-26T12:00:00.000001Z", "2026-05-26T13:00:00Z"),
        ("2026-05-26T12:00:00Z", "2026-05-26T10:30:00Z", "2026-05-26T11:00:00Z"),
    ],
)
def test_cron_is_due_at_the_first_match_after_now_or_from_run_at(now: str, run_at: str | None, due: str) -> None:
    trigger = Trigger(cron="0 * * * *")
    assert first(trigger, now=at(now), run_at=None if run_at is None else at(run_at)) == (trigger, at(due))


@pytest.mark.parametrize("trigger", [Trigger(every=HOUR), Trigger(repeat="daily"), Trigger(cron="0 3 * * *")])
@pytest.mark.parametrize("run_at", ["1969-12-31T23:59:59Z", "3000-01-01T00:00:00Z"])
def test_a_repetition_starts_within_the_calendar(trigger: Trigger, run_at: str) -> None:
    with pytest.raises(ValueError, match=r"^run_at: "):
        first(trigger, now=NOON, run_at=at(run_at))


@pytest.mark.parametrize("run_at", ["1970-01-01T00:00:00Z", "2999-12-31T23:59:59Z"])
@given(zone=zones)
def test_every_allowed_start_has_a_next_time(run_at: str, zone: str) -> None:
    for trigger in (Trigger(repeat="monthly", timezone=zone), Trigger(cron="0 0 29 2 MON#5", timezone=zone)):
        anchored, due = first(trigger, now=NOON, run_at=at(run_at))
        assert due < next_due_time(anchored, due=due, now=due)


# The next due time


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
