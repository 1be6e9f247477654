"""How a task's secrets stay out of what its function tells."""

from milepost.engine.outcome import Died, Raised, Stopped, StopReason, ValueReturned, veiled
from milepost.engine.veil import Veil, kept
from milepost.task import Entry, Failure


def test_entries_and_outcomes_are_told_without_it() -> None:
    veil = Veil(["hunter2"])
    entry = veil.entry(Entry(0, "log", 1, message="hunter2", fields={"a": "hunter2"}))
    assert (entry.message, entry.fields) == ("***", {"a": "***"})
    assert veil.entry(Entry(0, "log", 1, message="x")).fields is None
    raised = Raised(Failure("hunter2", "is hunter2"), "line hunter2", retry=False)
    assert veiled(raised, veil) == Raised(Failure("***", "is ***"), "line ***", retry=False)
    assert veiled(Raised(Failure("a", "b")), veil) == Raised(Failure("a", "b"))
    assert veiled(Died("by hunter2"), veil) == Died("by ***")
    for same in (Stopped(StopReason.PAUSE), ValueReturned(b'"hunter2"')):
        assert veiled(same, veil) is same


def test_those_that_hide_something_are_known_as_long_as_somebody_holds_them() -> None:
    before = len(kept())
    nothing, veil = Veil(["abc", None]), Veil(["hunter2"])
    assert nothing not in kept()
    assert veil in kept()
    del veil
    assert len(kept()) == before
