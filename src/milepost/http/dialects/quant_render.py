"""How do a record, a list and a graph look in Quant?"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from milepost.http.dialects.quant_parse import STATUSES
from milepost.http.dialects.quant_shapes import (
    CreatedTask,
    DependencyGraph,
    GraphTask,
    ListedTasks,
    ResultFile,
    TaskDetails,
    TaskSummary,
    UpdatedTask,
)
from milepost.task import FileResult, Task

MILLISECOND = 1000
"""In µs."""


def created(task: Task) -> CreatedTask:
    """The answer to a start."""
    return CreatedTask(task.id, task.tenant, title(task), STATUSES[task.state], task.created_at // MILLISECOND)


def updated(task: Task) -> UpdatedTask:
    """The answer to a change."""
    return UpdatedTask(task.id, STATUSES[task.state], task.updated_at // MILLISECOND)


def title(task: Task) -> str:
    """A task that was started elsewhere may have none."""
    return task.type if task.title is None else task.title


def summary(task: Task) -> TaskSummary:
    """A task in a list."""
    return TaskSummary(
        task_id=task.id,
        org_id=task.tenant,
        task_list_id=task.list_id,
        title=title(task),
        description=task.description or "",
        status=STATUSES[task.state],
        assigned_agent_id=task.assignee,
        progress=task.progress,
        blocked_reason=task.blocked_reason,
        blocked_by_task_ids=task.blocked_by or None,
        created_at=task.created_at // MILLISECOND,
        updated_at=task.updated_at // MILLISECOND,
    )


def listed(summaries: list[TaskSummary], dependency: str | None, *, is_detailed: bool) -> ListedTasks:
    """Tasks, or those that depend on one."""
    if dependency is None:
        return ListedTasks(tasks=summaries, count=len(summaries))
    return ListedTasks(
        task_ids=[task.task_id for task in summaries],
        tasks=summaries if is_detailed else UNSET,
        count=len(summaries),
        depends_on=dependency,
    )


def details(task: Task, result: msgspec.Raw | UnsetType) -> TaskDetails:
    """A task with its result, an object."""
    return TaskDetails(
        task_id=task.id,
        org_id=task.tenant,
        task_list_id=task.list_id,
        title=title(task),
        description=task.description or "",
        status=STATUSES[task.state],
        assigned_agent_id=task.assignee,
        created_by_agent_id=task.creator,
        depends_on=task.depends_on,
        metadata=task.metadata or {},
        progress=task.progress,
        progress_message=task.message or "",
        result=result,
        error=None if task.failure is None else task.failure.message,
        retry_count=task.retry_count,
        max_retries=task.max_attempts - 1,
        created_at=task.created_at // MILLISECOND,
        updated_at=task.updated_at // MILLISECOND,
        started_at=_millis(task.started_at),
        completed_at=_millis(task.finished_at),
        expires_at=_millis(task.expires_at),
        blocked_reason=task.blocked_reason,
        blocked_by_task_ids=task.blocked_by or None,
        blocked_at=_millis(task.blocked_at),
    )


def value_result(value: msgspec.Raw | None) -> msgspec.Raw | UnsetType:
    """A JSON result as the object that Quant wants."""
    if value is None:
        return UNSET
    text = bytes(value)
    return value if text.lstrip()[:1] == b"{" else msgspec.Raw(b'{"value":' + text + b"}")


def file_result(file: FileResult, url: str) -> msgspec.Raw:
    """A file as the object that Quant wants; `url` is where it can be fetched."""
    told = ResultFile(file.name, file.media_type, file.size, file.sha256, url)
    return msgspec.Raw(msgspec.json.encode({"file": told}))


def node(task: Task) -> GraphTask:
    """A task as it stands in a graph, with all that it depends on, as far as its record tells."""
    return GraphTask(task.id, title(task), STATUSES[task.state], list(task.depends_on), [])


def graph(list_id: str, tasks: Sequence[GraphTask]) -> DependencyGraph:
    """How tasks of a list, newest first, depend on each other; edges to others are left out."""
    nodes = {task.task_id: task for task in reversed(tasks)}
    for task_id, task in nodes.items():
        task.depends_on[:] = [dependency for dependency in task.depends_on if dependency in nodes]
        for dependency in task.depends_on:
            nodes[dependency].dependents.append(task_id)
    return DependencyGraph(
        list_id,
        len(nodes),
        [task_id for task_id, node in nodes.items() if not node.depends_on],
        [task_id for task_id, node in nodes.items() if not node.dependents],
        nodes,
    )


def _millis(us: int | None) -> int | None:
    return None if us is None else us // MILLISECOND
