"""What does the native API give: which structs write its answers and document them?"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from milepost.http.problems import Problem
from milepost.task import Counts, DependencyFailure, EntryKind, Failure, Level, Runner, State
from milepost.trigger import Repeat

_DATE: Final = {"format": "date-time"}
TimeText = Annotated[str, Meta(extra_json_schema=_DATE)]
Seconds = Annotated[float, Meta(ge=0, description="Seconds.")]


class TriggerText(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a task runs, as it was said at the start."""

    once: TimeText | None = None
    every: Seconds | None = None
    repeat: Repeat | None = None
    cron: str | None = None
    timezone: str


class StartedBody(msgspec.Struct, frozen=True):
    """A task that was started, or was there before by its idempotency_key: what leads to its record."""

    id: str
    number: int
    state: State
    version: int


class OutcomeBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a line: `task` where it was started, else `problem`."""

    line: Annotated[int, Meta(description="The number of the line, from 1.")]
    status: Annotated[int, Meta(description="As a single start would have been answered.")]
    task: StartedBody | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class ResultLink(msgspec.Struct, frozen=True):
    """A result that is a file, or JSON of more than 64 KiB."""

    name: Annotated[str | None, Meta(description="The file's name.")]
    media_type: str
    size: Annotated[int, Meta(description="Bytes.")]
    sha256: str | None
    url: Annotated[str, Meta(description="Where to fetch it.", extra_json_schema={"format": "uri-reference"})]


class FileBody(msgspec.Struct, frozen=True):
    """A file that was delivered with a task's input."""

    name: str
    media_type: str
    size: Annotated[int, Meta(description="Bytes.")]
    sha256: str


class TaskBody(msgspec.Struct, kw_only=True, gc=False):
    """The record of a task. Every field is there, null where it has no value, but for those asked for by `include`."""

    id: str
    number: Annotated[int, Meta(description="Ascending within the tenant.")]
    tenant: str
    owner: str
    parent: str | None
    origin: Annotated[str, Meta(description="The dialect that it was started in.")]

    type: str
    runner: Runner
    title: str | None
    description: str | None
    list_id: str | None
    assignee: str | None
    creator: str | None
    metadata: dict[str, Any] | None
    debug: str | None

    state: State
    progress: Annotated[float, Meta(ge=0, le=1)]
    message: str | None
    counts: Counts

    trigger: TriggerText | None
    run_at: TimeText | None
    next_run_at: Annotated[TimeText | None, Meta(description="Of a repeating task, between its runs.")]
    run: Annotated[int, Meta(description="Which run of a repeating task.")]
    priority: int
    timeout: Seconds | None
    start_by: TimeText | None
    attempt: Annotated[int, Meta(description="The try that counts, from 1; 0 before the first.")]
    max_attempts: int
    losses: Annotated[int, Meta(description="How often its worker was lost.")]
    cancel_requested: Annotated[bool, Meta(description="It is to stop, and still runs.")]
    pause_requested: Annotated[bool, Meta(description="It is to pause, and still runs.")]
    unique_key: str | None

    depends_on: tuple[str, ...]
    on_dependency_failure: DependencyFailure
    blocked_by: Annotated[tuple[str, ...], Meta(description="Which of `depends_on` it still waits for.")]
    blocked_reason: str | None
    blocked_at: TimeText | None

    created_at: TimeText
    updated_at: TimeText
    started_at: TimeText | None
    finished_at: TimeText | None
    result_expires_at: TimeText | None
    expires_at: Annotated[TimeText | None, Meta(description="When the record is forgotten.")]
    version: Annotated[int, Meta(description="Rises with every visible change.")]

    result: Annotated[
        msgspec.Raw | ResultLink | None, Meta(description="The value, a `ResultLink` where `result_is_link`, or null.")
    ]
    result_is_link: Annotated[bool, Meta(description="Whether `result` says where to fetch it.")]
    failure: Failure | None

    input: Annotated[Any, Meta(description="With `include=input`.")] = UNSET
    checkpoint: Annotated[Any, Meta(description="With `include=checkpoint`: what it saved last.")] = UNSET
    traceback: Annotated[str | None | UnsetType, Meta(description="With `include=traceback`, for admins.")] = UNSET
    files: Annotated[
        list[FileBody] | UnsetType, Meta(description="With `include=files`: what was delivered with its input.")
    ] = UNSET


class EntryBody(msgspec.Struct, gc=False):
    """One entry of a task's log."""

    seq: Annotated[int, Meta(description="1, 2, 3 and so on, without holes.")]
    time: TimeText
    kind: Annotated[EntryKind, Meta(description="A change of state, a line of the task's, or how a try ended.")]
    attempt: int
    level: Level
    message: str
    fields: dict[str, Any] | None
    source: Annotated[State | None, Meta(description="The state left, for `state`.")] = msgspec.field(name="from")
    target: Annotated[State | None, Meta(description="The state entered, for `state`.")] = msgspec.field(name="to")
    version: Annotated[int, Meta(description="The version of the record that it was written with.")]


class LogBody(msgspec.Struct):
    """Entries of a log, in order."""

    entries: list[EntryBody]
    next: Annotated[int, Meta(description="Give this as `after` to go on.")]


class TaskList(msgspec.Struct):
    """Tasks, newest first."""

    tasks: list[TaskBody]
    next: Annotated[str | None, Meta(description="Give this as `after` to go on; null at the end.")]


class DeletedBody(msgspec.Struct):
    """What was deleted."""

    deleted: Annotated[tuple[str, ...], Meta(description="Ids of the tasks.")]


class TypeBody(msgspec.Struct):
    """A task type."""

    name: str
    description: str
    schema: Annotated[dict[str, Any], Meta(description="JSON Schema of the input.")]
    runner: Runner
    max_attempts: int
    timeout: Seconds | None
    priority: int
    concurrency: Annotated[int | None, Meta(description="How many run at once at most.")]
    keep_result: Seconds | None
    keep_record: Seconds | None
    paused: Annotated[bool, Meta(description="Whether its tasks are kept from starting.")]


class TypeList(msgspec.Struct):
    """The task types that there are."""

    types: list[TypeBody]
