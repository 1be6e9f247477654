"""Does the verdict take every check in, and are the figures right?"""

from tests.chaos.checker import counts, unfinished, violations
from tests.chaos.story import Story, broken, entry, record


def test_a_run_in_which_all_went_well() -> None:
    story = Story()
    story.start()
    story.mark("begun", 1, 5)
    story.mark("saving", 1, 6, 1)
    story.mark("saved", 1, 7, 1)
    story.mark("ended", 1, 8, 1)
    evidence = story.end(record("succeeded", 3, result={"steps": 1, "epoch": 1}), entries=[entry(1, 1), entry(2, 3)])
    found = violations(evidence)
    assert found == []
    figures = counts(evidence, found)
    assert (figures["tasks"], figures["tries"], figures["lost"]) == (1, 1, 0)
    assert figures["late writes refused by the store"] == 0
    assert (figures["ends"], figures["not ended"]) == ("1 succeeded", "none")


def test_p1_p2_what_is_missing_or_without_end_is_lost() -> None:
    story = Story()
    story.start()
    story.start(3, task="task-2", tag="tag-2", record=record(id="task-2"))
    evidence = story.end(record("running", 2))
    found = violations(evidence)
    assert sorted(broken(found)) == ["P1", "P2"]
    assert counts(evidence, found)["lost"] == 2


def test_a_run_in_which_nothing_happened_shows_nothing() -> None:
    assert broken(violations(Story().end())) == ["P1"]


def test_what_has_not_ended_is_told_by_type_and_state() -> None:
    again = record("succeeded", id="task-3", next_run_at="2026-01-01T00:00:03Z")
    waiting = [record("queued", id=f"task-{number}", type="writes") for number in (4, 5)]
    evidence = Story().end(record("succeeded"), record("running", id="task-2"), again, *waiting)
    assert unfinished(evidence) == "1 on_loop running, 1 on_loop succeeded, 2 writes queued"
