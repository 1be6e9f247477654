"""How does CloudCoin speak of tasks? A command begins one, and clients poll it until it is completed or in error."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from milepost.access.bound import bound
from milepost.errors import Invalid, NotFound, ServiceError, TooMany, TooManyWrongKeys
from milepost.http.credentials import raw_or_bearer
from milepost.http.dialect import Answer, AnyQuery, Call, Handler, Operation, Refusals
from milepost.http.faults import beneath, field_name
from milepost.http.problems import headers_of, status_of
from milepost.http.representation import json_answer, representation
from milepost.start import Start
from milepost.task import FileResult, State, Task

TASKS: Final = "/api/v1/tasks/{id}"
ALIASES: Final = ("/get-task-status/{id}", "/api/v1/get-task-status/{id}")
"""The page does not say whether its alias stands at the root or beneath the base path."""
FLAT: Final = "/api/v1/task/{id}"
COMMANDS: Final = "/api/v1/"

OTHER_NAMES: Final[Mapping[str, str]] = {
    "create-wallet-backup": "backup",
    "consolidate-coins": "join",
    "deposit-coins-to-locker": "locker",
    "import-coins-from-file": "convert",
}
"""The aliases that the product's pages give to commands."""

STARTED: Final = "Command Started"
PROCESSING: Final = "Processing..."
COMPLETED: Final = "Command Completed"
CANCELLED: Final = "The task was cancelled."

Status: TypeAlias = Literal["running", "completed", "error"]
_STATUSES: Final[Mapping[State, Status]] = {
    State.SUCCEEDED: "completed",
    State.FAILED: "error",
    State.CANCELLED: "error",
}
"""All others are running."""
_ASKED: Final = re.compile(r"/(?:(?:api/v1/)?get-task-status|api/v1/(?:tasks|(?P<flat>task)))/(?P<id>[^/]+)/?\Z")
_PERCENT: Final = 100
_ROUNDING: Final = 1e-9
"""What binary fractions may lack of a whole percent."""

_encode: Final = msgspec.json.Encoder().encode

_ANY_DATA: Final = {"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "null"}]}


class TaskPayload(msgspec.Struct, kw_only=True, gc=False):
    """How far a task is; of a refusal, one that ends whatever polls."""

    id: Annotated[str, Meta(description="The task's GUID; of a refusal, what was asked for.")]
    status: Status
    progress: Annotated[int, Meta(ge=0, le=_PERCENT, description="Percent.")]
    message: Annotated[str, Meta(description="How far it is, or what went wrong.")]
    data: Annotated[
        Any | UnsetType,
        Meta(
            description="The result of a completed task: an object, a text, or other JSON written as text. A file is "
            "an object with name, media_type, size (bytes), sha256 and url.",
            extra_json_schema=_ANY_DATA,
        ),
    ] = UNSET


class Envelope(msgspec.Struct, gc=False):
    """An answer: whether the call itself succeeded, and the task."""

    status: Literal["success", "error"]
    payload: TaskPayload


class FileData(msgspec.Struct):
    """A result that is a file. The URL leads to it for an hour, without credentials."""

    name: str
    media_type: str
    size: int
    sha256: str
    url: str


class CloudCoin:
    """CloudCoin's commands and their tasks. A command is a task type, its arguments are the task's input:

        curl -s localhost:8006/api/v1/backup -H 'content-type: application/json' -d '{"folder": "documents"}'

    The answer is the task. Ask for it every few seconds until its status is `completed` or `error`:

        curl -s localhost:8006/api/v1/tasks/$ID

    Whatever is refused is answered in the same shape, as a task in `error`, so that nobody polls for ever.
    """

    name = "cloudcoin"
    title = "CloudCoin"
    security: Mapping[str, Mapping[str, str]] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "Authorization"},
    }

    def __init__(
        self,
        *,
        dashed: bool = True,
        null_data: bool = True,
        flat_task: bool = True,
        tenant: str | None = None,
        caller: str | None = None,
        other_names: Mapping[str, str] = OTHER_NAMES,
    ) -> None:
        """`dashed`: ids with dashes, as in all of the page's samples; else 32 characters, as its text says.

        `null_data`: `data` is null until the task is completed, as in the sample; else it is absent. `flat_task`:
        `/api/v1/task/{id}` answers without the envelope, as in an older edition of the page. `tenant`: where
        commands run, since no path names one; by default the caller's own. `caller`: `NAME@TENANT`, whom programs on
        this machine are taken for that show no key, as the product's own do: a user of this tenant. By default they
        are refused once there is a key. `other_names`: further names of commands, which are answered at the root too.
        Raises ValueError for a caller that is none, or of another tenant.
        """
        self._dashed = dashed
        self._no_data = None if null_data else UNSET
        self._flat_task = flat_task
        self._tenant = tenant
        self._caller = None if caller is None else bound(caller)
        if self._caller is not None and tenant not in (None, self._caller.home):
            raise ValueError(f"caller: {caller!r:.80} is of another tenant than {tenant!r:.80}, where commands run.")
        self._other_names = dict(other_names)

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        flat = self.read_flat if self._flat_task else self.read
        commands = {COMMANDS + "{command}": self.start} | {
            f"/{other}": self._starting(command) for other, command in self._other_names.items()
        }
        found = [
            *(_reading(path, self.read, Envelope) for path in (TASKS, *ALIASES)),
            _reading(FLAT, flat, TaskPayload if self._flat_task else Envelope),
            *(_beginning(path, handler) for path, handler in commands.items()),
        ]
        return [replace(operation, caller=self._caller) for operation in found]

    def credentials(self, request: Request) -> str | None:
        """`Authorization: KEY`, with or without `Bearer` before it; the product itself asks for none."""
        return raw_or_bearer(request)

    def problem(self, error: ServiceError, request: Request) -> Response:
        """A refusal as a task in error: pollers that heed no status code, and expect a payload, stop as well.

        Who polls too often is told nothing of how the task stands, and may go on; not so who has no right to know.
        """
        goes_on = isinstance(error, TooMany) and not isinstance(error, TooManyWrongKeys)
        asked = _ASKED.search(_path(request))
        is_flat = asked is not None and asked["flat"] is not None and self._flat_task
        payload = TaskPayload(
            id="" if asked is None else unquote(asked["id"], errors="replace"),
            status="running" if asked is not None and goes_on else "error",
            progress=0,
            message=_said(error),
            data=self._no_data,
        )
        body = _encode(payload if is_flat else Envelope("error", payload))
        headers = [(name.encode(), value.encode("latin-1")) for name, value in headers_of(error).items()]
        return json_answer(body, status_of(error), headers)

    async def read(self, call: Call[AnyQuery, None]) -> Response:
        """Read a task."""
        return await self._answer(call, await call.service.get(call.principal, call.path["id"]))

    async def read_flat(self, call: Call[AnyQuery, None]) -> Response:
        """Read a task, without the envelope."""
        return await self._answer(call, await call.service.get(call.principal, call.path["id"]), flat=True)

    async def start(self, call: Call[AnyQuery, dict[str, Any] | None]) -> Response:
        """Carry out a command."""
        name = call.path["command"]
        return await self._start(call, self._other_names.get(name, name))

    def _starting(self, command: str) -> Handler:
        async def start_alias(call: Call[AnyQuery, dict[str, Any] | None]) -> Response:
            """Carry out a command by its other name."""
            return await self._start(call, command)

        return start_alias

    async def _start(self, call: Call[AnyQuery, dict[str, Any] | None], command: str) -> Response:
        if await call.service.type_info(command) is None:
            raise NotFound(f"There is no command {command!r:.80} here.")
        wanted = Start(type=command, input=call.body or {}, tenant=self._tenant)
        try:
            created = await call.service.start(call.principal, wanted, origin=self.name)
        except Invalid as error:
            raise beneath("/input", error) from error
        return await self._answer(call, created.task)

    async def _answer(self, call: Call[Any, Any], task: Task, *, flat: bool = False) -> Response:
        data, link = await self._data(call, task)
        payload = TaskPayload(
            id=task.id if self._dashed else task.id.replace("-", ""),
            status=_STATUSES.get(task.state, "running"),
            progress=percent(task.progress),
            message=_message(task),
            data=data,
        )
        body = payload if flat else Envelope("success", payload)
        return representation(call, self.name, task, lambda: _encode(body), query=link)

    async def _data(self, call: Call[Any, Any], task: Task) -> tuple[Any, str]:
        """What a completed task gives, and what in it changes while the record does not: the link to a file."""
        if isinstance(file := task.result, FileResult):
            url = await call.download(task)
            return FileData(file.name, file.media_type, file.size, file.sha256, url), f"link={url[-8:]}"
        value = await call.service.value(call.principal, task)
        return self._no_data if value is None else data_of(value), ""


def data_of(value: msgspec.Raw) -> msgspec.Raw | str | None:
    """A result as an object or a text, which its clients expect: null is none, and any other value JSON text."""
    written = bytes(value)
    if written.startswith((b"{", b'"')):
        return value
    return None if written == b"null" else written.decode()


def percent(progress: float) -> int:
    """The whole percent of a progress from 0 to 1 that have been reached: an integer, as its Go clients take nothing
    else.
    """
    return int(progress * _PERCENT + _ROUNDING)


def _reading(path: str, handler: Handler, body: Any) -> Operation:
    return Operation(
        "GET",
        path,
        handler,
        summary="Read a task",
        description="Meant to be asked every 2 to 3 seconds.",
        group="Tasks",
        query=AnyQuery,
        answers={200: Answer("How far it is.", body), 304: Answer("Nothing has changed.", media_type=None)}
        | _refusals(body, {404: "There is no such task, or none that the caller may see."}),
        refusals=Refusals(body),
    )


def _beginning(path: str, handler: Handler) -> Operation:
    return Operation(
        "POST",
        path,
        handler,
        summary="Carry out a command",
        description="The command is a task type; the body its arguments, a JSON object that may be left out.",
        group="Commands",
        query=AnyQuery,
        body=dict[str, Any],
        body_optional=True,
        answers={200: Answer("The task that does it.", Envelope)}
        | _refusals(Envelope, {404: "There is no such command."}),
        refusals=Refusals(Envelope),
    )


def _refusals(body: Any, texts: Mapping[int, str]) -> dict[int, Answer]:
    return {status: Answer(text, body) for status, text in texts.items()}


def _message(task: Task) -> str:
    if task.failure is not None:
        return task.failure.message
    if task.state is State.CANCELLED:
        return CANCELLED
    if task.message:
        return task.message
    if task.state is State.SUCCEEDED:
        return COMPLETED
    return PROCESSING if task.progress or task.counts.done else STARTED


def _said(error: ServiceError) -> str:
    """What is refused, with the arguments as the client writes them: `items[0].data`, not `/items/0/data`."""
    if not isinstance(error, Invalid):
        return error.detail
    told = []
    for fault in error.faults:
        name = fault.parameter or field_name(fault.pointer or "")
        told.append(f"{name}: {fault.detail}" if name else fault.detail)
    return " ".join(told)


def _path(request: Request) -> str:
    """The request's path as it was sent, beneath what the application is mounted on."""
    scope = request.scope
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"] if raw is None else raw.partition(b"?")[0].decode("latin-1")
    return path
