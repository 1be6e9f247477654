"""How does Milepost itself speak HTTP? The native dialect, under `/v1`: the record's own names, times as RFC 3339.

It reaches everything that the service can do; the other dialects give what their products publish.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from milepost.errors import Fault, Invalid, ServiceError
from milepost.http.credentials import bearer
from milepost.http.dialect import JSON, Answer, Call, NoQuery, Operation
from milepost.http.dialects.native_parse import change, wish
from milepost.http.dialects.native_render import entry_body, task_body, type_body
from milepost.http.dialects.native_shapes import (
    LONGEST_KEY,
    DeletedBody,
    DeleteQuery,
    FollowQuery,
    IfMatch,
    IfNoneMatch,
    IfRange,
    Key,
    LastEventId,
    ListQuery,
    LogBody,
    LogQuery,
    Prefer,
    Range,
    ReadQuery,
    StartBody,
    TaskBody,
    TaskId,
    TaskList,
    TypeList,
    UpdateBody,
)
from milepost.http.etag import etag, expected_version, is_unchanged
from milepost.http.events import EVENT_STREAM, event_stream
from milepost.http.files import result_response
from milepost.http.prefer import preferred_wait
from milepost.http.problems import PROBLEM_JSON, Problem, problem_details
from milepost.store.protocol import Filter, LogPage
from milepost.task import Task, parse_id
from milepost.times import SECOND

TASKS: Final = "/v1/tasks"
TASK: Final = TASKS + "/{id}"
MERGE_PATCH: Final = "application/merge-patch+json"
_encode: Final = msgspec.json.Encoder().encode

_ETAG: Final = {"ETag": "Version, dialect and query of this record."}
_RETRY: Final = {"Retry-After": "Seconds after which asking again makes sense; on records that are not finished."}
_NO_TASK: Final = "There is no such task, or none that the caller may see."


def _problems(**refusals: str) -> dict[int, Answer]:
    """Answers of refusals, named by `_` and their status."""
    return {int(name[1:]): Answer(text, Problem, media_type=PROBLEM_JSON) for name, text in refusals.items()}


class Native:
    """Milepost's own API. A task is started, and has an address from then on:

        curl -s localhost:8006/v1/tasks -H 'content-type: application/json' -d '{"type": "export"}'

    The answer names the record: ask it how far it is, follow it live, fetch its result.

        curl -s localhost:8006/v1/tasks/$ID?wait=30
        curl -N localhost:8006/v1/tasks/$ID/events
        curl -OJ localhost:8006/v1/tasks/$ID/result

    Times are RFC 3339 in UTC; every field of a record is there, null where it has no value. What is unknown in a
    request is refused, and named.
    """

    name = "native"
    title = "Milepost"

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        return [*self._collection(), *self._record(), *self._following(), *self._actions(), self._types()]

    def credentials(self, request: Request) -> str | None:
        """`Authorization: Bearer KEY` (RFC 6750)."""
        return bearer(request)

    def problem(self, error: ServiceError, request: Request) -> Response:  # noqa: ARG002 the protocol's
        """Problem details (RFC 9457)."""
        return problem_details(error)

    # What it answers.

    def _collection(self) -> list[Operation]:
        started = {"Location": "Where the record is."} | _ETAG | _RETRY | {"Preference-Applied": "The wait, if any."}
        return [
            Operation(
                "POST",
                TASKS,
                self.start,
                summary="Start a task",
                description="It is durable when this answers. The answer is the record as it stands then.",
                group="Tasks",
                headers={"Idempotency-Key": Key, "Prefer": Prefer},
                body=StartBody,
                answers={
                    202: Answer("It is started.", TaskBody, headers=started),
                    200: Answer("It is finished already.", TaskBody, headers=started),
                }
                | _problems(
                    _403="No right to start this here, or for this owner.",
                    _409="An unfinished task has this unique key.",
                    _410="The task that this Idempotency-Key stands for has been deleted.",
                    _422="Something in the body is wrong, or the Idempotency-Key stands for another body.",
                ),
            ),
            Operation(
                "GET",
                TASKS,
                self.list,
                summary="List tasks",
                description="Newest first. `next` leads to the following page.",
                group="Tasks",
                query=ListQuery,
                answers={200: Answer("A page of tasks.", TaskList)} | _problems(_422="A parameter is wrong."),
            ),
        ]

    def _record(self) -> list[Operation]:
        return [
            Operation(
                "GET",
                TASK,
                self.read,
                summary="Read a task",
                description="With `wait`, answers as soon as the record changes, whoever changes it, or time is up.",
                group="Tasks",
                parameters={"id": TaskId},
                query=ReadQuery,
                headers={"If-None-Match": IfNoneMatch},
                answers={
                    200: Answer("The record.", TaskBody, headers=_ETAG | _RETRY),
                    304: Answer("Nothing has changed.", media_type=None, headers=_ETAG | _RETRY),
                }
                | _problems(_404=_NO_TASK, _422="A parameter is wrong."),
            ),
            Operation(
                "PATCH",
                TASK,
                self.update,
                summary="Change a task",
                description=str(UpdateBody.__doc__),
                group="Tasks",
                parameters={"id": TaskId},
                headers={"If-Match": IfMatch},
                body=UpdateBody,
                media_types=(MERGE_PATCH, JSON),
                answers={200: Answer("The record after it.", TaskBody, headers=_ETAG | _RETRY)}
                | _problems(
                    _404=_NO_TASK,
                    _409="Its state, or that the engine runs it, does not allow this.",
                    _412="It has changed since the version that If-Match names.",
                    _422="Something in the body is wrong.",
                ),
            ),
            Operation(
                "DELETE",
                TASK,
                self.delete,
                summary="Delete a finished task",
                group="Tasks",
                parameters={"id": TaskId},
                query=DeleteQuery,
                answers={200: Answer("It is gone.", DeletedBody)}
                | _problems(
                    _403="Only admins delete.",
                    _404=_NO_TASK,
                    _409="It is not finished, or others depend on it.",
                    _422="A parameter is wrong.",
                ),
            ),
        ]

    def _following(self) -> list[Operation]:
        return [
            Operation(
                "GET",
                TASK + "/events",
                self.follow,
                summary="Follow a task",
                description=(
                    "Server-sent events. `log` carries an `EntryBody`; `task` a `TaskBody`, with its version as id, "
                    "once all entries up to that version were sent. The stream ends when the task has; coming back "
                    "with the last id is then answered by 204."
                ),
                group="Progress and result",
                parameters={"id": TaskId},
                query=FollowQuery,
                headers={"Last-Event-ID": LastEventId},
                answers={
                    200: Answer("The stream.", media_type=EVENT_STREAM),
                    204: Answer("The task is finished, and its last version was seen.", media_type=None),
                }
                | _problems(_404=_NO_TASK, _422="A parameter is wrong."),
            ),
            Operation(
                "GET",
                TASK + "/logs",
                self.logs,
                summary="Read a task's log",
                group="Progress and result",
                parameters={"id": TaskId},
                query=LogQuery,
                answers={200: Answer("Entries, in order.", LogBody)}
                | _problems(_404=_NO_TASK, _422="A parameter is wrong."),
            ),
            Operation(
                "GET",
                TASK + "/result",
                self.result,
                summary="Fetch a task's result",
                description="With the media type that the task gave it; JSON unless it is a file.",
                group="Progress and result",
                parameters={"id": TaskId},
                headers={"Range": Range, "If-Range": IfRange, "If-None-Match": IfNoneMatch},
                answers={
                    200: Answer("The result.", media_type="*/*", headers={"ETag": "Its SHA-256."}),
                    206: Answer("The range.", media_type="*/*", headers={"Content-Range": "Which bytes these are."}),
                    304: Answer("The client has it.", media_type=None),
                }
                | _problems(
                    _404=_NO_TASK + " Or it ended without a result.",
                    _409="It is not finished, or did not succeed.",
                    _410="The result is past its retention.",
                    _416="The range lies outside the result.",
                ),
            ),
        ]

    def _actions(self) -> list[Operation]:
        asked = "It is asked to; it still runs, and the record shows the request."
        described = {
            "cancel": "A running task is asked to stop at its next checkpoint; any other ends at once.",
            "pause": "A running task is asked to stop at its next checkpoint; one that waits does not start.",
            "resume": "A paused task goes on; a pause that was only requested is taken back.",
            "retry": "A failed or cancelled task begins again, with all its attempts and what it saved.",
        }
        handlers = {"cancel": self.cancel, "pause": self.pause, "resume": self.resume, "retry": self.retry}
        return [
            Operation(
                "POST",
                f"{TASK}/{name}",
                handlers[name],
                summary=f"{name.capitalize()} a task",
                description=description,
                group="Control",
                parameters={"id": TaskId},
                answers={200: Answer("Done: the record after it.", TaskBody, headers=_ETAG | _RETRY)}
                | ({202: Answer(asked, TaskBody, headers=_ETAG | _RETRY)} if name in ("cancel", "pause") else {})
                | _problems(_404=_NO_TASK, _409="Its state does not allow this."),
            )
            for name, description in described.items()
        ]

    def _types(self) -> Operation:
        return Operation(
            "GET",
            "/v1/types",
            self.types,
            summary="List the task types",
            group="Task types",
            answers={200: Answer("All that can be started.", TypeList)},
        )

    # How it answers.

    async def start(self, call: Call[NoQuery, StartBody]) -> Response:
        """Start a task."""
        key = call.request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= LONGEST_KEY:
            raise Invalid(Fault(f"From 1 to {LONGEST_KEY} characters.", parameter="Idempotency-Key"))
        created = await call.service.start(call.principal, wish(call.body), origin=self.name, idempotency_key=key)
        task = created.task
        headers = {"location": call.url(f"{TASKS}/{task.id}")}
        seconds = preferred_wait(call.request)
        if seconds is not None:
            headers["preference-applied"] = f"wait={seconds}"
            task = await call.wait(task.id, timeout=seconds * SECOND, until_end=True)
        return self._answer(call, task, 200 if task.state.terminal else 202, headers)

    async def list(self, call: Call[ListQuery, None]) -> Response:
        """List tasks."""
        query = call.query
        parent = None if query.parent is None else parse_id(query.parent)
        if query.parent is not None and parent is None:
            raise Invalid(Fault("Not a task id.", parameter="parent"))
        wanted = Filter(
            tenant=query.tenant,
            states=query.state,
            type=query.type,
            owner=query.owner,
            list_id=query.list,
            parent=parent,
            assignee=query.assignee,
        )
        page = await call.service.find(call.principal, wanted, after=query.after, limit=query.limit)
        return _json(TaskList([_body(call, task) for task in page.tasks], page.next))

    async def read(self, call: Call[ReadQuery, None]) -> Response:
        """Read a task."""
        query, task_id = call.query, call.path["id"]
        if query.wait:
            task = await call.wait(task_id, timeout=round(query.wait * SECOND), version=query.version)
        else:
            task = await call.service.get(call.principal, task_id)
        if not query.include:
            return self._answer(call, task)
        cold = await call.service.cold(call.principal, task_id)
        body = _body(call, task)
        for part in query.include:
            value = getattr(cold, part)
            setattr(body, part, msgspec.Raw(value) if isinstance(value, bytes) else value)
        canonical = "include=" + ",".join(sorted(set(query.include)))
        return self._answer(call, task, query=canonical, body=body)

    async def update(self, call: Call[NoQuery, UpdateBody]) -> Response:
        """Change a task."""
        task_id = call.path["id"]
        version = await expected_version(call, self.name, task_id)
        task = await call.service.update(call.principal, task_id, change(call.body), if_version=version)
        return self._answer(call, task)

    async def delete(self, call: Call[DeleteQuery, None]) -> Response:
        """Delete a finished task."""
        deleted = await call.service.delete(call.principal, call.path["id"], cascade=call.query.cascade)
        return _json(DeletedBody(deleted.ids))

    async def follow(self, call: Call[FollowQuery, None]) -> Response:
        """Follow a task."""
        return await event_stream(
            call,
            call.path["id"],
            since_version=call.query.last_event_id,
            render_task=lambda task: _encode(_body(call, task)),
            render_entry=lambda entry: _encode(entry_body(entry)),
        )

    async def logs(self, call: Call[LogQuery, None]) -> Response:
        """Read a task's log."""
        page = await self._log_page(call)
        following = page.entries[-1].seq if page.entries else call.query.after
        return _json(LogBody([entry_body(entry) for entry in page.entries], following))

    async def _log_page(self, call: Call[LogQuery, None]) -> LogPage:
        query, task_id, clock = call.query, call.path["id"], call.service.clock
        deadline = clock() + round(query.wait * SECOND)
        while True:
            page = await call.service.log(call.principal, task_id, after=query.after, limit=query.limit)
            left = deadline - clock()
            if page.entries or page.task.state.terminal or left <= 0 or call.stopping.is_set():
                return page
            await call.wait(task_id, timeout=left, version=page.task.version)

    async def result(self, call: Call[NoQuery, None]) -> Response:
        """Fetch a task's result."""
        return await result_response(call.request, await call.service.result(call.principal, call.path["id"]))

    async def cancel(self, call: Call[NoQuery, None]) -> Response:
        """Cancel a task."""
        task = await call.service.cancel(call.principal, call.path["id"])
        return self._answer(call, task, 202 if task.cancel_requested else 200)

    async def pause(self, call: Call[NoQuery, None]) -> Response:
        """Pause a task."""
        task = await call.service.pause(call.principal, call.path["id"])
        return self._answer(call, task, 202 if task.pause_requested else 200)

    async def resume(self, call: Call[NoQuery, None]) -> Response:
        """Resume a task."""
        return self._answer(call, await call.service.resume(call.principal, call.path["id"]))

    async def retry(self, call: Call[NoQuery, None]) -> Response:
        """Retry a task."""
        return self._answer(call, await call.service.retry(call.principal, call.path["id"]))

    async def types(self, call: Call[NoQuery, None]) -> Response:
        """List the task types."""
        return _json(TypeList([type_body(info) for info in await call.service.types()]))

    def _answer(
        self,
        call: Call[Any, Any],
        task: Task,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        query: str = "",
        body: TaskBody | None = None,
    ) -> Response:
        """The record as an answer, or 304 to a read whose client has this version."""
        tag = etag(task.version, self.name, query)
        said = {"etag": tag, "cache-control": "private, no-cache", **(headers or {})}
        if not task.state.terminal:
            said["retry-after"] = _retry_after(task, call.service.clock())
        if call.request.method in ("GET", "HEAD") and is_unchanged(call.request, tag):
            return Response(status_code=304, headers=said)
        return _json(body or _body(call, task), status, said)


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(body), status, {"x-content-type-options": "nosniff", **(headers or {})}, JSON)


def _body(call: Call[Any, Any], task: Task) -> TaskBody:
    return task_body(task, call.url(f"{TASKS}/{task.id}/result"))


def _retry_after(task: Task, now: int) -> str:
    """From 1 second for a young task to 10 for one that has been at it for long."""
    age = now - (task.started_at or task.created_at)
    return str(min(10, max(1, age // (10 * SECOND))))
