"""Does the check of records see an older one, a finished one that changes, and a forgotten request?"""

from typing import Any

import pytest

from tests.chaos.checks.records import check
from tests.chaos.story import Story, broken, entry, record


def test_a_record_that_only_goes_on_is_well() -> None:
    story = Story()
    story.start()
    story.saw(record("running", 2), 5)
    story.saw(record("running", 2), 7, client="client-2")
    story.saw(record("running", 3, message="on"), 9)
    assert broken(check(story.end(record("succeeded", 4)))) == []


def test_p4_an_older_version_is_seen_whoever_is_shown_it() -> None:
    story = Story()
    story.saw(record("running", 3), 5)
    story.saw(record("running", 2), 10, client="client-2")
    assert broken(check(story.end(record("succeeded", 4)))) == ["P4"]


def test_p4_two_who_ask_at_the_same_time_may_see_different_versions() -> None:
    story = Story()
    story.saw(record("running", 3), 5, until=9)
    story.saw(record("running", 2), 8, client="client-2")
    assert broken(check(story.end(record("succeeded", 4)))) == []


def test_p4_two_records_of_one_version_are_seen() -> None:
    story = Story()
    story.saw(record("running", 2, message="a"), 5)
    story.saw(record("running", 2, message="b"), 7)
    assert broken(check(story.end(record("succeeded", 4)))) == ["P4"]


@pytest.mark.parametrize("changes", [{"progress": 0.5}, {"result": {"steps": 2}}, {"attempt": 2}, {"result": None}])
def test_p3_a_finished_record_that_changes_is_seen(changes: dict[str, Any]) -> None:
    story = Story()
    story.saw(record("succeeded", 3), 5)
    assert broken(check(story.end(record("succeeded", 4, **changes)))) == ["P3"]


def test_p3_a_result_may_expire_and_labels_may_change() -> None:
    story = Story()
    story.saw(record("succeeded", 3), 5)
    story.saw(record("succeeded", 4, title="another"), 7)
    assert broken(check(story.end(record("succeeded", 5, title="another", result=None), at=1001))) == []


@pytest.mark.parametrize(
    ("state", "retried", "expected"), [("failed", True, []), ("failed", False, ["P3"]), ("succeeded", True, ["P3"])]
)
def test_p3_only_a_retry_revives_and_only_what_did_not_succeed(state: str, retried: bool, expected: list[str]) -> None:
    story = Story()
    story.saw(record(state, 3), 5)
    if retried:
        story.op("retry", 10, status=0, outcome="unknown")
    assert broken(check(story.end(record("cancelled", 5)))) == expected


def test_p3_a_retry_of_what_it_depends_on_revives() -> None:
    story = Story()
    story.saw(record("failed", 3, depends_on=["task-0"]), 5)
    story.op("retry", 10, task="task-0")
    assert broken(check(story.end(record("succeeded", 5, depends_on=["task-0"])))) == []


@pytest.mark.parametrize(("run", "expected"), [(2, []), (1, ["P3"])])
def test_p3_a_next_run_begins_anew(run: int, expected: list[str]) -> None:
    story = Story()
    story.saw(record("succeeded", 3, next_run_at="2026-01-01T00:00:03Z"), 5)
    assert broken(check(story.end(record("running", 5, run=run)))) == expected


def test_p3_a_line_in_a_finished_log_is_seen() -> None:
    story = Story()
    story.saw(record("succeeded", 3), 5)
    assert broken(check(story.end(record("succeeded", 3), entries=[entry(1, 3), entry(2, 4)]))) == ["P3"]


def asked(action: str, *after: dict[str, Any]) -> Story:
    """A running task is asked to stop, and then shown."""
    story = Story()
    story.op(action, 5, record=record("running", 2) | {f"{action}_requested": True})
    for number, fields in enumerate(after):
        story.saw(record(version=3 + number, **fields), 10 + 5 * number)
    return story


@pytest.mark.parametrize("action", ["cancel", "pause"])
def test_p5_a_request_that_stays_is_well(action: str) -> None:
    state = {"cancel": "cancelled", "pause": "paused"}[action]
    story = asked(action, {"state": "running", f"{action}_requested": True}, {"state": state})
    assert broken(check(story.end())) == []


@pytest.mark.parametrize("action", ["cancel", "pause"])
@pytest.mark.parametrize("state", ["running", "queued"])
def test_p5_a_forgotten_request_is_seen(action: str, state: str) -> None:
    assert broken(check(asked(action, {"state": state}).end())) == ["P5"]


def test_p5_a_request_that_is_not_even_in_its_answer_is_seen() -> None:
    story = Story()
    story.op("cancel", 5, record=record("running", 2))
    assert broken(check(story.end())) == ["P5"]


def test_p5_a_pause_may_be_taken_back() -> None:
    story = asked("pause")
    story.op("resume", 7, record=record("running", 3))
    story.saw(record("running", 3), 10)
    assert broken(check(story.end())) == []
