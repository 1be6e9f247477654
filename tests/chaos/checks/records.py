"""Did nobody see an older record than before, a finished one change, or a request forgotten (P3, P4, P5)?"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from tests.chaos.evidence import Evidence, Latest, Record, Violation, micros
from tests.chaos.history import TERMINAL, Operation

FROZEN: Final = ("state", "result", "failure", "progress", "counts", "message", "attempt", "started_at", "finished_at")
"""What of a finished record does not change."""

Seen = Sequence[tuple[Operation, Record]]


def check(evidence: Evidence) -> Iterator[Violation]:
    """All that is wrong with the records that were shown."""
    for task, seen in evidence.seen.items():
        yield from _one_moment(task, seen)
        yield from _never_older(task, seen)
        yield from _finished(evidence, task, seen)
        yield from _requests(evidence, task, seen)
    yield from _finished_logs(evidence)


def _one_moment(task: str, seen: Seen) -> Iterator[Violation]:
    """A version is one state of the record, whoever shows it."""
    first: dict[int, tuple[Operation, Record]] = {}
    for operation, record in seen:
        known = first.setdefault(record["version"], (operation, record))
        if known[1] != record:
            differing = sorted(name for name in record if record[name] != known[1].get(name))
            yield Violation(
                "P4",
                f"version {record['version']} of task {task} differs in {', '.join(differing)} between operations "
                f"{known[0].number} and {operation.number}",
            )


def _never_older(task: str, seen: Seen) -> Iterator[Violation]:
    """What somebody was shown, nobody who asks after that is shown an older version of."""
    shown = Latest([(operation.completed, record["version"]) for operation, record in seen])
    for operation, record in seen:
        version = shown.before(operation.invoked)
        if version is not None and version > record["version"]:
            yield Violation(
                "P4",
                f"operation {operation.number} ({operation.client}, {operation.action} at {operation.server}) shows "
                f"version {record['version']} of task {task}, after {version} was shown",
            )


def _finished(evidence: Evidence, task: str, seen: Seen) -> Iterator[Violation]:
    ordered = sorted(seen, key=lambda pair: int(pair[1]["version"]))
    for (_, before), (operation, after) in pairwise(ordered):
        if before["state"] not in TERMINAL:
            continue
        changed = {name for name in FROZEN if before[name] != after[name]}
        if changed == {"result"} and after["result"] is None and _is_expired(before, operation):
            continue
        if changed and not _is_revived(evidence, before, after, operation):
            yield Violation(
                "P3",
                f"task {task} was {before['state']} at version {before['version']}, and its "
                f"{', '.join(sorted(changed))} changed by version {after['version']} (operation {operation.number})",
            )


def _is_revived(evidence: Evidence, before: Record, after: Record, operation: Operation) -> bool:
    """Whether a finished record may have begun anew: with its next run, or by a retry of what did not succeed."""
    if before["next_run_at"] is not None and after["run"] > before["run"]:
        return True
    retries = [retry for retry in evidence.revived_by(before["id"]) if retry.invoked < operation.completed]
    return before["state"] != "succeeded" and retries != []


def _is_expired(record: Record, operation: Operation) -> bool:
    expires_at = micros(record["result_expires_at"])
    return expires_at is not None and expires_at <= operation.clock_highest


def _finished_logs(evidence: Evidence) -> Iterator[Violation]:
    """The log of a task that was seen at its end is over: who succeeded for good, others if nobody could retry them."""
    for task, entries in evidence.logs.items():
        final = TERMINAL if evidence.revived_by(task) == [] else ("succeeded",)
        seen = [record for _, record in evidence.seen[task] if record["next_run_at"] is None]
        ended = [record["version"] for record in seen if record["state"] in final]
        late = [entry["seq"] for entry in entries if ended and entry["version"] > min(ended)]
        if late:
            yield Violation("P3", f"task {task} was finished, and then had entries {late} written to its log")


def _requests(evidence: Evidence, task: str, seen: Seen) -> Iterator[Violation]:
    """A cancel and a pause stay visible until the work has stopped, or somebody takes them back."""
    yield from _request(evidence, task, seen, "cancel", "cancelled", ())
    yield from _request(evidence, task, seen, "pause", "paused", ("resume", "cancel"))


def _request(
    evidence: Evidence, task: str, seen: Seen, action: str, state: str, undone_by: Sequence[str]
) -> Iterator[Violation]:
    asked = [pair for pair in seen if pair[0].action == action]
    undoing = [*evidence.revived_by(task), *(op for name in undone_by for op in evidence.may_happen(name, task))]
    for request, answer in asked:
        undone = min((op.invoked for op in undoing if _may_follow(op, request)), default=None)
        for operation, record in [(request, answer), *((o, r) for o, r in seen if o.invoked > request.completed)]:
            if undone is not None and undone < operation.completed:
                continue
            if not _shows(record, action, state):
                yield Violation(
                    "P5",
                    f"task {task} is {record['state']} without its request to {action} (operation {request.number}) "
                    f"in operation {operation.number}",
                )


def _may_follow(operation: Operation, request: Operation) -> bool:
    """Whether an operation may have come after a request: it had not surely happened before."""
    return operation.outcome != "ok" or operation.completed > request.invoked


def _shows(record: Record, action: str, state: str) -> bool:
    if record["state"] == "running":
        return bool(record[f"{action}_requested"])
    return record["state"] == state or record["state"] in TERMINAL
