"""What a trigger is, its text form, and when a task is due at first."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost import trigger as trigger_module
from milepost.times import HOUR, LONGEST_DURATION, MINUTE, SECOND
from milepost.trigger import Trigger, first, parse, render
from tests.due_times import CRON_EXPRESSIONS, NOON, at, next_due_time, repeats, zones


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
