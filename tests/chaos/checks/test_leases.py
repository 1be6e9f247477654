"""Does the check of leases see two of them, and what a lost one changes?"""

from tests.chaos.checks.leases import check, late_writes
from tests.chaos.story import TASK, Story, broken, entry, record


def told(*marks: tuple[str, int, int, int]) -> Story:
    """A story of marks: event, epoch, time and step."""
    story = Story()
    story.start()
    for event, epoch, at, step in marks:
        story.mark(event, epoch, at, step)  # type: ignore[arg-type]
    return story


def test_a_task_that_was_lost_and_taken_up_again_is_well() -> None:
    story = told(
        ("begun", 1, 10, 0),
        ("saving", 1, 11, 1),
        ("saved", 1, 12, 1),
        ("saving", 1, 13, 2),
        ("begun", 2, 20, 2),
        ("saving", 2, 21, 3),
        ("saved", 2, 22, 3),
        ("ended", 2, 23, 3),
    )
    final = record("succeeded", 9, result={"steps": 3, "epoch": 2})
    assert broken(check(story.end(final, entries=[entry(1, epoch=1), entry(2), entry(3, epoch=2)]))) == []


def test_p2_a_task_without_an_end_is_seen() -> None:
    assert broken(check(told().end(record("running", 2)))) == ["P2"]


def test_p2_an_acknowledgement_after_a_newer_epoch_began_is_seen() -> None:
    story = told(("begun", 1, 10, 0), ("begun", 2, 20, 0), ("saving", 1, 21, 1), ("saved", 1, 22, 1))
    assert broken(check(story.end(record("succeeded", 3)))) == ["P2"]


def test_p2_an_acknowledgement_that_was_on_its_way_is_none() -> None:
    story = told(("begun", 1, 10, 0), ("saving", 1, 19, 1), ("begun", 2, 20, 1), ("saved", 1, 22, 1))
    assert broken(check(story.end(record("succeeded", 3)))) == []


def test_p2_an_epoch_that_was_begun_twice_is_seen() -> None:
    story = told(("begun", 1, 10, 0), ("begun", 1, 11, 0))
    assert broken(check(story.end(record("succeeded", 3)))) == ["P2"]


def test_p2_a_lost_checkpoint_is_seen() -> None:
    story = told(("begun", 1, 10, 0), ("saving", 1, 11, 1), ("saved", 1, 12, 1), ("begun", 2, 20, 0))
    assert broken(check(story.end(record("succeeded", 3)))) == ["P2"]


def test_p2_a_refused_checkpoint_that_was_kept_is_seen() -> None:
    story = told(("begun", 1, 10, 0), ("saving", 1, 11, 1), ("refused", 1, 12, 1), ("begun", 2, 20, 1))
    assert broken(check(story.end(record("succeeded", 3)))) == ["P2"]


def test_p2_a_checkpoint_of_an_older_epoch_that_was_kept_is_seen() -> None:
    story = told(("begun", 1, 10, 0), ("begun", 2, 20, 0), ("saving", 1, 21, 1), ("begun", 3, 30, 1))
    assert broken(check(story.end(record("succeeded", 3)))) == ["P2"]


def test_p2_a_line_of_a_lost_lease_is_seen() -> None:
    entries = [entry(1, epoch=1), entry(2, epoch=2), entry(3, epoch=1)]
    assert broken(check(told().end(record("succeeded", 3), entries=entries))) == ["P2"]


def test_p2_a_result_of_a_lost_lease_is_seen() -> None:
    story = told(("begun", 1, 10, 0), ("begun", 2, 20, 0), ("ended", 1, 30, 1))
    assert broken(check(story.end(record("succeeded", 3, result={"steps": 1, "epoch": 1})))) == ["P2"]


def test_p2_a_run_begins_without_a_checkpoint() -> None:
    for found, expected in ((0, []), (1, ["P2"])):
        story = told(("begun", 1, 10, 0), ("saving", 1, 11, 1), ("saved", 1, 12, 1), ("ended", 1, 13, 1))
        story.mark("begun", 2, 20, found, run=2)
        assert broken(check(story.end(record("failed", 3)))) == expected


def test_p2_a_task_that_would_run_again_has_no_end() -> None:
    assert broken(check(told().end(record("failed", 2, next_run_at="2026-01-01T00:00:00Z")))) == ["P2"]


def test_p5_work_that_goes_on_after_it_was_seen_stopped_is_seen() -> None:
    story = told(("begun", 1, 10, 0), ("saving", 1, 40, 1), ("saved", 1, 41, 1))
    story.saw(record("cancelled", 3), 30)
    assert broken(check(story.end(record("cancelled", 3)))) == ["P5"]


def test_p5_work_that_began_while_somebody_looked_is_none() -> None:
    story = told(("begun", 1, 20, 0), ("saving", 1, 40, 1), ("saved", 1, 41, 1))
    story.saw(record("queued", 1), 10, until=30)
    assert broken(check(story.end(record("succeeded", 3)))) == []


def test_late_writes_are_counted_once() -> None:
    story = told(
        ("begun", 1, 10, 0),
        ("saving", 1, 11, 1),
        ("refused", 1, 12, 1),
        ("begun", 2, 20, 0),
        ("saving", 1, 21, 2),
        ("refused", 1, 22, 2),
        ("ended", 1, 23, 2),
        ("saving", 2, 24, 1),
        ("saved", 2, 25, 1),
        ("saving", 2, 26, 2),
    )
    assert late_writes(story.end().traces[TASK]) == 3
