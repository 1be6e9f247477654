"""Which facts does Milepost keep of a task, and of what happened to it?

Times and durations are integer microseconds, times since the Unix epoch in UTC. Nothing here does I/O.
"""

import re
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import force_setattr

from milepost import file_name
from milepost.trigger import Trigger

Runner = Literal["loop", "thread", "process", "ray", "external"]
DependencyFailure = Literal["fail", "run", "stay"]
EntryKind = Literal["state", "log", "outcome"]
Level = Literal["debug", "info", "warning", "error", "critical"]

TYPE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""What a task type may be called."""

RESERVED_TYPE_NAMES: Final = frozenset(
    {
        *("backups", "dependency-graph", "download_url", "events", "execute", "get-task-status", "healthz"),
        *("logs", "metrics", "openapi", "pipe", "readyz", "result", "services", "status", "task", "tasks"),
        *("types", "version", "webhook"),
    }
)
"""Words that a dialect's paths need where a task type's name can stand."""


class State(StrEnum):
    """Where a task stands in its life; the last three are terminal."""

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether a task in this state has come to its end."""
        return self in TERMINAL


TERMINAL: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


def at_a_try(state: State, *, continues: bool) -> bool:
    """Whether a task's attempt is the one that it is at, or ended with; else its next start makes it another."""
    return continues or state is State.RUNNING or state.terminal


class Counts(msgspec.Struct, frozen=True, gc=False):
    """How many items a task has dealt with: `done` includes those that failed or were skipped."""

    done: int = 0
    total: int | None = None
    failed: int = 0
    skipped: int = 0


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why a task failed: a stable code for programs, a message for people."""

    code: str
    message: str


class JsonResult(msgspec.Struct, frozen=True, gc=False, tag="json"):
    """A result that is a JSON value of `size` bytes; `value` is None where it is too large to carry along."""

    size: int
    value: msgspec.Raw | None


class FileResult(msgspec.Struct, frozen=True, gc=False, tag="file"):
    """A result that is a file; `key` is its place in the file store and is not shown, `size` is in bytes."""

    key: str
    name: str
    media_type: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        _make_safe(self, "result")


class DeliveredFile(msgspec.Struct, frozen=True, gc=False):
    """A file that was delivered together with a task's input; `key` is its place in the file store, `size` in bytes."""

    key: str
    name: str
    """What a file can be called in any folder: no path."""
    media_type: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        _make_safe(self, "file")


def _make_safe(file: FileResult | DeliveredFile, otherwise: str) -> None:
    """Let no record hold an unsafe name or media type, whoever made it, nor one be read that an older Milepost kept."""
    if (name := file_name.cleaned(file.name, otherwise)) != file.name:
        force_setattr(file, "name", name)
    if (media_type := file_name.media_type(file.media_type)) != file.media_type:
        force_setattr(file, "media_type", media_type)


class Task(msgspec.Struct, frozen=True, gc=False):
    """The record of one task, without its cold parts (input, checkpoint, a large result, log)."""

    # Identity.
    id: str
    """UUIDv7, dashed, lower case."""
    tenant: str
    owner: str
    type: str
    created_at: int
    updated_at: int
    number: int = 0
    """Ascending within the tenant; given by the store."""
    parent: str | None = None
    origin: str = "native"
    """The dialect that it was started in."""

    # What it is.
    runner: Runner = "loop"
    title: str | None = None
    description: str | None = None
    list_id: str | None = None
    assignee: str | None = None
    creator: str | None = None
    metadata: dict[str, Any] | None = None
    debug: str | None = None

    # How far it is.
    state: State = State.QUEUED
    progress: float = 0.0
    """0 to 1."""
    message: str | None = None
    counts: Counts = Counts()

    # When and how it runs.
    trigger: Trigger | None = None
    run_at: int | None = None
    next_run_at: int | None = None
    run: int = 1
    priority: int = 0
    timeout: int | None = None
    start_by: int | None = None
    attempt: int = 0
    max_attempts: int = 1
    losses: int = 0
    cancel_requested: bool = False
    pause_requested: bool = False
    unique_key: str | None = None

    # What it waits for.
    depends_on: tuple[str, ...] = ()
    on_dependency_failure: DependencyFailure = "fail"
    blocked_by: tuple[str, ...] = ()
    blocked_reason: str | None = None
    blocked_at: int | None = None

    # Further times.
    started_at: int | None = None
    finished_at: int | None = None
    result_expires_at: int | None = None
    expires_at: int | None = None
    version: int = 0

    # How it ended.
    result: JsonResult | FileResult | None = None
    failure: Failure | None = None

    # Inside only, never shown.
    epoch: int = 0
    """Rises at every claim; the fence of a lease."""
    worker: str | None = None
    """Whose lease it is under."""
    lease_seconds: int | None = None
    """External tasks: how long their client may stay silent while running."""
    leased_until: int | None = None
    continues: bool = False
    """The next claim carries on with the same attempt: the last one was parked, released or lost."""
    apart: bool = False
    """Its try runs in a process of its own."""
    own_losses: int = 0
    """Those of its losses that may be its own doing."""
    held: bool = False
    """A client blocked it and has to free it, whatever its dependencies do."""
    has_succeeded: bool = False
    """Some run of it succeeded, which is what a dependency on it asks."""
    keep_result: int = 0
    """How long the result is kept after the end."""
    keep_record: int = 0
    """How long the record is kept after the end."""
    log_seq: int = 0
    """Sequence number of the newest log entry."""
    log_bytes: int = 0
    """Bytes that its log takes so far, for the cap."""
    log_dropped: int = 0
    """Log entries dropped because the log was full."""
    roles: tuple[str, ...] = ("user",)
    """Which roles its starter held in its tenant then, from the least up: the rights that it works with."""
    callback: str | None = None
    """The URL that is told of each of its ends."""

    @property
    def retry_count(self) -> int:
        """How many tries that count came before the present one; before the next one, while it waits for that."""
        return max(0, self.attempt - at_a_try(self.state, continues=self.continues))


class Entry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One entry of a task's log. `seq` is given by the store at commit."""

    time: int
    kind: EntryKind
    attempt: int
    level: Level = "info"
    message: str = ""
    fields: dict[str, Any] | None = None
    source: State | None = None
    """The state that a `state` entry leads from; None at the beginning."""
    target: State | None = None
    seq: int = 0
    version: int = 0
    """The version of the record that this entry was written with."""


def parse_id(text: str) -> str | None:
    """A task's id in its inner form (dashed, lower case), from a UUID in any published form; None if it is none."""
    digits = text.replace("-", "").lower()
    if len(digits) != 32 or not _HEX.issuperset(digits):
        return None
    dashed = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return dashed if text.lower() in (dashed, digits) else None


_HEX: Final = frozenset("0123456789abcdef")
