"""How does Milepost itself speak HTTP? The native dialect, under `/v1`: the record's own names, times as RFC 3339.

It reaches everything that the service can do; the other dialects give what their products publish.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from milepost.errors import Fault, Invalid, ServiceError
from milepost.http.batch import start_lines
from milepost.http.credentials import bearer
from milepost.http.dialect import BEARER, Call, NoQuery, Operation
from milepost.http.dialects.native_answers import DeletedBody, LogBody, TaskBody, TaskList, TypeList
from milepost.http.dialects.native_callbacks import callback_list
from milepost.http.dialects.native_keys import key_operations
from milepost.http.dialects.native_operations import TASKS, operations
from milepost.http.dialects.native_parse import change, line_wish, wish
from milepost.http.dialects.native_render import entry_body, outcome_body, part_body, task_body, type_body
from milepost.http.dialects.native_requests import (
    DeleteQuery,
    DeliveryBody,
    FollowQuery,
    ListQuery,
    LogQuery,
    ReadQuery,
    RetryQuery,
    StartBody,
    StartLine,
    UpdateBody,
)
from milepost.http.dialects.native_webhooks import webhook_operations
from milepost.http.etag import expected_version
from milepost.http.events import event_stream
from milepost.http.exchange import Exchange
from milepost.http.files import result_response
from milepost.http.headers import headers
from milepost.http.lines import NDJSON, Lines
from milepost.http.prefer import preferred_wait
from milepost.http.problems import REFUSALS, problem_details
from milepost.http.rendered import RawHeaders
from milepost.http.representation import json_answer, representation
from milepost.intake import Upload, deliver
from milepost.service import Filter, LogPage
from milepost.start import MAX_KEY
from milepost.task import Task, parse_id
from milepost.times import SECOND, elapsed

_KEY: Final = re.compile(f"[ -~]{{1,{MAX_KEY}}}")

_NOWHERE: Final = nullcontext()

_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines


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
    security = BEARER

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        found = (*operations(self), *key_operations(), *webhook_operations())
        return [replace(operation, refusals=REFUSALS) for operation in found]

    def credentials(self, request: Request) -> str | None:
        """`Authorization: Bearer KEY` (RFC 6750)."""
        return bearer(request)

    def problem(self, error: ServiceError, request: Request) -> Response:  # noqa: ARG002 the protocol's
        """Problem details (RFC 9457)."""
        return problem_details(error)

    async def start(self, call: Call[NoQuery, StartBody]) -> Response:
        """Start a task."""
        key = _idempotency_key(call.request)
        seconds = preferred_wait(call.request)
        with _place(call, seconds):
            created = await call.service.start(call.principal, wish(call.body), origin=self.name, idempotency_key=key)
            return await self._started(call, created.task, seconds)

    async def deliver(self, call: Call[NoQuery, DeliveryBody | Upload]) -> Response:
        """Deliver to a standing task."""
        files = (call.body,) if isinstance(call.body, Upload) else ()
        seconds = preferred_wait(call.request)
        with _place(call, seconds):
            created = await deliver(
                call.service,
                call.principal,
                call.path["id"],
                input={} if isinstance(call.body, Upload) else call.body.input,
                files=files,
                idempotency_key=_idempotency_key(call.request),
            )
            return await self._started(call, created.task, seconds)

    async def _started(self, call: Call[Any, Any], task: Task, seconds: int | None) -> Response:
        """The record of a task that was started, or its end if it is to be waited for."""
        headers = [(b"location", call.url(f"{TASKS}/{task.id}").encode())]
        if seconds is not None:
            headers.append((b"preference-applied", b"wait=%d" % seconds))
            task = await call.wait(task.id, timeout=seconds * SECOND, until_end=True)
        return self._answer(call, task, 200 if task.state.terminal else 202, headers)

    async def start_many(self, call: Call[NoQuery, Lines[StartLine]]) -> Response:
        """Start many tasks."""
        if headers(call.request, b"idempotency-key"):
            raise Invalid(Fault("Give each line an idempotency_key of its own.", parameter="Idempotency-Key"))
        return Exchange(self._outcomes(call), NDJSON, until=call.stopping)

    async def _outcomes(self, call: Call[NoQuery, Lines[StartLine]]) -> AsyncGenerator[bytes, None]:
        async with aclosing(start_lines(call, line_wish, origin=self.name)) as bunches:
            async for outcomes in bunches:
                yield _encode_lines([outcome_body(line, made) for line, made in outcomes])

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
            setattr(body, part, part_body(getattr(cold, part)))
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
        query, task_id = call.query, call.path["id"]
        deadline = elapsed() + round(min(query.wait, call.service.limits.wait) * SECOND)
        while True:
            page = await call.service.log(call.principal, task_id, after=query.after, limit=query.limit)
            left = deadline - elapsed()
            if page.entries or page.task.state.terminal or left <= 0 or call.stopping.is_set():
                return page
            await call.wait(task_id, timeout=left, version=page.task.version)

    async def callbacks(self, call: Call[NoQuery, None]) -> Response:
        """List a task's callbacks."""
        return _json(callback_list(await call.service.callbacks.of(call.principal, call.path["id"])))

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

    async def retry(self, call: Call[RetryQuery, None]) -> Response:
        """Retry a task."""
        return self._answer(call, await call.service.retry(call.principal, call.path["id"], revive=call.query.revive))

    async def types(self, call: Call[NoQuery, None]) -> Response:
        """List the task types."""
        return _json(TypeList([type_body(info) for info in await call.service.types()]))

    async def pause_type(self, call: Call[NoQuery, None]) -> Response:
        """Pause a task type."""
        return _json(type_body(await call.service.pause_type(call.principal, call.path["name"])))

    async def resume_type(self, call: Call[NoQuery, None]) -> Response:
        """Resume a task type."""
        return _json(type_body(await call.service.resume_type(call.principal, call.path["name"])))

    def _answer(
        self,
        call: Call[Any, Any],
        task: Task,
        status: int = 200,
        headers: RawHeaders = (),
        *,
        query: str = "",
        body: TaskBody | None = None,
    ) -> Response:
        return representation(
            call, self.name, task, lambda: _encode(body or _body(call, task)), status, headers, query=query
        )


def _json(body: Any) -> Response:
    return json_answer(_encode(body))


def _body(call: Call[Any, Any], task: Task) -> TaskBody:
    return task_body(task, call.url(f"{TASKS}/{task.id}/result"))


def _place(call: Call[Any, Any], seconds: int | None) -> AbstractContextManager[None]:
    """The place of who wants to wait so long for what it starts. Raises TooMany."""
    return _NOWHERE if seconds is None else call.share.place()


def _idempotency_key(request: Request) -> str | None:
    """The key of a start. Raises Invalid."""
    match headers(request, b"idempotency-key"):
        case []:
            return None
        case [key] if _KEY.fullmatch(key):
            return key
        case [_]:
            why = f"From 1 to {MAX_KEY} printable ASCII characters."
        case _:
            why = "This is given more than once."
    raise Invalid(Fault(why, parameter="Idempotency-Key"))
