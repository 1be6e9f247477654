"""How is a small history told by hand, to see what the checks make of it?

Times are small numbers; the machine's clock shows as many µs since `EPOCH`.
"""

from collections import defaultdict
from typing import Any, Final

from milepost.times import from_rfc3339, to_rfc3339
from tests.chaos.evidence import LAST, Evidence, Record, Violation
from tests.chaos.history import Operation
from tests.chaos.traces import Event, Mark

EPOCH: Final = from_rfc3339("2026-01-01T00:00:00Z")
TASK: Final = "task-1"


def clock(at: int) -> int:
    """What the machine's clock shows at a time."""
    return EPOCH + at


def record(state: str = "queued", version: int = 1, *, id: str = TASK, **fields: Any) -> Record:
    """A record. A finished one keeps its result until 1000, and is itself kept until 2000, unless told otherwise."""
    plain: Record = {
        "id": id,
        "title": "tag-1",
        "type": "on_loop",
        "state": state,
        "version": version,
        "progress": 0.0,
        "counts": {"done": 0},
        "message": None,
        "attempt": 1,
        "losses": 0,
        "depends_on": [],
        "cancel_requested": False,
        "pause_requested": False,
        "trigger": None,
        "run": 1,
        "next_run_at": None,
        "created_at": to_rfc3339(EPOCH),
        "started_at": None,
        "finished_at": None,
        "result_expires_at": None,
        "expires_at": None,
        "result": None,
        "failure": None,
    }
    if state == "succeeded":
        plain |= {"result": {"steps": 1}, "result_expires_at": to_rfc3339(clock(1000))}
    if state in ("succeeded", "failed", "cancelled"):
        plain |= {"finished_at": to_rfc3339(EPOCH), "expires_at": to_rfc3339(clock(2000))}
    return plain | fields


class Story:
    """What happened, told in the order of its beginnings."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._marks: dict[str, list[Mark]] = defaultdict(list)

    def op(
        self,
        action: str,
        at: int,
        until: int | None = None,
        *,
        task: str | None = TASK,
        status: int = 200,
        client: str = "client-1",
        **details: Any,
    ) -> Operation:
        """An operation from one time to another, by default to the next."""
        until = at + 1 if until is None else until
        operation = Operation(
            number=len(self._operations) + 1,
            client=client,
            server="server",
            action=action,
            task=task,
            status=status,
            invoked=at,
            completed=until,
            **{
                "outcome": "ok" if 0 < status < 400 else "failed",
                "clock": clock(at),
                "clock_after": clock(until),
                "clock_highest": clock(until),
                **details,
            },
        )
        self._operations.append(operation)
        return operation

    def start(self, at: int = 1, until: int | None = None, **details: Any) -> Operation:
        """An acknowledged start with a key."""
        return self.op("start", at, until, **{"tag": "tag-1", "keyed": True, "record": record(), **details})

    def saw(self, shown: Record, at: int, **details: Any) -> Operation:
        """Somebody read a record."""
        return self.op("read", at, **{"task": shown["id"], "record": shown, **details})

    def mark(self, event: Event, epoch: int, at: int, step: int = 0, *, run: int = 1) -> None:
        """A function left a mark."""
        self._marks[TASK].append(Mark(TASK, epoch, event, at, step, run))

    def end(self, *records: Record, entries: list[dict[str, Any]] | None = None, at: int = 100) -> Evidence:
        """What the last server says; after that all is told."""
        ids = [each["id"] for each in records]
        self.op("list", at, task=None, ids=ids, client=LAST)
        for each in records:
            self.saw(each, at + 1, client=LAST)
            self.op("logs", at + 2, task=each["id"], entries=entries or [], client=LAST)
        return Evidence(self._operations, self._marks)


def entry(seq: int, version: int = 1, **fields: Any) -> dict[str, Any]:
    """An entry of a log."""
    return {"seq": seq, "version": version, "message": f"line {seq}", "fields": fields or None}


def broken(violations: Any) -> list[str]:
    """The promises that were broken."""
    return [violation.promise for violation in violations if isinstance(violation, Violation)]
