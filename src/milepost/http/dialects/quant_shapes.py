"""What does Quant take and give: which structs read its requests, write its answers and document both?"""

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from milepost.http.fields import NO_NUL, Whole
from milepost.start import MAX_ATTEMPTS, MAX_DEPENDENCIES, MAX_NAME, MAX_TEXT

Status = Literal["pending", "in_progress", "completed", "failed", "cancelled", "blocked"]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
OrgId = Annotated[str, Meta(description="The organisation ID.")]
NewOrgId = Annotated[OrgId, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_NAME})]
ListId = Annotated[str, Meta(description="A list of tasks; lists exist by being named.")]
Text = Annotated[str, Meta(max_length=MAX_TEXT, extra_json_schema=dict(NO_NUL))]
# The service checks what it keeps, so that all that is wrong is told at once; here it is only written down.
Label = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TEXT, **NO_NUL})]
Uuids = Annotated[tuple[Uuid, ...], Meta(extra_json_schema={"maxItems": MAX_DEPENDENCIES})]
Millis = Annotated[int, Meta(description="Unix time in milliseconds.", extra_json_schema={"format": "int64"})]


class MaxRetries(Whole):
    """How often a task may be tried again."""

    least = 0
    most = 10


class RetryCount(Whole):
    """How often a task was tried again."""

    least = 0
    most = MAX_ATTEMPTS - 1


class Limit(Whole):
    """How many tasks to list."""

    least = 1
    most = 100


class ListTasksQuery(msgspec.Struct, frozen=True, rename="camel"):
    """Which tasks to list."""

    task_list_id: Annotated[str | None, Meta(description="Of this list.")] = None
    status: Status | None = None
    assigned_agent_id: Annotated[str | None, Meta(description="Assigned to this agent.")] = None
    limit: Limit = cast("Limit", 50)
    depends_on: Annotated[Uuid | None, Meta(description="That depend on this task; the answer then has their ids.")] = (
        None
    )
    include_details: Annotated[bool, Meta(description="With `dependsOn`: the tasks themselves too.")] = False


class DeleteTaskQuery(msgspec.Struct, frozen=True):
    """How to delete."""

    cascade: Annotated[bool, Meta(description="Delete the tasks that depend on it too.")] = False


class CreateTaskRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task to create."""

    title: Label
    description: Label | None = None
    task_list_id: Label | None = None
    status: Status = "pending"
    assigned_agent_id: Annotated[
        Label | None, Meta(description="A registered task type is run by the engine, any other agent drives its task.")
    ] = None
    created_by_agent_id: Label | None = None
    depends_on: Uuids | None = None
    metadata: Annotated[
        dict[str, Any] | None, Meta(description="Anything; what the engine runs gets it as its input.")
    ] = None
    max_retries: (
        Annotated[MaxRetries, Meta(description="By default 3, or what the task type says that the engine runs.")] | None
    ) = None
    blocked_reason: Label | None = None
    blocked_by_task_ids: Annotated[Uuids | None, Meta(description="With `status` blocked.")] = None


class UpdateTaskRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change: what is absent stays."""

    title: Text | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    task_list_id: Annotated[Text | None | UnsetType, Meta(description="null leaves the list.")] = UNSET
    status: Status | UnsetType = UNSET
    assigned_agent_id: Text | None | UnsetType = UNSET
    depends_on: Uuids | UnsetType = UNSET
    metadata: Annotated[dict[str, Any] | None | UnsetType, Meta(description="Replaces what is there.")] = UNSET
    progress: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    progress_message: Text | UnsetType = UNSET
    result: Annotated[dict[str, Any] | None | UnsetType, Meta(description="With `status` completed.")] = UNSET
    error: Annotated[Text | None | UnsetType, Meta(description="With `status` failed.")] = UNSET
    retry_count: RetryCount | UnsetType = UNSET
    max_retries: MaxRetries | UnsetType = UNSET
    blocked_reason: Text | None | UnsetType = UNSET
    blocked_by_task_ids: Uuids | None | UnsetType = UNSET


class CreatedTask(msgspec.Struct, frozen=True, rename="camel"):
    """A task that was created."""

    task_id: Uuid
    org_id: str
    title: str
    status: Status
    created_at: Millis


class UpdatedTask(msgspec.Struct, frozen=True, rename="camel"):
    """A task that was changed."""

    task_id: Uuid
    status: Status
    updated_at: Millis


class DeletedTasks(msgspec.Struct, frozen=True, rename="camel"):
    """What was deleted."""

    deleted: bool
    deleted_count: int
    deleted_task_ids: tuple[Uuid, ...]


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task in a list."""

    task_id: Uuid
    org_id: str
    task_list_id: str | None
    title: str
    description: str
    status: Status
    assigned_agent_id: str | None
    progress: float
    blocked_reason: str | None
    blocked_by_task_ids: tuple[Uuid, ...] | None
    created_at: Millis
    updated_at: Millis


class TaskDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task. Every property is there, null where it has no value; only `result` is left out until there is one."""

    task_id: Uuid
    org_id: str
    task_list_id: str | None
    title: str
    description: str
    status: Status
    assigned_agent_id: str | None
    created_by_agent_id: str | None
    depends_on: tuple[Uuid, ...]
    metadata: dict[str, Any]
    progress: Annotated[float, Meta(ge=0, le=1)]
    progress_message: str
    result: Annotated[
        msgspec.Raw | UnsetType,
        Meta(
            description='What is no object is wrapped: `{"value": …}`, a file `{"file": {name, media_type, size, '
            "sha256, url}}`.",
            extra_json_schema={"type": "object"},
        ),
    ] = UNSET
    error: Annotated[str | None, Meta(description="Why it failed.")]
    retry_count: int
    max_retries: int
    created_at: Millis
    updated_at: Millis
    started_at: Millis | None
    completed_at: Annotated[Millis | None, Meta(description="When it completed, failed or was cancelled.")]
    expires_at: Annotated[Millis | None, Meta(description="When it is forgotten, once it has ended.")]
    blocked_reason: str | None
    blocked_by_task_ids: tuple[Uuid, ...] | None
    blocked_at: Millis | None


class ListedTasks(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Tasks, newest first. With `dependsOn` their ids, and they themselves if asked for."""

    task_ids: list[Uuid] | UnsetType = UNSET
    tasks: list[TaskSummary] | UnsetType = UNSET
    count: int
    depends_on: Uuid | UnsetType = UNSET


class GraphTask(msgspec.Struct, frozen=True, rename="camel"):
    """A task in a dependency graph, with its edges to others of the list."""

    task_id: Uuid
    title: str
    status: Status
    depends_on: list[Uuid]
    dependents: list[Uuid]


class DependencyGraph(msgspec.Struct, frozen=True, rename="camel"):
    """The tasks of a list, oldest first, and how they depend on each other."""

    task_list_id: str
    task_count: int
    roots: Annotated[list[Uuid], Meta(description="Those that depend on none of the list.")]
    leaves: Annotated[list[Uuid], Meta(description="Those that none of the list depends on.")]
    graph: dict[str, GraphTask]


class Refusal(msgspec.Struct, frozen=True, rename="camel"):
    """Why something is not done."""

    error: Annotated[str, Meta(description="Stable, for programs.")]
    message: str
    dependent_task_ids: Annotated[list[Uuid], Meta(description="The tasks that depend on this one.")] | UnsetType = (
        UNSET
    )


class ResultFile(msgspec.Struct, frozen=True):
    """A result that is a file."""

    name: str
    media_type: str
    size: int
    sha256: str
    url: str
