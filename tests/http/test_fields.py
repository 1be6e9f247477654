import re
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import times
from milepost.http import fields
from milepost.http.fields import Duration, Integer, Time, Whole


class UnixMs(Integer):
    """A dialect's own."""

    schema: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 0}

    @classmethod
    def parse(cls, value: Any) -> int:
        if not isinstance(value, int):
            raise ValueError("expected milliseconds")
        return value * 1000


class Shape(msgspec.Struct):
    at: UnixMs
    until: UnixMs | None = None


def test_a_dialect_may_bring_its_own() -> None:
    read = msgspec.json.decode(b'{"at": 5}', type=Shape, dec_hook=fields.decode)
    assert (read.at, type(read.at), read.until) == (5000, int, None)
    with pytest.raises(msgspec.ValidationError, match=r"expected milliseconds - at `\$.until`"):
        msgspec.json.decode(b'{"at": 5, "until": "x"}', type=Shape, dec_hook=fields.decode)
    [schema], _ = msgspec.json.schema_components([UnixMs], schema_hook=fields.schema)
    assert schema == UnixMs.schema


class Percent(Whole):
    least = -100
    most = 100


@pytest.mark.parametrize(("said", "value"), [(5, 5), (5.0, 5), (-100, -100), (-0.0, 0), ("5", 5), ("-7", -7)])
def test_a_whole_number_is_one_in_every_notation(said: Any, value: int) -> None:
    read = Percent.parse(said)
    assert (read, type(read)) == (value, int)


@pytest.mark.parametrize(
    "said", [5.5, 101, -101, 2**70, 1e300, True, None, [], "5.0", "1e1", "", " 5", "\N{SUPERSCRIPT TWO}"]
)
def test_what_is_none_or_too_large_is_refused_with_the_bounds(said: Any) -> None:
    with pytest.raises(ValueError, match="a whole number from -100 to 100"):
        Percent.parse(said)


def test_its_schema_says_the_bounds() -> None:
    assert Percent.schema == {"type": "integer", "minimum": -100, "maximum": 100}
    assert Whole.schema == {"type": "integer", "minimum": 0, "maximum": 2**53}


def test_times_are_read_from_rfc_3339() -> None:
    assert Time.parse("2026-04-17T16:30:02.331384+02:00") == 1_776_436_202_331_384
    assert fields.schema(Time) == {"type": "string", "format": "date-time"}


@pytest.mark.parametrize("value", ["yesterday", "2026-04-17", 5, 5.0, [], {}, True])
def test_other_times_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        fields.decode(Time, value)
    assert not isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("value", "us"), [("1h30m", 90 * times.MINUTE), (90, 90 * times.SECOND), (0.25, times.SECOND // 4)]
)
def test_durations_are_read_from_text_and_seconds(value: Any, us: int) -> None:
    assert Duration.parse(value) == us


@pytest.mark.parametrize("value", ["", "1x", "m", -1, 1e300, True, [], {}])
def test_other_durations_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Duration.parse(value)


@given(st.text("0123456789wdhmsu", max_size=8))
def test_the_schema_of_durations_takes_what_is_read(text: str) -> None:
    [_, as_text] = fields.schema(Duration)["anyOf"]
    try:
        Duration.parse(text)
    except ValueError as error:
        taken = "at most" in str(error)  # of the right form, and too long
    else:
        taken = True
    assert taken == bool(re.fullmatch(as_text["pattern"], text))
