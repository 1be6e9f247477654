"""What does the command line read of the server's answers?

Only what it shows; a newer server may say more. Times are RFC 3339 text.
"""

from typing import Any

import msgspec

from milepost import times
from milepost.task import Counts, Failure, State


class Record(msgspec.Struct, frozen=True):
    """A task as the native API shows it."""

    id: str
    tenant: str
    owner: str
    type: str
    state: State
    version: int
    created_at: str
    updated_at: str
    progress: float = 0.0
    attempt: int = 0
    max_attempts: int = 1
    run: int = 1
    title: str | None = None
    message: str | None = None
    counts: Counts = Counts()
    cancel_requested: bool = False
    pause_requested: bool = False
    blocked_by: tuple[str, ...] = ()
    blocked_reason: str | None = None
    run_at: str | None = None
    next_run_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    result_is_link: bool = False
    failure: Failure | None = None

    def __post_init__(self) -> None:
        for time in (
            self.created_at,
            self.updated_at,
            self.run_at,
            self.next_run_at,
            self.started_at,
            self.finished_at,
        ):
            if time is not None:
                times.from_rfc3339(time)  # what is none is told where it is read, and not where it is shown

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself: it ended, and no next run is due."""
        return self.state.terminal and self.next_run_at is None

    @property
    def elapsed(self) -> float | None:
        """Seconds from its start to its end, or until now; None when it has not started."""
        if self.started_at is None:
            return None
        end = times.now() if self.finished_at is None else times.from_rfc3339(self.finished_at)
        return max(0, end - times.from_rfc3339(self.started_at)) / times.SECOND


class LogEntry(msgspec.Struct, frozen=True):
    """A log entry as the native API shows it."""

    seq: int
    time: str
    kind: str
    attempt: int = 0
    level: str = "info"
    message: str = ""
    fields: dict[str, Any] | None = None
    source: State | None = msgspec.field(default=None, name="from")
    target: State | None = msgspec.field(default=None, name="to")

    def __post_init__(self) -> None:
        times.from_rfc3339(self.time)


class StartedTask(msgspec.Struct, frozen=True):
    """A task that a line of many started."""

    id: str


class LineOutcome(msgspec.Struct, frozen=True):
    """What became of a line of many starts: `task`, or `problem`."""

    status: int
    task: StartedTask | None = None
    problem: "Problem | None" = None


class TypeRecord(msgspec.Struct, frozen=True):
    """A task type as the native API shows it; `schema` is the JSON Schema of its input."""

    name: str
    schema: dict[str, Any]
    runner: str = ""
    description: str = ""
    paused: bool = False


class TypeList(msgspec.Struct, frozen=True):
    """The task types that there are."""

    types: list[TypeRecord]


class ResultLink(msgspec.Struct, frozen=True):
    """What stands in place of a result that is a file, or large. `size` is in bytes."""

    name: str | None
    media_type: str
    size: int


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong with a request: what, and where: a place in its body (RFC 6901), or a parameter."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """A refusal (RFC 9457)."""

    title: str
    detail: str = ""
    errors: tuple[Fault, ...] = ()
