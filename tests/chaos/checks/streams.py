"""Did no follower lose a line, wherever its stream broke off, and do log and streams tell the same (P8)?"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.chaos.evidence import Evidence, Violation
from tests.chaos.history import TERMINAL, Operation

Entry = dict[str, Any]


def check(evidence: Evidence) -> Iterator[Violation]:
    """All that is wrong with logs and streams."""
    for task, entries in evidence.logs.items():
        yield from _whole(task, entries)
    yield from _pages(evidence)
    events: dict[int, list[Operation]] = defaultdict(list)
    for event in evidence.of("event"):
        events[event.last_event_id].append(event)
    followed: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for stream in evidence.of("follow"):
        yield from _rising(stream, events[stream.number])
        yield from _over(evidence, stream)
        followed[stream.client, str(stream.task)].append(stream)
    for (client, task), streams in followed.items():
        if task in evidence.logs:
            yield from _nothing_lost(evidence.logs[task], f"{client} followed task {task}", streams, events)


def _whole(task: str, entries: Sequence[Entry]) -> Iterator[Violation]:
    numbers = [entry["seq"] for entry in entries]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Violation("P8", f"the log of task {task} has the entries {numbers}")
    versions = [entry["version"] for entry in entries]
    if versions != sorted(versions):
        yield Violation("P8", f"the log of task {task} was written by versions {versions}")


def _pages(evidence: Evidence) -> Iterator[Violation]:
    """What was read of a log by cursor is what it says at the end."""
    for page in evidence.of("logs"):
        final = evidence.logs.get(str(page.task))
        if final is not None and page.entries != final[page.after : page.after + len(page.entries)]:
            yield Violation("P8", f"operation {page.number} read another log of task {page.task} than there is")


def _versions(events: Sequence[Operation]) -> list[int]:
    return [int(event.record["version"]) for event in events if event.record is not None]


def _rising(stream: Operation, events: Sequence[Operation]) -> Iterator[Violation]:
    versions = [stream.last_event_id, *_versions(events)]
    if any(after <= before for before, after in pairwise(versions)):
        yield Violation("P8", f"stream {stream.number} of task {stream.task} tells the versions {versions}")


def _over(evidence: Evidence, stream: Operation) -> Iterator[Violation]:
    """That there is nothing more to come is told to those alone who have seen the end."""
    ended = {r["version"] for _, r in evidence.seen[str(stream.task)] if r["state"] in TERMINAL}
    if stream.status == 204 and stream.last_event_id not in ended:
        yield Violation("P8", f"stream {stream.number} of task {stream.task} is over before its end was told")


def _nothing_lost(
    final: Sequence[Entry], name: str, streams: Sequence[Operation], events: Mapping[int, Sequence[Operation]]
) -> Iterator[Violation]:
    """Whenever a follower is told of a record, it has all entries up to that; those that come twice are the same."""
    told: dict[int, Entry] = {}
    for stream in streams:
        others = [entry for entry in stream.entries if told.get(entry["seq"], entry) != entry]
        if others:
            yield Violation("P8", f"{name}, and was told something else at another time: {others}")
        begin = 0
        for event in events[stream.number]:
            told |= {entry["seq"]: entry for entry in stream.entries[begin : event.after]}
            begin = event.after
            (version,) = _versions([event])
            lost = [e["seq"] for e in final if e["version"] <= version and told.get(e["seq"]) != e]
            if lost:
                yield Violation("P8", f"{name} to version {version}, and misses of its log the entries {lost}")
                return
        told |= {entry["seq"]: entry for entry in stream.entries}
