"""Was everything there until its time was over, and gone from then on (P7)?"""

from collections.abc import Iterator

from tests.chaos.evidence import Evidence, Violation, micros
from tests.chaos.history import Operation

STREAMED = ("event", "follow")
"""What was sent before may be received after."""


def check(evidence: Evidence) -> Iterator[Violation]:
    """All that is wrong with what was kept, and for how long."""
    for task in evidence.seen:
        asked = [operation for operation in evidence.operations if operation.task == task]
        yield from _results(evidence, task, asked)
        yield from _records(evidence, task, asked)
        yield from _deleted(evidence, task, asked)


def _until(evidence: Evidence, task: str, field: str) -> int | None:
    """The time of a record's end that stands there; None while there is none, or when a retry gave it several."""
    records = [record for _, record in evidence.seen[task]]
    times = {micros(record[field]) for record in records if record["state"] == "succeeded"}
    if any(record["trigger"] for record in records):
        return None  # its results come and go
    return times.pop() if len(times) == 1 else None


def _results(evidence: Evidence, task: str, asked: list[Operation]) -> Iterator[Violation]:
    until = _until(evidence, task, "result_expires_at")
    if until is None:
        return
    gone: Operation | None = None
    for operation in sorted(asked, key=lambda operation: operation.invoked):
        shown = _shows_result(operation)
        if shown and operation.action not in STREAMED and _earliest(operation) > until:
            yield Violation("P7", f"operation {operation.number} shows the result of task {task} past its retention")
        if shown and gone is not None and gone.completed < operation.invoked:
            yield Violation(
                "P7", f"operation {operation.number} shows the result of task {task}, gone in operation {gone.number}"
            )
        if shown is False and operation.clock_highest < until:
            yield Violation("P7", f"operation {operation.number} misses the result of task {task} before its time")
        if shown is False and (gone is None or operation.completed < gone.completed):
            gone = operation


def _shows_result(operation: Operation) -> bool | None:
    """True: it shows the result of its finished task; False: that it is gone; None: it says nothing of it."""
    if operation.action == "result":
        return {200: True, 410: False}.get(operation.status)
    record = operation.record
    if operation.outcome != "ok" or record is None or record["state"] != "succeeded":
        return None
    return record["result"] is not None


def _earliest(operation: Operation) -> int:
    """The earliest that the machine's clock can have shown when it was answered."""
    return min(operation.clock, operation.clock_after)


def _records(evidence: Evidence, task: str, asked: list[Operation]) -> Iterator[Violation]:
    until = _until(evidence, task, "expires_at")
    if until is None or task in evidence.depended_on:  # it is kept for those who wait for it
        return
    for operation in asked:
        if operation.record is not None and operation.action not in STREAMED and _earliest(operation) > until:
            yield Violation("P7", f"operation {operation.number} shows task {task} past its retention")


def _deleted(evidence: Evidence, task: str, asked: list[Operation]) -> Iterator[Violation]:
    """Who was told that a task is gone, or could have been, is not shown it again."""
    gone = [op.completed for op in evidence.may_happen("delete", task) if op.outcome == "ok"]
    gone += [op.completed for op in asked if op.status == 404 and op.action in ("read", "logs", "cancel", "delete")]
    for operation in asked:
        if gone and operation.record is not None and operation.invoked > min(gone):
            yield Violation("P7", f"operation {operation.number} shows task {task}, which was gone")
