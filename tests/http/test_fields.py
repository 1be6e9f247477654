import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import times
from milepost.http import fields
from milepost.http.fields import Duration, Time


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
    except ValueError:
        assert not re.fullmatch(as_text["pattern"], text) or len(text) > 5  # too long
    else:
        assert re.fullmatch(as_text["pattern"], text)
