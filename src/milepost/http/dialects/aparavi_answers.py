"""What does Aparavi's API give: which structs write its answers and document them, and what do they say of a task?

The published page and the packages, which were made for the service as it is, expect other fields of a task. Each has
all of both.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from milepost.access.keyring import Profile
from milepost.http.dialects.aparavi_words import STATUSES, errors, failure_text, status_word
from milepost.task import Entry, State, Task
from milepost.times import SECOND

TRACE: Final = 100
"""Lines of the log that are shown, the newest."""
LONGEST_LINE: Final = 1_000
"""Characters of each."""

_CAMEL: Final = {
    name: "".join((first, *(word.title() for word in words)))
    for name in (
        *("start_time", "end_time", "current_object", "current_size", "total_size", "total_count", "completed_size"),
        *("completed_count", "failed_size", "failed_count", "words_size", "words_count", "rate_size", "rate_count"),
        *("service_up", "exit_code", "exit_msg", "first_run_download_status", "objects_requested", "objects_completed"),
    )
    for first, *words in [name.split("_")]
}
"""What the packages write in camel case; the page writes its own in snake case."""

Seconds = Annotated[float, Meta(description="Seconds since the Unix epoch, 0 for not yet.")]
Date = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Unknown = Annotated[int, Meta(description="Always 0: a record does not say.")]
Ok = Literal["OK"]


class Metrics(msgspec.Struct, frozen=True):
    """What it took."""

    cpu: Annotated[float, Meta(description="Always 0: a record does not say.")] = 0
    output: Unknown = 0
    requests: Annotated[int, Meta(description="Files dealt with.")] = 0
    total_time: Annotated[float, Meta(description="Seconds.")] = 0


class StatusData(msgspec.Struct, frozen=True, kw_only=True, rename=_CAMEL):
    """A task: first as the page has it, then as the packages do."""

    id: Annotated[str, Meta(description="`task_` and 32 hexadecimal digits.")]
    status: Literal["Created", "Running", "Completed", "Failed", "Cancelled", "Paused"]
    created_at: Date
    updated_at: Date
    progress: Annotated[int, Meta(ge=0, le=100)]
    files_processed: int
    total_files: Annotated[int, Meta(description="0 while that is not known.")]
    error: Annotated[str | None, Meta(description="Why it failed.")]
    metadata: dict[str, Any]

    completed: Annotated[bool, Meta(description="Whether it has come to its end.")]
    start_time: Seconds
    end_time: Seconds
    warnings: list[str]
    errors: Annotated[list[str], Meta(description="Empty unless it has failed.")]
    current_object: Annotated[str, Meta(description="What it is at.")]
    current_size: Unknown = 0
    notes: Annotated[list[str], Meta(description="What is to be known of it besides.")]
    total_size: Unknown = 0
    total_count: int
    completed_size: Unknown = 0
    completed_count: int
    failed_size: Unknown = 0
    failed_count: int
    words_size: Unknown = 0
    words_count: Unknown = 0
    rate_size: Unknown = 0
    rate_count: Annotated[int, Meta(description="Files a second.")]
    service_up: Literal[1] = 1
    exit_code: Annotated[int, Meta(description="1 where it has failed.")]
    exit_msg: str
    trace: Annotated[list[str], Meta(description=f"The last {TRACE} lines of its log.")]
    first_run_download_status: list[str] = []
    metrics: Metrics


class StatusBody(msgspec.Struct, frozen=True, kw_only=True):
    """A task; one that is unknown is told by `Error` and what an `ErrorBody` has, to the profile `python`."""

    status: Literal["OK", "Error"]
    data: StatusData | UnsetType = UNSET
    message: str


class StartedData(msgspec.Struct, frozen=True):
    """What leads to a task that was started."""

    token: Annotated[str, Meta(description="A secret, told here only.")]
    type: Literal["cpu"] = "cpu"


class StartedBody(msgspec.Struct, frozen=True):
    """A task was started."""

    status: Ok
    data: StartedData
    message: str


class EndedData(msgspec.Struct, frozen=True):
    """What became of a task that was ended."""

    cancelled: Annotated[bool, Meta(description="Whether it is cancelled, now or before long.")]
    token: str


class EndedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A task was ended; one that is unknown is told as where it is read."""

    status: Literal["OK", "Error"]
    data: EndedData | UnsetType = UNSET
    message: str


class ObjectBody(msgspec.Struct, frozen=True, rename={"types": "__types"}):
    """What became of something that was delivered."""

    types: dict[str, str]
    metadata: dict[str, Any]
    name: str
    path: str
    text: list[str]


class OutcomeData(msgspec.Struct, frozen=True, kw_only=True, rename=_CAMEL):
    """What became of a delivery."""

    objects_requested: int
    objects_completed: int
    types: dict[str, str] = {}
    objects: dict[str, ObjectBody] = {}
    errors: list[str] = []
    id: Annotated[str, Meta(description="The task that the delivery has started.")]


class OutcomeBody(msgspec.Struct, frozen=True):
    """A delivery was worked on; where that failed, `status` is `Error`, and what an `ErrorBody` has is there too."""

    status: Literal["OK", "Error"]
    data: OutcomeData
    metrics: Metrics | UnsetType = UNSET


class CheckedBody(msgspec.Struct, frozen=True):
    """Whether a pipeline could be started."""

    status: Literal["OK", "Error"]
    data: dict[str, Any]


class AnyBody(msgspec.Struct, frozen=True):
    """An answer about no single task."""

    status: Ok
    data: dict[str, Any]


def shown_id(task: Task) -> str:
    """A task's id as it is shown."""
    return f"task_{task.id.replace('-', '')}"


class Line(NamedTuple):
    """What is shown of an entry of a log: as a line, and as a warning if it is one."""

    text: str
    warning: str | None


def line(entry: Entry) -> Line:
    """An entry, however large, as it is shown."""
    is_warning = entry.kind == "log" and entry.level == "warning"
    return Line(_line(entry), _cut(entry.message) if is_warning else None)


def status_body(task: Task, lines: Sequence[Line], profile: Profile) -> StatusBody:
    """A task, with the newest lines of its log."""
    counts, failure = task.counts, failure_text(task)
    metrics = metrics_of(task)
    data = StatusData(
        id=shown_id(task),
        status=status_word(task, profile),  # type: ignore[arg-type]  # one of the words
        created_at=_date(task.created_at),
        updated_at=_date(task.updated_at),
        progress=percent(task),
        files_processed=counts.done,
        total_files=counts.total or 0,
        error=failure,
        metadata=task.metadata or {},
        completed=task.state.terminal,
        start_time=_seconds(task.started_at),
        end_time=_seconds(task.finished_at),
        warnings=[warning for _, warning in lines if warning is not None],
        errors=errors(task, profile),
        current_object=(task.message or "") if task.state is State.RUNNING else "",
        notes=list(_notes(task)),
        total_count=counts.total or 0,
        completed_count=counts.done - counts.failed,
        failed_count=counts.failed,
        rate_count=int(counts.done / metrics.total_time) if metrics.total_time else 0,
        exit_code=0 if failure is None else 1,
        exit_msg=failure or "",
        trace=[text for text, _ in lines],
        metrics=metrics,
    )
    return StatusBody(status="OK", data=data, message="Task status retrieved successfully")


def percent(task: Task) -> int:
    """How far a task is; 100 only for one that has succeeded."""
    if task.state is State.SUCCEEDED:
        return 100
    return min(99, int(task.progress * 100 + 1e-9))  # 0.29 is a little less, times 100


def metrics_of(task: Task) -> Metrics:
    """What a task took until it changed last."""
    begun = task.started_at or task.updated_at
    return Metrics(requests=task.counts.done, total_time=((task.finished_at or task.updated_at) - begun) / SECOND)


def _notes(task: Task) -> Iterator[str]:
    if task.cancel_requested:
        yield "It is asked to stop."
    if task.pause_requested:
        yield "It is asked to pause."
    if task.blocked_reason:
        yield task.blocked_reason
    if task.message and not (task.state is State.RUNNING or task.state.terminal):
        yield task.message


def _line(entry: Entry) -> str:
    if entry.target is not None:
        before = "" if entry.source is None else f"{STATUSES[entry.source]} -> "
        return before + STATUSES[entry.target]
    fields = "" if entry.fields is None else f" {msgspec.json.encode(entry.fields).decode()}"
    return _cut(entry.message + fields)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + " …"


def _date(us: int) -> str:
    return datetime.fromtimestamp(us // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(us: int | None) -> float:
    return 0.0 if us is None else us / SECOND


def providers(schema: Mapping[str, Any]) -> list[str]:
    """The providers that a type of tasks knows, as its schema has them."""
    found = _within(schema, schema.get("properties", {}).get("components"), "items", "properties", "provider")
    return [provider for provider in found.get("enum", []) if isinstance(provider, str)]


def _within(schema: Mapping[str, Any], found: Any, *names: str) -> Mapping[str, Any]:
    """What is at the end of these names, references followed; nothing where one is not there."""
    for name in ("", *names):
        found = found.get(name) if isinstance(found, Mapping) and name else found
        while isinstance(found, Mapping) and "$ref" in found:
            found = schema.get("$defs", {}).get(str(found["$ref"]).rpartition("/")[2])
    return found if isinstance(found, Mapping) else {}
