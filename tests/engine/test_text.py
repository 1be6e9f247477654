"""What becomes of any text on its way to a record."""

import os

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.engine.text import LONGEST, keepable


class Poison:
    def __str__(self) -> str:
        raise SystemExit("no")


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no")


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=50))
def test_any_text_can_be_encoded_afterwards(text: str) -> None:
    kept = keepable(text)
    assert msgspec.json.decode(msgspec.json.encode(kept)) == kept
    assert "\0" not in kept
    if not any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text):
        assert kept == text


def test_a_file_name_that_is_not_utf_8_stays_recognisable() -> None:
    assert keepable(os.fsdecode(b"caf\xe9.csv")) == "caf\\udce9.csv"


def test_what_is_too_long_is_cut() -> None:
    assert keepable("x" * LONGEST) == "x" * LONGEST
    assert keepable("x" * (LONGEST + 1)) == "x" * LONGEST + " …"
    assert keepable("abc", longest=2) == "ab …"


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (Mute(), "<Mute without a text>"), (Poison(), "<Poison without a text>"), ("a\0b", r"a\x00b")],
)
def test_anything_has_a_text(value: object, text: str) -> None:
    assert keepable(value) == text
