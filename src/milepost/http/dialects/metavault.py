"""How does Metavault speak of background tasks? Its calls begin them, in a project; a task is read, and its result."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from milepost.access.principal import LOCAL
from milepost.errors import Conflict, Fault, Gone, Invalid, NotFound, ServiceError
from milepost.http.credentials import raw_or_bearer
from milepost.http.dialect import Answer, AnyQuery, Call, Handler, Operation, Refusals
from milepost.http.dialects.metavault_shapes import (
    ApiRoot,
    BackgroundTask,
    ProblemDetails,
    hex_id,
    problem_body,
    task_body,
)
from milepost.http.faults import beneath
from milepost.http.files import result_response
from milepost.http.problems import PROBLEM_JSON, headers_of, problem_answers
from milepost.http.rendered import Rendered
from milepost.http.representation import json_answer, representation
from milepost.start import Start
from milepost.task import TYPE_NAME, Task
from milepost.times import parse_duration

API: Final = "/api"
PROJECT: Final = API + "/projects/{projectId}"
TASK: Final = PROJECT + "/tasks/{taskId}"
PREFIXES: Final = ("", "/metavault")
"""The application itself serves `/api`; in production it stands behind a prefix, which its client always names."""

TOKEN: Final = "mvpat-"  # noqa: S105 how the product's API tokens begin

_CALL: Final = re.compile(r"(POST|PUT|PATCH|DELETE) (/api(?:/(?:\{\w+\}|[^/{}?#\s]+))+)")
_PARAMETER: Final = re.compile(r"\{(\w+)\}")

_REFUSALS: Final = Refusals(ProblemDetails, media_type=PROBLEM_JSON, invalid=400)
_encode: Final = msgspec.json.Encoder().encode


class Mapped(NamedTuple):
    """A call of the product's that begins tasks of a type."""

    method: str
    path: str
    type: str


_At = Callable[[Call[Any, Any], str], Awaitable[Response]]
"""A handler that is told beneath which prefix it was asked."""


class Metavault:
    """Metavault's background tasks. They begin as a side effect of other calls: every task type is one, in a project.

        curl -si localhost:8006/api/projects/demo/deploy -H 'content-type: application/json' -d '{"model": "m.json"}'

    The answer has the task's id. Ask for the task until it has ended, then for its result:

        curl -s localhost:8006/api/projects/demo/tasks/$ID
        curl -s localhost:8006/api/projects/demo/tasks/$ID/result

    A project is a tenant. The same is served beneath `/metavault`.
    """

    name = "metavault"
    title = "Metavault"
    security: Mapping[str, Mapping[str, str]] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "token": {"type": "apiKey", "in": "header", "name": "Authorization"},
    }

    def __init__(
        self,
        *,
        calls: Mapping[str, str] | None = None,
        keep_result: str | float = "1h",
        durable: bool = True,
        task_id: str = "taskId",
        types: Mapping[str, str] | None = None,
        prefixes: Sequence[str] = PREFIXES,
    ) -> None:
        """`calls`: further calls that begin tasks, `{"POST /api/environments/{environment}/deploy": "deploy"}`.

        Their path's parameters join the task's input, but for `{projectId}`, which names the tenant; without it that
        is the caller's own. `keep_result`: how long results of tasks that are begun here are kept, as seconds or text.
        `durable`: False has tasks that are begun here cancelled when the server is shut down before they could run.
        `task_id`: under which name a call tells the id of its task. `types`: how task types are shown, where that is
        not by their own names, `{"info": "Info"}`. `prefixes`: before `/api`, wherever it is served. Raises ValueError
        for what is none of these.
        """
        self._calls = [_mapped(call, kind) for call, kind in (calls or {}).items()]
        self._keep_result = parse_duration(keep_result)
        self._durable = durable
        self._task_id = task_id
        self._types = dict(types or {})
        self._prefixes = tuple(prefixes)

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        return [operation for prefix in self._prefixes for operation in self._beneath(prefix)]

    def _beneath(self, prefix: str) -> list[Operation]:
        return [
            *_reading(prefix, _at(self.read, prefix), _at(self.result, prefix)),
            _beginning("POST", prefix + PROJECT + "/{call}", _at(self.begin, prefix)),
            *(_beginning(call.method, prefix + call.path, self._mapped(call, prefix)) for call in self._calls),
            _root(prefix, _at(self.root, prefix)),
        ]

    def credentials(self, request: Request) -> str | None:
        """`Authorization: KEY`, with or without `Bearer` before it, and as a token of the product's, `mvpat-KEY`."""
        key = raw_or_bearer(request)
        return None if key is None else key.removeprefix(TOKEN)

    def problem(self, error: ServiceError, request: Request) -> Response:  # noqa: ARG002 the protocol's
        """Problem details (RFC 7807), with the faults of a request by field."""
        body = problem_body(error)
        headers = {
            "content-type": PROBLEM_JSON,
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        } | headers_of(error)
        return Rendered(_encode(body), body.status, [(n.encode(), v.encode("latin-1")) for n, v in headers.items()])

    async def root(self, call: Call[AnyQuery, None], prefix: str) -> Response:
        """What serves this API."""
        root = ApiRoot(disable_authentication=call.principal == LOCAL, self=call.url(prefix + API))
        return json_answer(_encode(root))

    async def read(self, call: Call[AnyQuery, None], prefix: str) -> Response:
        """Read a background task."""
        here = call.within(call.path["projectId"])
        task = await here.service.get(here.principal, call.path["taskId"])
        user_name = await call.service.keys.display_name(task.owner, task.tenant)
        kind = self._types.get(task.type, task.type)
        path = call.url(prefix + _path(task))
        # A name may change while the record does not.
        named = f"user={blake2b(user_name.encode(), digest_size=4).hexdigest()}"
        body = task_body(task, kind, user_name, path)
        return representation(call, self.name, task, lambda: _encode(body), query=named)

    async def result(self, call: Call[AnyQuery, None], prefix: str) -> Response:  # noqa: ARG002 every handler's
        """Fetch a background task's result."""
        here = call.within(call.path["projectId"])
        try:
            result = await here.service.result(here.principal, call.path["taskId"])
            return await result_response(call.request, result)
        except (Conflict, Gone) as error:
            raise NotFound(error.detail) from error

    async def begin(self, call: Call[AnyQuery, dict[str, Any] | None], prefix: str) -> Response:
        """Begin a background task."""
        return await self._begin(call, prefix, call.path["call"], {})

    def _mapped(self, mapped: Mapped, prefix: str) -> Handler:
        async def begin(call: Call[AnyQuery, dict[str, Any] | None]) -> Response:
            """Begin a background task."""
            said = {name: value for name, value in call.path.items() if name != "projectId"}
            return await self._begin(call, prefix, mapped.type, said)

        return begin

    async def _begin(
        self, call: Call[AnyQuery, dict[str, Any] | None], prefix: str, kind: str, said: Mapping[str, Any]
    ) -> Response:
        """Begin a task of a type; `said` is what the path says of its input."""
        project = call.path.get("projectId")
        info = await call.service.type_info(kind)
        if info is None:
            raise NotFound(f"There is no call {kind!r:.80} here.")
        body = call.body or {}
        if twice := said.keys() & body.keys():
            raise Invalid(*(Fault("The path says this already.", f"/{name}") for name in sorted(twice)))
        here = call if project is None else call.within(project)
        start = Start(
            type=kind,
            input={**body, **_typed(said, info.schema)},
            tenant=project,
            keep_result=self._keep_result,
            # A record that is forgotten before its result would take that along.
            keep_record=None if info.keep_record is None else max(info.keep_record, self._keep_result),
            durable=self._durable,
        )
        try:
            task = (await here.service.start(here.principal, start, origin=self.name)).task
        except Invalid as error:
            raise beneath("/input", _in_these_words(error)) from error
        path = call.url(prefix + _path(task))
        return json_answer(_encode({self._task_id: hex_id(task), "self": path}), 202, [(b"location", path.encode())])


def _mapped(call: str, kind: str) -> Mapped:
    """A call that a setting maps to a task type. Raises ValueError."""
    match = _CALL.fullmatch(call)
    if match is None:
        raise ValueError(f"calls: {call!r:.100} is no call, like 'POST /api/environments/{{environment}}/deploy'.")
    names = _PARAMETER.findall(call)
    if len(set(names)) < len(names):
        raise ValueError(f"calls: {call!r:.100} has two parameters of one name.")
    if not TYPE_NAME.fullmatch(kind):
        raise ValueError(f"calls: {kind!r:.80} is no name of a task type.")
    return Mapped(match[1], match[2], kind)


def _typed(said: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a path says, as numbers and truth values where the type's schema wants those; it refuses what is none."""
    properties = schema.get("properties", {})
    return {name: _value(text) if _is_plain(properties.get(name, {})) else text for name, text in said.items()}


def _is_plain(schema: Mapping[str, Any]) -> bool:
    kinds = {schema.get("type"), *(choice.get("type") for choice in schema.get("anyOf", ()))}
    return bool(kinds & {"integer", "number", "boolean"}) and "string" not in kinds


def _value(text: str) -> Any:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return text
    return value if isinstance(value, bool | int | float) else text


def _at(method: _At, prefix: str) -> Handler:
    """The handler for what is served beneath a prefix."""

    @wraps(method)
    async def handler(call: Call[Any, Any]) -> Response:
        return await method(call, prefix)

    return handler


def _path(task: Task) -> str:
    return f"{API}/projects/{quote(task.tenant, safe='')}/tasks/{hex_id(task)}"


def _in_these_words(error: Invalid) -> Invalid:
    """The refusal of a start, whose tenant the path calls a project."""
    return Invalid(
        *(
            replace(fault, pointer=None, parameter="projectId") if fault.pointer == "/tenant" else fault
            for fault in error.faults
        )
    )


def _reading(prefix: str, read: Handler, result: Handler) -> list[Operation]:
    no_task = "There is no such task in this project, or none that the caller may see."
    return [
        Operation(
            "GET",
            prefix + TASK,
            read,
            summary="Get background task",
            group="Background tasks",
            query=AnyQuery,
            refusals=_REFUSALS,
            answers={200: Answer("The task.", BackgroundTask), 304: Answer("Nothing has changed.", media_type=None)}
            | problem_answers({404: no_task}, ProblemDetails),
        ),
        Operation(
            "GET",
            prefix + TASK + "/result",
            result,
            summary="Get background task result",
            description="The bytes of the result, with the media type that the task gave them.",
            group="Background tasks",
            query=AnyQuery,
            refusals=_REFUSALS,
            answers={
                200: Answer("The result.", media_type="*/*"),
                206: Answer("The range.", media_type="*/*"),
                304: Answer("The client has it.", media_type=None),
            }
            | problem_answers(
                {404: f"{no_task} Or it has no result, not yet or no more.", 416: "There is no such range."},
                ProblemDetails,
            ),
        ),
    ]


def _beginning(method: str, path: str, handler: Handler) -> Operation:
    answer = Answer("The id of the task that does it.", dict[str, str], headers={"Location": "Where the task is."})
    return Operation(
        method,
        path,
        handler,
        summary="Begin a background task",
        description="The body is the task's input, a JSON object that may be left out.",
        group="Calls",
        query=AnyQuery,
        refusals=_REFUSALS,
        body=dict[str, Any],
        body_optional=True,
        answers={202: answer} | problem_answers({404: "There is no such call."}, ProblemDetails),
    )


def _root(prefix: str, handler: Handler) -> Operation:
    return Operation(
        "GET",
        prefix + API,
        handler,
        summary="Get the API's root",
        group="Server",
        public=True,
        query=AnyQuery,
        refusals=_REFUSALS,
        answers={200: Answer("What serves this API.", ApiRoot)},
    )
