from contextlib import ExitStack

import pytest

from milepost.access.places import PAUSE, Places
from milepost.errors import TooMany


def test_so_many_for_each_and_in_all() -> None:
    places = Places(2, 3)
    with ExitStack() as held:
        held.enter_context(places.taken("ada"))
        with places.taken("ada"):
            with pytest.raises(TooMany, match="This key has 2 waits and streams open") as caught, places.taken("ada"):
                pytest.fail("it is let in")
            assert caught.value.retry_after == PAUSE
        held.enter_context(places.taken("ada"))
        with (
            places.taken("bob"),
            pytest.raises(TooMany, match="This server has as many waits"),
            places.taken("cleo"),
        ):
            pytest.fail("it is let in")
        assert places.open == 2
    assert places.open == 0


def test_a_place_is_given_back_whatever_happens() -> None:
    places = Places(1, 1)
    for _ in range(3):
        with pytest.raises(KeyError), places.taken("ada"):
            raise KeyError
    assert places.open == 0


def test_nobody_in_particular_is_counted_in_all_only() -> None:
    places = Places(1, 2)
    with places.taken(""), places.taken(""), pytest.raises(TooMany, match="This server"), places.taken("ada"):
        pytest.fail("it is let in")
