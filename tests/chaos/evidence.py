"""What is known after a run? History, traces, and what the last server says of the store when everybody is gone."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from milepost.times import SECOND, from_rfc3339
from tests.chaos.history import TERMINAL, Operation, observations
from tests.chaos.jobs import KEPT
from tests.chaos.members import End
from tests.chaos.traces import Traces

Record = dict[str, Any]
LAST: Final = "last"
"""The client that reads everything once more at the very end."""


class Violation(NamedTuple):
    """A promise that was not kept: its id, and how one sees that."""

    promise: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


class Evidence:
    """All that is known of a run, in the ways in which the checks look at it."""

    def __init__(
        self,
        operations: Sequence[Operation],
        traces: Traces,
        *,
        ends: Sequence[End] = (),
        orphans: Sequence[int] = (),
    ) -> None:
        self.operations = list(operations)
        self.traces = traces
        self.ends = ends
        self.orphans = orphans

    def of(self, *actions: str) -> list[Operation]:
        """The operations of these kinds."""
        return [operation for operation in self.operations if operation.action in actions]

    @cached_property
    def seen(self) -> dict[str, list[tuple[Operation, Record]]]:
        """The records that were shown of each task, with what showed them."""
        found: dict[str, list[tuple[Operation, Record]]] = defaultdict(list)
        for operation, record in observations(self.operations):
            found[record["id"]].append((operation, record))
        return found

    @cached_property
    def final(self) -> dict[str, Record]:
        """The records that there are at the end."""
        return {
            operation.record["id"]: operation.record
            for operation in self.of("read")
            if operation.client == LAST and operation.record is not None
        }

    @cached_property
    def logs(self) -> dict[str, list[dict[str, Any]]]:
        """The whole log of each task that there is at the end."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for operation in self.of("logs"):
            if operation.client == LAST and operation.task in self.final and operation.outcome == "ok":
                found[operation.task].extend(operation.entries)
        return found

    @cached_property
    def starts(self) -> list[Operation]:
        """The starts that were acknowledged."""
        return [operation for operation in self.of("start") if operation.outcome == "ok" and operation.task]

    @cached_property
    def _may_happen(self) -> dict[tuple[str, str], list[Operation]]:
        found: dict[tuple[str, str], list[Operation]] = defaultdict(list)
        for operation in self.operations:
            if operation.outcome != "failed":
                for task in {operation.task, *operation.ids} - {None}:
                    found[operation.action, str(task)].append(operation)
        return found

    def may_happen(self, action: str, task: str) -> list[Operation]:
        """The operations of a kind on a task that have happened, or may have."""
        return self._may_happen[action, task]

    @cached_property
    def _dependencies(self) -> dict[str, set[str]]:
        return {task: set(seen[0][1]["depends_on"]) for task, seen in self.seen.items()}

    @cached_property
    def depended_on(self) -> set[str]:
        """The tasks that others depend on."""
        return set().union(*self._dependencies.values())

    def revived_by(self, task: str) -> list[Operation]:
        """The retries that may have brought a task back: its own, and those of what it depends on."""
        reached, pending = {task}, [task]
        while pending:
            new = self._dependencies.get(pending.pop(), set()) - reached
            reached |= new
            pending += new
        return [retry for each in reached for retry in self.may_happen("retry", each)]

    def is_gone_by(self, task: str, operation: Operation) -> bool:
        """Whether a task may be deleted, or past its retention, by the end of an operation.

        Somebody may have seen when it expires; one that is soon forgotten may have ended when nobody looked.
        """
        if any(deletion.invoked < operation.completed for deletion in self.may_happen("delete", task)):
            return True
        seen = [record for _, record in self.seen[task]]
        ends = [from_rfc3339(record["expires_at"]) for record in seen if record["expires_at"]]
        if not ends:
            ends = [from_rfc3339(r["created_at"]) + KEPT * SECOND for r in seen if r["type"] == "brief"]
        return bool(ends) and min(ends) <= operation.clock_highest


def is_over(record: Record) -> bool:
    """Whether a task has ended, and will not run again by itself."""
    return record["state"] in TERMINAL and record["next_run_at"] is None


def micros(text: str | None) -> int | None:
    """A time of a record in µs."""
    return None if text is None else from_rfc3339(text)


class Latest:
    """The greatest value that was known at a time, of values that became known one after the other."""

    def __init__(self, known: Sequence[tuple[int, int]]) -> None:
        """`known`: pairs of time and value."""
        self._times: list[int] = []
        self._greatest: list[int] = []
        for at, value in sorted(known):
            self._times.append(at)
            self._greatest.append(max(value, self._greatest[-1]) if self._greatest else value)

    def before(self, at: int) -> int | None:
        """The greatest one that was known before a time."""
        index = bisect_left(self._times, at)
        return self._greatest[index - 1] if index else None
