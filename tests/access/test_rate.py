from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.access.rate import Buckets
from milepost.errors import TooMany
from milepost.times import MINUTE, SECOND


class Timer:
    """µs that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 5 * MINUTE

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


def refused(buckets: Buckets, name: str) -> int:
    with pytest.raises(TooMany) as caught:
        buckets.take(name)
    return caught.value.retry_after


def test_who_was_silent_may_ask_often_at_once(timer: Timer) -> None:
    buckets = Buckets(2, 5, timer)
    for _ in range(5):
        buckets.take("ada")
    assert refused(buckets, "ada") == 1
    buckets.take("bob")
    timer.now += SECOND
    buckets.take("ada")
    buckets.take("ada")
    assert refused(buckets, "ada") == 1


def test_refusals_cost_nothing(timer: Timer) -> None:
    buckets = Buckets(1, 1, timer)
    buckets.take("ada")
    for _ in range(100):
        timer.now += 9_999
        refused(buckets, "ada")
    timer.now += SECOND // 100
    buckets.take("ada")


@given(st.integers(1, 100), st.integers(1, 100), st.lists(st.integers(0, 3 * SECOND), max_size=200))
def test_nobody_gets_more_than_its_rate(rate: int, burst: int, pauses: list[int]) -> None:
    timer = Timer()
    began = timer.now
    buckets = Buckets(rate, burst, timer)
    taken = 0
    for pause in pauses:
        timer.now += pause
        with suppress(TooMany):
            buckets.take("ada")
            taken += 1
        assert taken <= burst + (timer.now - began) * rate / SECOND + 1e-6
    timer.now += refused_until(buckets, timer) * SECOND
    buckets.take("ada")


def refused_until(buckets: Buckets, timer: Timer) -> int:
    """The seconds after which somebody who takes all that there is may ask again."""
    while True:
        try:
            buckets.take("ada")
        except TooMany as error:
            return error.retry_after


def test_nothing_is_kept_of_who_is_silent(timer: Timer) -> None:
    buckets = Buckets(10, 20, timer)
    for number in range(100):
        buckets.take(f"caller {number}")
    assert len(buckets) == 100
    timer.now += 2 * SECOND
    for _ in range(60):
        buckets.take("ada")
        timer.now += SECOND // 10
    assert len(buckets) == 1


def test_no_more_is_kept_than_there_is_room_for(timer: Timer) -> None:
    buckets = Buckets(1, 1, timer, most=10)
    for number in range(100):
        buckets.take(f"caller {number}")
        assert len(buckets) == min(number + 1, 10)
    assert refused(buckets, "caller 99") == 1
    buckets.take("caller 1")


def test_it_may_be_less_than_one_in_a_second(timer: Timer) -> None:
    buckets = Buckets(0.1, 1, timer)
    assert buckets.pause("ada") == 0
    assert buckets.pause("ada") == 10
    timer.now += 9 * SECOND
    assert buckets.pause("ada") == 1
    timer.now += SECOND
    assert buckets.pause("ada") == 0
