"""Which promises did a run break, and what happened in it, in figures?"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.chaos.checks import leases, processes, records, retention, starts, streams
from tests.chaos.evidence import Evidence, Violation, is_over
from tests.chaos.history import Operation

CHECKS: Final[tuple[Callable[[Evidence], Iterator[Violation]], ...]] = (
    starts.check,
    leases.check,
    records.check,
    retention.check,
    streams.check,
    processes.check,
)


def violations(evidence: Evidence) -> list[Violation]:
    """All that is wrong. An empty history shows nothing, and is wrong too."""
    if not evidence.starts or not evidence.final:
        return [Violation("P1", "nothing was started, or nothing could be read at the end")]
    return [violation for check in CHECKS for violation in check(evidence)]


def _is_loss(violation: Violation) -> bool:
    """Whether it says of an acknowledged task that it is missing, or has no end."""
    return violation.promise in ("P1", "P2") and violation.text.endswith("at the end")


def unfinished(evidence: Evidence) -> str:
    """Which tasks had not ended at the end: how many of each type in each state."""
    found = Counter(f"{record['type']} {record['state']}" for record in evidence.final.values() if not is_over(record))
    return ", ".join(f"{number} {named}" for named, number in sorted(found.items())) or "none"


def _seconds(operation: Operation) -> float:
    """How long an answer took; 0 where there was none, or where it was to take long."""
    is_short = operation.outcome == "ok" and operation.action not in ("wait", "follow", "event")
    return (operation.completed - operation.invoked) / 1e9 if is_short else 0


def counts(evidence: Evidence, broken: Sequence[Violation]) -> dict[str, int | str]:
    """What happened, in figures."""
    tries = sum(mark.event == "begun" for marks in evidence.traces.values() for mark in marks)
    outcomes = Counter(operation.outcome for operation in evidence.operations if operation.action != "event")
    states = Counter(str(record["state"]) for record in evidence.final.values())
    return {
        "tasks": len({start.task for start in evidence.starts}),
        "tries": tries,
        "losses": sum(record["losses"] for record in evidence.final.values()),
        "late writes refused by the store": sum(map(leases.late_writes, evidence.traces.values())),
        "of them while a newer try ran": sum(map(leases.overtaken_writes, evidence.traces.values())),
        "lost": sum(map(_is_loss, broken)),
        "operations": sum(outcomes.values()),
        "unknown": outcomes["unknown"],
        "slowest answer (s)": round(max(map(_seconds, evidence.operations), default=0), 1),
        "ends": ", ".join(f"{number} {state}" for state, number in sorted(states.items())),
        "not ended": unfinished(evidence),
        "processes ended": len(evidence.ends),
    }
