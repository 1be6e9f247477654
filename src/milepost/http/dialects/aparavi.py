"""How does Milepost speak to clients of Aparavi's Data Toolchain?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from milepost import __version__
from milepost.access.keyring import PROFILES, Profile
from milepost.access.principal import Principal
from milepost.errors import Invalid, NotFound, ServiceError
from milepost.http.credentials import raw_or_bearer
from milepost.http.dialect import BEARER, AnyQuery, Call, Handler, NoQuery, Operation
from milepost.http.dialects.aparavi_answers import (
    TRACE,
    AnyBody,
    EndedBody,
    EndedData,
    Line,
    StartedBody,
    StartedData,
    line,
    providers,
    status_body,
)
from milepost.http.dialects.aparavi_operations import ServicesQuery, StartQuery, TaskQuery, operations
from milepost.http.dialects.aparavi_outcome import outcome
from milepost.http.dialects.aparavi_pipelines import SOURCES, Pipeline, placed, read
from milepost.http.dialects.aparavi_words import REFUSALS, STATUSES, TaskNotFound, error_body
from milepost.http.payload import payload
from milepost.http.problems import headers_of, status_of
from milepost.http.representation import json_answer, representation
from milepost.intake import check, deliver, dismiss
from milepost.service import TypeInfo
from milepost.start import Start
from milepost.task import TYPE_NAME, State, Task
from milepost.times import SECOND

PREFIX: Final = "task_"
PATIENCE: Final = 3600
"""Seconds."""

_encode: Final = msgspec.json.Encoder().encode


class Aparavi:
    """Pipelines, as clients of Aparavi's Data Toolchain (DTC) start, watch and feed them:

        curl -X PUT localhost:8006/task -H 'content-type: application/json' \\
          -d '{"pipeline": {"components": [{"provider": "file", "config": {"path": "documents"}}]}}'

    The answer has a token, by which its task is asked after and ended:

        curl "localhost:8006/task?token=$TOKEN&type=cpu"
        curl -X DELETE "localhost:8006/task?token=$TOKEN&type=cpu"

    A pipeline whose source is a `webhook` stands open. What is sent to it is worked on at once, and answered with:

        curl -X PUT "localhost:8006/webhook?token=$TOKEN&type=cpu" -H 'content-type: text/plain' -d 'some text'

    Clients differ in what they take for a failure: a key may say which words its holder's client knows.
    """

    name = "aparavi"
    title = "Aparavi DTC"
    security: Mapping[str, Mapping[str, str]] = {
        "key": {"type": "apiKey", "in": "header", "name": "Authorization"},
        **BEARER,
    }

    def __init__(
        self,
        *,
        profile: Profile = "page",
        paths: Mapping[str, str] | None = None,
        type: str = "pipeline",
        patience: int = PATIENCE,
    ) -> None:
        """Settings.

        `profile`: in whose words failures are told to callers whose key does not say. `paths`: which path of this
        server stands for a published one, and for all beneath it. `type`: the task type that runs pipelines.
        `patience`: seconds that a delivery may take before it is answered without its outcome. Raises ValueError for a
        profile, type or patience that is none.
        """
        if profile not in PROFILES:
            raise ValueError(f"profile: one of {', '.join(PROFILES)}, not {profile!r:.80}.")
        if not TYPE_NAME.fullmatch(type):
            raise ValueError(f"type: {type!r:.80} is no name of a task type.")
        if patience < 1:
            raise ValueError(f"patience: from 1 second, not {patience}.")
        self._own_profile = profile
        self._paths = dict(paths or {})
        self._type = type
        self._patience = patience * SECOND

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        return [
            replace(operation, handler=_of_owner(operation.handler), refusals=REFUSALS)
            for operation in operations(self)
        ]

    def credentials(self, request: Request) -> str | None:
        """`Authorization: KEY`, as the page and the Node package send it, or `Bearer KEY`, as the Python one does."""
        return raw_or_bearer(request)

    def problem(self, error: ServiceError, request: Request) -> Response:
        """See `aparavi_words.error_body`."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in headers_of(error).items()]
        body = error_body(error, self._profile(request.scope.get("user")))
        return json_answer(_encode(body), status_of(error), headers)

    async def start(self, call: Call[StartQuery, dict[str, Any]]) -> Response:
        """Start a pipeline."""
        start, place = await self._start(call, call.query)
        with placed(place):
            created = await call.service.start(call.principal, start, origin=self.name)
        data = StartedData(await call.service.token_of(created.task))
        return json_answer(_encode(StartedBody("OK", data, "Task started successfully")))

    async def validate(self, call: Call[NoQuery, dict[str, Any]]) -> Response:
        """Check a pipeline."""
        data: dict[str, Any] = {"errors": [], "warnings": []}
        try:
            start, place = await self._start(call, StartQuery())
            with placed(place):
                await call.service.check(call.principal, start, origin=self.name)
        except Invalid as error:
            body = error_body(error, self._profile(call.principal), data)
            data["errors"] = [body.message]
            return json_answer(_encode(body))
        return json_answer(_encode(AnyBody("OK", data)))

    async def _start(self, call: Call[Any, dict[str, Any]], query: StartQuery) -> tuple[Start, str]:
        """What a request wants started, and where in it the pipeline stands. Raises Invalid."""
        pipeline = read(call.body, await self._info(call), self._paths)
        start = self._wish(pipeline, query)
        if pipeline.faults:
            with placed(pipeline.place):
                await call.service.check(call.principal, start, origin=self.name)
            raise Invalid(*pipeline.faults)
        return start, pipeline.place

    def _wish(self, pipeline: Pipeline, query: StartQuery) -> Start:
        metadata = {
            "source_path": pipeline.source_path,
            "destination_url": pipeline.destination_url,
            "threads": query.threads,
        }
        start = Start(
            type=self._type,
            input=pipeline.input,
            title=query.name,
            metadata={name: value for name, value in metadata.items() if value is not None},
        )
        if pipeline.stands:
            return msgspec.structs.replace(start, runner="external", state=State.RUNNING)
        return start

    async def read(self, call: Call[TaskQuery, None]) -> Response:
        """Read a task."""
        try:
            task = await call.service.get(call.principal, await self._task_id(call))
            lines = await self._newest(call, task)
        except NotFound:
            return self._unknown(call)
        profile = self._profile(call.principal)
        return representation(
            call,
            self.name,
            task,
            lambda: _encode(status_body(task, lines, profile)),
            query=f"profile={profile}",
        )

    async def _newest(self, call: Call[Any, Any], task: Task) -> list[Line]:
        """The last lines of a log as they stood at this version, whatever is written meanwhile."""
        told: list[Line] = []
        after = max(0, task.log_seq - TRACE)
        while after < task.log_seq:
            page = await call.service.log(call.principal, task.id, after=after, limit=task.log_seq - after)
            told += map(line, page.entries)  # a page ends early where they are large
            after = page.entries[-1].seq
        return told

    async def end(self, call: Call[TaskQuery, None]) -> Response:
        """End a task."""
        try:
            task = await dismiss(call.service, call.principal, await self._task_id(call))
        except NotFound:
            return self._unknown(call)
        data = EndedData(task.state is State.CANCELLED or task.cancel_requested, call.query.token)
        return json_answer(_encode(EndedBody(status="OK", data=data, message="Task deleted successfully")))

    async def deliver(self, call: Call[TaskQuery, None]) -> Response:
        """Deliver to a standing pipeline."""
        try:
            standing = await call.service.get(call.principal, await self._task_id(call))
            check(standing, await call.service.type_info(standing.type))  # before anything is read
            with call.share.place():
                async with payload(call.request, call.service.limits) as files:
                    created = await deliver(call.service, call.principal, standing.id, files=files)
                task = await call.wait(created.task.id, timeout=self._patience, until_end=True)
            told = await outcome(call, task, self._profile(call.principal))
        except NotFound as error:
            raise TaskNotFound from error  # by its status: Python's package takes a 200 for what was delivered
        return json_answer(_encode(told), 200 if task.state.terminal else 202)

    async def version(self, call: Call[AnyQuery, None]) -> Response:  # noqa: ARG002 every handler's
        """Which version this is."""
        return json_answer(_encode(AnyBody("OK", {"name": "Milepost", "version": __version__})))

    async def status(self, call: Call[AnyQuery, None]) -> Response:
        """How the server is."""
        tasks: Counter[str] = Counter()
        for tally in await call.service.tally(call.principal):
            tasks[STATUSES[tally.state]] += tally.tasks
        data = {"alive": True, "workers": len(await call.service.workers()), "tasks": dict(tasks)}
        return json_answer(_encode(AnyBody("OK", data)))

    async def services(self, call: Call[ServicesQuery, None]) -> Response:
        """List the providers of components."""
        info, wanted = await self._info(call), call.query.service
        known = {
            provider: {"name": provider, "source": provider in SOURCES}
            for provider in (providers(info.schema) if info is not None else ())
        }
        if wanted is not None:
            if wanted not in known:
                raise NotFound(f"There is no service {wanted!r:.80} here.")
            known = {wanted: known[wanted]}
        return json_answer(_encode(AnyBody("OK", {"services": known})))

    async def _info(self, call: Call[Any, Any]) -> TypeInfo | None:
        return await call.service.type_info(self._type)

    async def _task_id(self, call: Call[TaskQuery, None]) -> str:
        """The id that a token stands for, or that is given in its place. Raises NotFound."""
        token = call.query.token
        return token.removeprefix(PREFIX) if token.startswith(PREFIX) else await call.service.id_of_token(token)

    def _unknown(self, call: Call[Any, Any]) -> Response:
        """The answer about a task that is unknown, to who reads it from the body. Raises TaskNotFound to others."""
        if self._profile(call.principal) != "python":
            raise TaskNotFound
        return json_answer(_encode(error_body(TaskNotFound(), "python")))

    def _profile(self, user: object) -> Profile:
        """Whose words a caller knows."""
        said = user.profile if isinstance(user, Principal) else None
        return next((profile for profile in PROFILES if profile == said), self._own_profile)


def _of_owner(handler: Handler) -> Handler:
    """The handler for a caller of whom only its own tasks are known: the page tells nobody but who has created one."""

    @wraps(handler)
    async def narrowed(call: Call[Any, Any]) -> Response:
        return await handler(call.of_owner())

    return narrowed
