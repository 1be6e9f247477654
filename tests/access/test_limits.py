from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.access.limits import DEFAULT_LIMITS, Limits, bounds, parse
from milepost.engine.outcome import LARGEST_VALUE
from milepost.engine.settle import LARGEST_FILE
from milepost.store.sqlite.log import MAX_LOG_BYTES, MAX_LOG_LINES

NAMES = Limits.__struct_fields__


def test_what_parts_that_know_no_limits_take_for_granted_are_the_defaults() -> None:
    limits = Limits()
    assert limits == DEFAULT_LIMITS
    assert (limits.log, limits.log_lines) == (MAX_LOG_BYTES, MAX_LOG_LINES)
    assert (limits.result, limits.result_file) == (LARGEST_VALUE, LARGEST_FILE)


@pytest.mark.parametrize("name", NAMES)
def test_each_has_bounds(name: str) -> None:
    least, most = bounds(name)
    for value in (least, most):
        assert getattr(Limits(**{name: value}), name) == value
    wrong: list[Any] = [least - 1, most + 1, "5", 1.5, None]
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{name} is a whole number from {least} to {most}, not "):
            Limits(**{name: value})


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 10**9)))
def test_what_is_said_is_what_is_set(said: dict[str, int]) -> None:
    said = {name: min(max(value, bounds(name)[0]), bounds(name)[1]) for name, value in said.items()}
    limits = parse(f"{name}={value}" for name, value in said.items())
    assert msgspec.structs.asdict(limits) == msgspec.structs.asdict(DEFAULT_LIMITS) | said


def test_sizes_have_units() -> None:
    limits = parse(["body=64KiB", "log=2 MiB", "delivery=3GiB", "result-file=1TiB", "body=65KiB"], Limits(wait=7))
    expected = Limits(body=65 << 10, log=2 << 20, delivery=3 << 30, result_file=1 << 40, wait=7)
    assert limits == expected


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("body", "'body' is not NAME=NUMBER with one of the names body, depth"),
        ("bodies=5", "'bodies=5' is not NAME=NUMBER"),
        ("body=", "'body=' is not NAME=NUMBER"),
        ("body=much", "'body=much': write a whole number"),
        ("body=5MB", "write a whole number, with KiB"),
        ("body=-5", "write a whole number"),
        ("depth=101", "depth is a whole number from 1 to 100, not 101"),
    ],
)
def test_what_sets_none(setting: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse([setting])
