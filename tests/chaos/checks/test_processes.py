"""Does the check of processes see one that is left behind, and one that broke?"""

import pytest

from tests.chaos.checks.processes import check
from tests.chaos.evidence import Evidence
from tests.chaos.members import End
from tests.chaos.story import Story, broken


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (End("worker-1", -9, was_meant=True), []),
        (End("worker-1", -15, was_meant=True), []),
        (End("worker-1", -9, was_meant=False), ["process"]),
        (End("server", 0, was_meant=True), []),
        (End("worker-1", 17, was_meant=False), []),
        (End("server", -7, was_meant=False), ["process"]),
        (End("server", -11, was_meant=True), ["process"]),
    ],
)
def test_a_process_that_broke_is_seen(end: End, expected: list[str]) -> None:
    assert broken(check(Evidence([], {}, ends=[end]))) == expected


def test_a_process_that_is_left_behind_is_seen() -> None:
    assert broken(check(Evidence([], {}, orphans=[4711]))) == ["process"]


@pytest.mark.parametrize(("status", "expected"), [(503, []), (500, ["http"])])
def test_an_answer_that_only_says_that_something_broke_is_seen(status: int, expected: list[str]) -> None:
    story = Story()
    story.start(status=status, outcome="failed", task=None, record=None)
    assert broken(check(story.end())) == expected
