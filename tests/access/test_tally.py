from milepost.access.tally import Tally
from milepost.times import MINUTE, SECOND


class Timer:
    """µs that pass when a test says so."""

    now = 5 * MINUTE

    def __call__(self) -> int:
        return self.now


def test_what_happens_often_is_told_of_now_and_then() -> None:
    timer = Timer()
    tally = Tally(timer)
    tally.add()
    assert tally.due() == 1, "the first one at once"
    for _ in range(1_000):
        tally.add()
        assert tally.due() == 0
    timer.now += MINUTE - SECOND
    assert tally.due() == 0
    timer.now += SECOND
    tally.add()
    assert tally.due() == 1_001
    assert tally.due() == 0
