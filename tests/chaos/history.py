"""What was asked, by whom and when, and what came back? The history of a run, as Jepsen writes one.

An operation is first written as invoked, then once more with its outcome: `ok`, `failed` (it has surely not happened)
or `unknown` (nobody told: it may have happened, or may yet). Times are of CLOCK_MONOTONIC, in ns.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from tests.chaos.clock import MachineClock

Outcome = Literal["open", "ok", "failed", "unknown"]
TERMINAL: Final = ("succeeded", "failed", "cancelled")


class Operation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request of a client."""

    number: int
    client: str
    server: str
    action: str
    """start, read, wait, list, logs, result, cancel, pause, resume, retry, delete; for a stream `follow`, and `event`
    for each record in it."""
    task: str | None = None
    tag: str | None = None
    """Names the task that a start asks for: its title, and its Idempotency-Key if it has one."""
    keyed: bool = False
    other_body: bool = False
    """It is the key of `tag`, but another body."""
    invoked: int = 0
    completed: int = 0
    outcome: Outcome = "open"
    status: int = 0
    clock: int = 0
    """The machine's clock when it was invoked, in µs, and when it completed; and the latest that it has ever shown."""
    clock_after: int = 0
    clock_highest: int = 0
    last_event_id: int = 0
    """Of a stream; of an event in it, the number of that stream's operation."""
    record: dict[str, Any] | None = None
    """The record that came back."""
    entries: list[dict[str, Any]] = []
    """Of a log, or of a stream."""
    ids: list[str] = []
    """Of a list; of a deletion the tasks that are gone."""
    body: Any = None
    """A result."""
    after: int = 0
    """Entries of a log behind this one were asked for; before an event, its stream had told so many."""


class History:
    """All operations of a run, in the order in which they were invoked; written to a file meanwhile."""

    def __init__(self, clock: MachineClock, path: Path) -> None:
        self.operations: list[Operation] = []
        self._clock = clock
        self._numbers = itertools.count(1)
        self._file = path.open("wb")

    def invoke(self, client: str, server: str, action: str, **details: Any) -> Operation:
        """A client begins to ask."""
        operation = Operation(
            number=next(self._numbers),
            client=client,
            server=server,
            action=action,
            invoked=time.monotonic_ns(),
            clock=self._clock.now(),
            **details,
        )
        self.operations.append(operation)
        self._write(operation)
        return operation

    def complete(self, operation: Operation, outcome: Outcome) -> None:
        """It has an answer, or will have none."""
        operation.completed = time.monotonic_ns()
        operation.clock_after = self._clock.now()
        operation.clock_highest = self._clock.highest
        operation.outcome = outcome
        self._write(operation)

    def _write(self, operation: Operation) -> None:
        self._file.write(msgspec.json.encode(operation) + b"\n")

    def close(self) -> None:
        """The run is over: who still waits for an answer gets none."""
        for operation in self.operations:
            if operation.outcome == "open":
                self.complete(operation, "unknown")
        self._file.close()


def read(path: Path) -> list[Operation]:
    """The operations of a history file, each with its outcome."""
    found: dict[int, Operation] = {}
    for line in path.read_bytes().splitlines():
        operation = msgspec.json.decode(line, type=Operation)
        found[operation.number] = operation
    return list(found.values())


def observations(operations: list[Operation]) -> Iterator[tuple[Operation, dict[str, Any]]]:
    """Every record that somebody was shown, with the operation that showed it."""
    for operation in operations:
        if operation.outcome == "ok" and operation.record is not None:
            yield operation, operation.record
