import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.tenant import FIRST_GIVEN, own_number


@given(st.integers(0, FIRST_GIVEN - 1))
def test_a_name_that_is_a_number_is_its_own(number: int) -> None:
    assert own_number(str(number)) == number


@pytest.mark.parametrize(
    "name", ["", "acme", "01", "00", "+1", "-1", "1.0", "1 ", " 1", "1\n", "\u0661", "1_0", "2000000000", "9" * 30]
)
def test_any_other_name_is_given_one(name: str) -> None:
    assert own_number(name) is None


@given(st.text("0123456789", max_size=12) | st.text(max_size=4))
def test_no_two_names_have_the_same_number(name: str) -> None:
    assert own_number(name) in (None, int(name) if name.isdecimal() else None)
    assert own_number(name) is None or str(own_number(name)) == name
