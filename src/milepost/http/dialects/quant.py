"""How does Milepost speak QuantCDN's AI tasks: agents that hand on work, and drive the tasks that are theirs?"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from msgspec import UnsetType
from starlette.requests import Request
from starlette.responses import Response

from milepost.errors import DependentsConflict, Fault, Invalid, ServiceError
from milepost.http.credentials import bearer
from milepost.http.dialect import BEARER, JSON, Answer, Call, NoQuery, Operation, Refusals
from milepost.http.dialects import quant_parse, quant_render
from milepost.http.dialects.native_requests import IfMatch, IfNoneMatch
from milepost.http.dialects.quant_shapes import (
    CreatedTask,
    CreateTaskRequest,
    DeletedTasks,
    DeleteTaskQuery,
    DependencyGraph,
    ListedTasks,
    ListId,
    ListTasksQuery,
    NewOrgId,
    OrgId,
    Refusal,
    TaskDetails,
    UpdatedTask,
    UpdateTaskRequest,
    Uuid,
)
from milepost.http.etag import expected_version
from milepost.http.problems import headers_of, status_of
from milepost.http.representation import json_answer, representation
from milepost.service import Filter
from milepost.task import FileResult, Task, parse_id
from milepost.times import DAY

TASKS: Final = "/api/v3/organizations/{organisation}/ai/tasks"
TASK: Final = TASKS + "/{taskId}"
GRAPH: Final = TASKS + "/{taskListId}/dependency-graph"

PAGE: Final = 500
"""Tasks that are read at once."""

_encode: Final = msgspec.json.Encoder().encode

_GROUP: Final = "AI Task Management"
_ETAG: Final = {"ETag": "Version and dialect of this task."}


def _refusals(texts: Mapping[int, str]) -> dict[int, Answer]:
    return {status: Answer(text, Refusal) for status, text in texts.items()}


_NO_TASK: Final = _refusals({404: "Task not found."})


class Quant:
    """QuantCDN's AI tasks. Agents create tasks, hand them on, and drive those that are theirs.

    A task whose `assignedAgentId` names a registered task type is run by Milepost, with its metadata as input. Any
    other is driven by its agent: `PUT` with a status, from `pending` over `in_progress` to `completed`, `failed` or
    `cancelled`; from there `pending` begins it again. Times are Unix milliseconds. Tasks are forgotten 30 days after
    their end.
    """

    name = "quant"
    title = "QuantCDN AI tasks"
    security = BEARER

    def __init__(self, *, agent_type: str = "agent-task", keep: int = 30 * DAY, graph_limit: int = 10_000) -> None:
        """`agent_type`: what the record calls the type of tasks that agents drive. `keep`: how long a task and its
        result are kept after its end, in µs. `graph_limit`: tasks of a list that its graph shows, the newest.
        """
        self._agent_type = agent_type
        self._keep = keep
        self._graph_limit = graph_limit

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        found = (self._list(), self._create(), self._get(), self._update(), self._delete(), self._graph())
        return [replace(operation, refusals=Refusals(Refusal, invalid=400)) for operation in found]

    def credentials(self, request: Request) -> str | None:
        """`Authorization: Bearer KEY`."""
        return bearer(request)

    def problem(self, error: ServiceError, request: Request) -> Response:  # noqa: ARG002 the protocol's
        """`{"error": CODE, "message": text}`, of which only the one for a task with dependents is published."""
        code, text = error.code.upper().replace("-", "_"), quant_parse.message(error)
        status = 400 if isinstance(error, Invalid) else status_of(error)
        body = Refusal(code, text)
        if isinstance(error, DependentsConflict):
            ids = error.facts["dependents"]
            text = f"Cannot delete task with {len(ids)} dependent task(s). Use cascade=true to delete all."
            body = Refusal("TASK_HAS_DEPENDENTS", text, ids)
        headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"} | headers_of(error)
        return Response(_encode(body), status, headers, JSON)

    # What it answers.

    async def list_tasks(self, call: Call[ListTasksQuery, None]) -> Response:
        """List tasks."""
        organisation, query = call.path["organisation"], call.query
        call = call.within(organisation)
        dependency = None
        if query.depends_on is not None:
            dependency = parse_id(query.depends_on)
            if dependency is None:
                raise Invalid(Fault("Not a task id.", parameter="dependsOn"))
        wanted = Filter(
            tenant=organisation,
            states=() if query.status is None else quant_parse.STATES[query.status],
            list_id=query.task_list_id,
            assignee=query.assigned_agent_id,
            depends_on=dependency,
        )
        tasks = [quant_render.summary(task) async for task in _newest(call, wanted, query.limit)]
        return json_answer(_encode(quant_render.listed(tasks, dependency, is_detailed=query.include_details)))

    async def create_task(self, call: Call[NoQuery, CreateTaskRequest]) -> Response:
        """Create a task."""
        organisation, body = call.path["organisation"], call.body
        call = call.within(organisation)
        agent = body.assigned_agent_id
        info = None if agent is None else await call.service.type_info(agent)
        start = quant_parse.start(body, info, organisation, type=self._agent_type, keep=self._keep)
        task = (await call.service.start(call.principal, start, origin=self.name)).task
        return representation(call, self.name, task, lambda: _encode(quant_render.created(task)), 201)

    async def get_task(self, call: Call[NoQuery, None]) -> Response:
        """Get task details."""
        call = call.within(call.path["organisation"])
        task = await call.service.get(call.principal, call.path["taskId"])
        result, query = await _result(call, task)
        return representation(call, self.name, task, lambda: _encode(quant_render.details(task, result)), query=query)

    async def update_task(self, call: Call[NoQuery, UpdateTaskRequest]) -> Response:
        """Update a task."""
        call = call.within(call.path["organisation"])
        task_id = call.path["taskId"]
        version = await expected_version(call, self.name, task_id)
        task = await call.service.update(call.principal, task_id, quant_parse.change(call.body), if_version=version)
        return representation(call, self.name, task, lambda: _encode(quant_render.updated(task)))

    async def delete_task(self, call: Call[DeleteTaskQuery, None]) -> Response:
        """Delete a task."""
        call = call.within(call.path["organisation"])
        deleted = await call.service.delete(
            call.principal, call.path["taskId"], cascade=call.query.cascade, unfinished=True
        )
        return json_answer(_encode(DeletedTasks(True, len(deleted.ids), deleted.ids)))

    async def get_dependency_graph(self, call: Call[NoQuery, None]) -> Response:
        """Get the dependency graph of a list."""
        organisation, list_id = call.path["organisation"], call.path["taskListId"]
        wanted = Filter(tenant=organisation, list_id=list_id)
        newest = _newest(call.within(organisation), wanted, self._graph_limit)
        tasks = [quant_render.node(task) async for task in newest]
        return json_answer(_encode(quant_render.graph(list_id, tasks)))

    # What its document says of that.

    def _list(self) -> Operation:
        return Operation(
            "GET",
            TASKS,
            self.list_tasks,
            summary="List tasks",
            description="Newest first. With `dependsOn`: the tasks that depend on that one.",
            group=_GROUP,
            parameters={"organisation": OrgId},
            query=ListTasksQuery,
            answers={200: Answer("The tasks.", ListedTasks)},
        )

    def _create(self) -> Operation:
        return Operation(
            "POST",
            TASKS,
            self.create_task,
            summary="Create a task",
            group=_GROUP,
            parameters={"organisation": NewOrgId},
            body=CreateTaskRequest,
            answers={201: Answer("It is created.", CreatedTask, headers=_ETAG)}
            | _refusals({403: "No rights in this organisation."}),
        )

    def _get(self) -> Operation:
        return Operation(
            "GET",
            TASK,
            self.get_task,
            summary="Get task details",
            group=_GROUP,
            parameters={"organisation": OrgId, "taskId": Uuid},
            headers={"If-None-Match": IfNoneMatch},
            answers={
                200: Answer("The task.", TaskDetails, headers=_ETAG),
                304: Answer("Nothing has changed.", media_type=None, headers=_ETAG),
            }
            | _NO_TASK,
        )

    def _update(self) -> Operation:
        return Operation(
            "PUT",
            TASK,
            self.update_task,
            summary="Update a task",
            description="Only what is given changes. Of a task that the engine runs, `status` cancelled asks it to "
            "stop, blocked and pending hold and free it while it waits, and pending begins one again that failed or "
            "was cancelled.",
            group=_GROUP,
            parameters={"organisation": OrgId, "taskId": Uuid},
            headers={"If-Match": IfMatch},
            body=UpdateTaskRequest,
            answers={200: Answer("It is changed.", UpdatedTask, headers=_ETAG)}
            | _NO_TASK
            | _refusals({409: "Its status does not allow this.", 412: "It has changed since."}),
        )

    def _delete(self) -> Operation:
        return Operation(
            "DELETE",
            TASK,
            self.delete_task,
            summary="Delete a task",
            description="One that no worker is at; if it has not ended, it is cancelled by that.",
            group=_GROUP,
            parameters={"organisation": OrgId, "taskId": Uuid},
            query=DeleteTaskQuery,
            answers={200: Answer("It is gone.", DeletedTasks)}
            | _NO_TASK
            | _refusals({403: "Only admins delete.", 409: "Others depend on it, or a worker runs it."}),
        )

    def _graph(self) -> Operation:
        return Operation(
            "GET",
            GRAPH,
            self.get_dependency_graph,
            summary="Get a list's dependency graph",
            description=f"Of the newest {self._graph_limit} tasks of the list.",
            group=_GROUP,
            parameters={"organisation": OrgId, "taskListId": ListId},
            answers={200: Answer("The graph.", DependencyGraph)},
        )


async def _result(call: Call[Any, Any], task: Task) -> tuple[msgspec.Raw | UnsetType, str]:
    """A task's result, and what of a link in it makes it another body: it changes with the time."""
    if isinstance(task.result, FileResult):
        url = await call.download(task)
        return quant_render.file_result(task.result, url), f"link={url[-8:]}"
    return quant_render.value_result(await call.service.value(call.principal, task)), ""


async def _newest(call: Call[Any, Any], wanted: Filter, limit: int) -> AsyncGenerator[Task, None]:
    """So many of the tasks that are wanted, of which no more than a page is in memory: they may be large."""
    after: str | None = None
    while True:
        page = await call.service.find(call.principal, wanted, after=after, limit=min(PAGE, limit))
        after, tasks = page.next, page.tasks[::-1]
        limit -= len(tasks)
        del page
        while tasks:
            yield tasks.pop()
        if after is None or limit <= 0:
            return
