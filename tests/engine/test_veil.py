"""How a task's secrets stay out of what its function tells."""

import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from milepost.engine.outcome import Died, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.veil import SHORTEST, Veil
from milepost.task import Entry, Failure

ODD = "p\"w'd \\ ä\n&/€"


@given(secret=st.text(min_size=SHORTEST), before=st.text(), after=st.text())
def test_no_text_has_a_secret_in_it_any_more(secret: str, before: str, after: str) -> None:
    assume("***" not in secret and not set(secret) <= {"*"})
    assert secret not in Veil([secret]).text(before + secret + after)


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "to programmers": repr,
    "as JSON": json.dumps,
    "as JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "in a query": quote_plus,
    "in a path": lambda text: quote(text, safe=""),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_nor_has_it_the_forms_that_it_takes_elsewhere(form: Callable[[str], str]) -> None:
    assert Veil([ODD]).text(f"<{form(ODD)}>") in ("<***>", "<'***'>", '<"***">')


def test_a_secret_may_consist_of_others_and_have_one_another_within() -> None:
    veil = Veil([{"user": "root", "keys": ["hunter2", "hunter22"], "pin": 12345, "on": True}, None])
    assert veil.text("hunter22 hunter2 root 12345 True user") == "*** *** *** *** True user"


def test_what_is_too_short_to_be_told_from_words_is_left() -> None:
    veil = Veil(["abc", 123])
    assert not veil
    assert veil.text("abc 123") == "abc 123"


def test_values_are_looked_through() -> None:
    veil = Veil(["hunter2", 12345])
    value = {"a": ["x hunter2", 12345, 1, None, {"hunter2": True}]}
    assert veil.value(value) == {"a": ["x ***", "***", 1, None, {"***": True}]}


def test_entries_and_outcomes_are_told_without_it() -> None:
    veil = Veil(["hunter2"])
    entry = veil.entry(Entry(0, "log", 1, message="hunter2", fields={"a": "hunter2"}))
    assert (entry.message, entry.fields) == ("***", {"a": "***"})
    assert veil.entry(Entry(0, "log", 1, message="x")).fields is None
    raised = Raised(Failure("hunter2", "is hunter2"), "line hunter2", retry=False)
    assert veil.outcome(raised) == Raised(Failure("***", "is ***"), "line ***", retry=False)
    assert veil.outcome(Raised(Failure("a", "b"))) == Raised(Failure("a", "b"))
    assert veil.outcome(Died("by hunter2")) == Died("by ***")
    for same in (Stopped(StopReason.PAUSE), ValueReturned(b'"hunter2"')):
        assert veil.outcome(same) is same
