import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.store.sqlite.cursor import Cursors

CURSORS = Cursors(b"k" * 32)
places = st.integers(0, 2**63 - 1)


@given(place=places)
def test_a_place_comes_back(place: int) -> None:
    assert Cursors(b"k" * 32).open(CURSORS.seal(place)) == place


@given(place=places)
def test_a_cursor_shows_nothing_and_fits_into_a_url(place: int) -> None:
    one, two = CURSORS.seal(place), CURSORS.seal(place)
    assert one != two
    assert len(one) == 32
    assert one.isascii()
    assert one.replace("-", "").replace("_", "").isalnum()


@given(text=st.text() | st.text("ABCDabcd-_019", min_size=32, max_size=32))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        CURSORS.open(text)


@given(place=places, at=st.integers(0, 31))
def test_a_cursor_that_was_changed_is_refused(place: int, at: int) -> None:
    text = CURSORS.seal(place)
    changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    with pytest.raises(ValueError, match="not a cursor"):
        CURSORS.open(changed)


def test_a_cursor_of_another_store_is_refused() -> None:
    with pytest.raises(ValueError, match="this store"):
        Cursors(b"other").open(CURSORS.seal(1))
