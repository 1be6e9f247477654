"""Does the check of starts see a lost start, and a key that stands for two tasks?"""

from typing import Any

import pytest

from tests.chaos.checks.starts import check
from tests.chaos.story import TASK, Story, broken, record


def test_what_was_started_and_is_there_is_well() -> None:
    story = Story()
    story.start()
    story.saw(record("running", 2), 5)
    story.start(10)
    story.start(12, status=422, other_body=True, record=None, task=None)
    assert broken(check(story.end(record("succeeded", 3)))) == []


def test_p1_a_lost_start_is_seen() -> None:
    story = Story()
    story.start()
    assert broken(check(story.end())) == ["P1"]


def test_p1_a_start_that_was_never_acknowledged_may_be_lost() -> None:
    story = Story()
    story.start(status=0, outcome="unknown", record=None, task=None)
    assert broken(check(story.end())) == []


@pytest.mark.parametrize(
    ("outcome", "status", "expected"), [("ok", 200, []), ("unknown", 0, []), ("failed", 409, ["P1"])]
)
def test_p1_only_what_may_be_deleted_may_be_missing(outcome: Any, status: int, expected: list[str]) -> None:
    story = Story()
    story.start()
    story.op("delete", 10, status=status, outcome=outcome)
    assert broken(check(story.end())) == expected


def test_p1_what_is_past_its_retention_may_be_missing() -> None:
    story = Story()
    story.start()
    story.saw(record("succeeded", 3), 5)
    assert broken(check(story.end(at=1900))) == ["P1"]
    assert broken(check(story.end(at=2000))) == []


def test_p1_a_task_that_is_unknown_for_a_moment_is_seen() -> None:
    story = Story()
    story.start()
    story.op("read", 5, status=404)
    assert broken(check(story.end(record("succeeded", 3)))) == ["P1"]


def test_p1_a_read_that_began_before_the_answer_proves_nothing() -> None:
    story = Story()
    story.start(1, 10)
    story.op("read", 5, status=404)
    assert broken(check(story.end(record("succeeded", 3)))) == []


def test_p1_a_task_of_a_refused_start_is_seen() -> None:
    story = Story()
    story.start()
    story.op("start", 5, task=None, tag="tag-2", status=503)
    others = record("succeeded", 3, id="task-2", title="tag-2")
    assert broken(check(story.end(record("succeeded", 3), others))) == ["P1"]


def test_p9_two_tasks_of_a_key_are_seen() -> None:
    story = Story()
    story.start()
    story.start(5, task="task-2", record=record(id="task-2"))
    assert broken(check(story.end(record(), record(id="task-2")))) == ["P9", "P9"]


def test_p9_a_second_task_that_nobody_was_told_of_is_seen() -> None:
    story = Story()
    story.start(1, status=0, outcome="unknown", task=None, record=None)
    story.start(5)
    assert broken(check(story.end(record(), record(id="task-2")))) == ["P9"]


def test_p9_another_body_that_is_taken_is_seen() -> None:
    story = Story()
    story.start()
    story.start(5, other_body=True)
    assert broken(check(story.end(record()))) == ["P9"]


@pytest.mark.parametrize("status", [410, 422, 409])
def test_p9_a_key_refused_with_its_own_body_is_seen(status: int) -> None:
    story = Story()
    story.start()
    story.start(5, status=status, task=None, record=None)
    assert broken(check(story.end(record()))) == ["P9"]


def test_p9_a_key_of_a_deleted_task_is_gone() -> None:
    story = Story()
    story.start()
    story.op("delete", 5, ids=[TASK])
    story.start(10, status=410, task=None, record=None)
    assert broken(check(story.end())) == []
    story.start(20)
    assert "P9" in broken(check(story.end()))
