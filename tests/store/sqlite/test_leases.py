"""What is kept in mind of tasks that a worker can't open."""

import pytest

from milepost.store.sqlite import leases
from milepost.store.sqlite.leases import Claimer
from milepost.store.workers import Unopened
from milepost.turns import Waiting


def test_no_more_is_kept_in_mind_than_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_MOST_UNOPENED", 2)
    claimer = Claimer("w1", 0, Unopened(lambda *_: False))
    first, second, third = (Waiting(0, "acme", row, 5) for row in (1, 2, 3))
    for waiting in (first, second):
        claimer.note(waiting)
    assert [claimer.knows(each) for each in (first, second, third)] == [True, True, False]
    claimer.note(third)
    assert [claimer.knows(each) for each in (first, second, third)] == [False, False, True]
    assert not claimer.knows(third._replace(due=6))


def test_who_opens_everything_has_nothing_to_keep_in_mind() -> None:
    claimer = Claimer("w1", 0)
    waiting = Waiting(0, "acme", 1, 5)
    claimer.note(waiting)
    assert not claimer.knows(waiting)
    assert not claimer.leaves("1", b"sealed")
