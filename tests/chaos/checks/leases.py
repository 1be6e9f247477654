"""Did every task reach an end, and was there never more than one live lease on it (P2, P5)?

Two leases were live at once if a checkpoint was acknowledged that was begun when a newer epoch had begun already. A try
whose worker does not know yet that its lease is over may run on; what counts is what is acknowledged to it.
"""

from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Evidence, Latest, Violation, is_over
from tests.chaos.traces import Mark


def check(evidence: Evidence) -> Iterator[Violation]:
    """All that is wrong with ends and leases."""
    yield from _ends(evidence)
    for task, marks in evidence.traces.items():
        yield from _one_try_an_epoch(task, marks)
        yield from _newest_epoch_alone(task, marks)
        yield from _checkpoints_found(task, marks)
        yield from _stopped(evidence, task, marks)
    yield from _log_epochs(evidence)
    yield from _results(evidence)


def _ends(evidence: Evidence) -> Iterator[Violation]:
    for task, record in evidence.final.items():
        if not is_over(record):
            yield Violation("P2", f"task {task} ({record['type']}) is {record['state']} at the end")


def _one_try_an_epoch(task: str, marks: Sequence[Mark]) -> Iterator[Violation]:
    begun = [mark.epoch for mark in marks if mark.event == "begun"]
    for epoch in sorted(set(begun)):
        if begun.count(epoch) > 1:
            yield Violation("P2", f"task {task} was begun {begun.count(epoch)} times in its epoch {epoch}")


def _newest(marks: Sequence[Mark]) -> Latest:
    """The newest epoch that had begun at a time."""
    return Latest([(mark.at, mark.epoch) for mark in marks if mark.event == "begun"])


def _acknowledged(marks: Sequence[Mark]) -> list[tuple[Mark, Mark]]:
    """The checkpoints that were acknowledged: where each began, and where it was through."""
    begun: dict[tuple[int, int], Mark] = {}
    found = []
    for mark in marks:
        if mark.event == "saving":
            begun[mark.epoch, mark.step] = mark
        elif mark.event == "saved":
            found.append((begun[mark.epoch, mark.step], mark))
    return found


def _newest_epoch_alone(task: str, marks: Sequence[Mark]) -> Iterator[Violation]:
    newest = _newest(marks)
    for saving, _ in _acknowledged(marks):
        epoch = newest.before(saving.at)
        if epoch is not None and epoch > saving.epoch:
            yield Violation(
                "P2", f"task {task} had step {saving.step} acknowledged in epoch {saving.epoch}, after {epoch} began"
            )


def _checkpoints_found(task: str, marks: Sequence[Mark]) -> Iterator[Violation]:
    """A try finds the last acknowledged checkpoint, or one that was on its way after it: nothing older or refused."""
    saved = epoch = 0
    run = 1
    on_its_way: set[tuple[int, int]] = set()
    for mark in marks:
        if mark.epoch < epoch:  # it comes late; whether it was acknowledged all the same is seen elsewhere
            continue
        match mark.event:
            case "saving":
                on_its_way.add((mark.epoch, mark.step))
            case "saved":
                saved = mark.step
                on_its_way.clear()
            case "refused":
                on_its_way.discard((mark.epoch, mark.step))
            case "begun" if mark.run != run:
                if mark.step:
                    yield Violation("P2", f"task {task} found step {mark.step} at the beginning of its run {mark.run}")
                saved, epoch, run = 0, mark.epoch, mark.run
                on_its_way.clear()
            case "begun":
                if mark.step not in {saved, *(step for _, step in on_its_way)}:
                    yield Violation(
                        "P2", f"task {task} found step {mark.step} in epoch {mark.epoch}, and {saved} was acknowledged"
                    )
                saved, epoch = mark.step, mark.epoch
                on_its_way.clear()


def _stopped(evidence: Evidence, task: str, marks: Sequence[Mark]) -> Iterator[Violation]:
    """Once a task was seen in any other state than running, no try of before is acknowledged anything."""
    # It stood still at some moment between the question and the answer.
    stopped = Latest([(op.completed, op.invoked) for op, r in evidence.seen[task] if r["state"] != "running"])
    begun = {mark.epoch: mark.at for mark in marks if mark.event == "begun"}
    for saving, _ in _acknowledged(marks):
        at = stopped.before(saving.at)
        if at is not None and begun[saving.epoch] < at:
            yield Violation("P5", f"task {task} was seen stopped, and then had step {saving.step} acknowledged")


def _log_epochs(evidence: Evidence) -> Iterator[Violation]:
    """A line of an older epoch behind one of a newer epoch was written by a lost lease."""
    for task, entries in evidence.logs.items():
        newest = 0
        for entry in entries:
            epoch = (entry["fields"] or {}).get("epoch", newest)
            if epoch < newest:
                yield Violation("P2", f"entry {entry['seq']} of task {task} is of epoch {epoch}, behind {newest}")
            newest = max(newest, epoch)


def _results(evidence: Evidence) -> Iterator[Violation]:
    """A result comes from the last try, and from a function that returned."""
    for task, record in evidence.final.items():
        result = record["result"]
        if record["state"] != "succeeded" or not isinstance(result, dict) or "epoch" not in result:
            continue
        marks = evidence.traces.get(task, [])
        newest = max((mark.epoch for mark in marks if mark.event == "begun"), default=0)
        returned = {mark.epoch for mark in marks if mark.event == "ended"}
        if result["epoch"] != newest or newest not in returned:
            yield Violation("P2", f"the result of task {task} is of epoch {result['epoch']}, its last one was {newest}")


def late_writes(marks: Sequence[Mark]) -> int:
    """How many writes came to the store after their lease was over, and were refused there."""
    return sum(mark.event == "fenced" for mark in marks)


def overtaken_writes(marks: Sequence[Mark]) -> int:
    """How many of them came while a newer try was at work: only its epoch told such a write from a timely one."""
    newest = _newest(marks)
    at_work: dict[int, int] = {}  # until when each epoch surely was
    for mark in marks:
        if mark.event in ("saving", "ended"):
            at_work[mark.epoch] = mark.at
    found = 0
    for mark in marks:
        epoch = newest.before(mark.at) or 0
        found += mark.event == "fenced" and mark.epoch < epoch and mark.at < at_work.get(epoch, 0)
    return found
