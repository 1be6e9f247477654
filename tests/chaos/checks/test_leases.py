"""Does the check of leases see two of them, and what a lost one changes?"""

from tests.chaos.checks.leases import check, late_writes, overtaken_writes
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


OVERSLEPT = (
    ("begun", 1, 10, 0),
    ("asleep", 1, 11, 0),
    ("begun", 2, 20, 0),
    ("saving", 2, 21, 1),
    ("saved", 2, 22, 1),
    ("saving", 1, 30, 1),
)
"""A worker wakes late, and writes of a task that another one has."""


def test_p2_a_worker_that_overslept_and_still_may_write_is_seen() -> None:
    story = told(*OVERSLEPT, ("saved", 1, 32, 1), ("ended", 2, 40, 1))
    assert broken(check(story.end(record("succeeded", 3)))) == ["P2"]
    # Also where it heard of its lost lease before the answer came: its line is in the log.
    story = told(*OVERSLEPT, ("refused", 1, 32, 1), ("ended", 2, 40, 1))
    assert broken(check(story.end(record("succeeded", 3), entries=[entry(1, epoch=2), entry(2, epoch=1)]))) == ["P2"]


def test_a_worker_that_overslept_and_is_refused_is_well() -> None:
    story = told(*OVERSLEPT, ("fenced", 1, 31, 0), ("refused", 1, 32, 1), ("ended", 2, 40, 1))
    evidence = story.end(record("succeeded", 3), entries=[entry(1, epoch=2)])
    assert broken(check(evidence)) == []
    assert (late_writes(evidence.traces[TASK]), overtaken_writes(evidence.traces[TASK])) == (1, 1)


def test_only_what_the_store_refused_is_a_late_write() -> None:
    marks = told(
        ("begun", 1, 10, 0),
        ("saving", 1, 11, 1),
        ("fenced", 1, 12, 0),  # it is queued again, by its state it can be told
        ("refused", 1, 13, 1),
        ("begun", 2, 20, 0),
        ("fenced", 1, 21, 0),
        ("saving", 1, 22, 2),
        ("refused", 1, 23, 2),  # its worker knew
        ("ended", 1, 24, 2),
        ("saving", 2, 25, 3),
        ("fenced", 1, 26, 0),  # perhaps nobody was at work any more
    ).end()
    assert (late_writes(marks.traces[TASK]), overtaken_writes(marks.traces[TASK])) == (3, 1)
