"""Does the check of streams see a lost line?"""

from typing import Any

import pytest

from tests.chaos.checks.streams import check
from tests.chaos.evidence import Evidence
from tests.chaos.story import Story, broken, entry, record

LOG = [entry(1, 1), entry(2, 2), entry(3, 2), entry(4, 4)]
DONE = record("succeeded", 4)


def followed(*connections: tuple[int, list[dict[str, Any]], list[int]], log: list[dict[str, Any]] = LOG) -> Evidence:
    """A follower's connections: the id it came with, the entries and the versions that it was told."""
    story = Story()
    story.start()
    for number, (last, entries, versions) in enumerate(connections):
        stream = story.op("follow", 10 * number + 5, last_event_id=last, entries=entries)
        for version in versions:
            shown = DONE if version == 4 else record("running", version)
            after = sum(each["version"] <= version for each in entries)
            story.op("event", 10 * number + 5, record=shown, last_event_id=stream.number, after=after)
    return story.end(DONE, entries=log)


def test_a_stream_that_is_cut_off_and_resumed_is_well() -> None:
    assert broken(check(followed((0, LOG[:2], [1]), (1, LOG[1:], [2, 4])))) == []


def test_a_stream_that_was_cut_off_for_good_is_well_as_far_as_it_goes() -> None:
    assert broken(check(followed((0, LOG[:2], [1])))) == []


def test_p8_a_lost_line_is_seen() -> None:
    assert broken(check(followed((0, LOG[:1], [1]), (1, LOG[2:], [2, 4])))) == ["P8"]


def test_p8_a_line_that_comes_after_its_record_is_seen() -> None:
    assert broken(check(followed((0, LOG, [1, 3, 4])))) == []
    evidence = followed((0, LOG, [1, 3, 4]))
    evidence.of("event")[1].after -= 1
    assert broken(check(evidence)) == ["P8"]


def test_p8_a_line_told_twice_and_differently_is_seen() -> None:
    other = entry(2, 2, changed=True)
    assert set(broken(check(followed((0, [LOG[0], other], [1]), (1, LOG[1:], [4]))))) == {"P8"}


@pytest.mark.parametrize("versions", [[2, 1], [2, 2], [1]])
def test_p8_versions_that_do_not_rise_are_seen(versions: list[int]) -> None:
    assert "P8" in broken(check(followed((1, LOG, versions))))


@pytest.mark.parametrize(("last", "expected"), [(4, []), (2, ["P8"])])
def test_p8_a_stream_that_is_over_too_early_is_seen(last: int, expected: list[str]) -> None:
    story = Story()
    story.start()
    story.saw(record("running", 2), 3)
    story.op("follow", 5, status=204, last_event_id=last)
    assert broken(check(story.end(DONE, entries=LOG))) == expected


@pytest.mark.parametrize("log", [[LOG[0], LOG[2]], [LOG[0], LOG[0]], LOG[1:], [entry(1, 2), entry(2, 1)]])
def test_p8_a_log_with_holes_is_seen(log: list[dict[str, Any]]) -> None:
    assert broken(check(followed(log=log))) == ["P8"]


def test_p8_a_page_that_tells_something_else_is_seen() -> None:
    story = Story()
    story.start()
    story.op("logs", 5, entries=LOG[1:3], after=1)
    assert broken(check(story.end(DONE, entries=LOG))) == []
    story.op("logs", 6, entries=[LOG[0], LOG[2]])
    assert broken(check(story.end(DONE, entries=[]))) == ["P8"]
