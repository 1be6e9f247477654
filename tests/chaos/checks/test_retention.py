"""Does the check of retention see what is shown too long, or not long enough?"""

from tests.chaos.checks.retention import check
from tests.chaos.story import TASK, Story, broken, clock, record

DONE = record("succeeded", 3)


def test_a_result_that_is_there_and_then_gone_is_well() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.op("result", 999)
    story.op("result", 1000, status=410)
    story.saw(DONE | {"version": 4, "result": None}, 1001)
    assert broken(check(story.end())) == []


def test_p7_a_result_past_its_retention_is_seen() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.op("result", 1001)
    story.saw(DONE, 1002)
    assert broken(check(story.end())) == ["P7", "P7"]


def test_p7_what_was_answered_while_the_time_ran_out_is_well() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.op("result", 999, 1003)
    story.op("event", 999, 1003, record=DONE)
    assert broken(check(story.end())) == []


def test_p7_a_result_that_went_too_early_is_seen() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.op("result", 900, status=410)
    assert broken(check(story.end())) == ["P7"]


def test_p7_a_result_that_comes_back_with_the_clock_is_seen() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.op("result", 20, status=410, clock_highest=clock(1001))
    story.op("result", 30)
    assert broken(check(story.end())) == ["P7"]


def test_p7_a_record_past_its_retention_is_seen() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.saw(DONE | {"version": 4, "result": None}, 2001)
    assert broken(check(story.end())) == ["P7"]


def test_p7_a_record_is_kept_for_those_that_depend_on_it() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.saw(record("queued", id="task-2", depends_on=[TASK]), 6)
    story.saw(DONE | {"version": 4, "result": None}, 2001)
    assert broken(check(story.end())) == []


def test_p7_a_deleted_task_that_is_shown_is_seen() -> None:
    story = Story()
    story.saw(DONE, 5)
    story.op("delete", 10, ids=[TASK])
    story.saw(DONE, 20)
    assert broken(check(story.end())) == ["P7"]


def test_p7_a_task_that_was_unknown_and_comes_back_is_seen() -> None:
    story = Story()
    story.op("read", 10, status=404)
    story.saw(DONE, 20)
    assert broken(check(story.end())) == ["P7"]
