"""What is a dialect: one published wire contract, in one file?

A dialect lists its operations and words its errors. Everything between the socket and the service is done for it: the
query and the body arrive as the structs that its operations name, and what is wrong with them is refused before it is
called. The same structs make its OpenAPI document.

    class Plain:
        name = "plain"
        title = "Plain"
        security = {"key": {"type": "apiKey", "in": "header", "name": "X-Plain-Key"}}

        def operations(self) -> list[Operation]:
            return [Operation("GET", "/plain/{id}", self.read, summary="Read a task's state")]

        async def read(self, call: Call[NoQuery, None]) -> Response:
            task = await call.service.get(call.principal, call.path["id"])
            return PlainTextResponse(task.state)

        def credentials(self, request: Request) -> str | None:
            return request.headers.get("x-plain-key")

        def problem(self, error: ServiceError, request: Request) -> Response:
            return PlainTextResponse(error.detail, status_of(error), headers_of(error))
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Generic, Protocol, Self, TypeVar
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from milepost.access.principal import Principal
from milepost.errors import ServiceError
from milepost.http.forwarded import PUBLIC
from milepost.http.stopping import Stopping
from milepost.http.throttle import Share
from milepost.http.waiting import interrupted
from milepost.service import Service
from milepost.task import Task
from milepost.times import SECOND

JSON: Final = "application/json"
RESULTS: Final = "/results/"
"""Beneath this path every application serves results to who has a link to them."""

BEARER: Final[Mapping[str, Mapping[str, str]]] = {"bearer": {"type": "http", "scheme": "bearer"}}
"""For documents: `Authorization: Bearer KEY`."""

Q = TypeVar("Q", bound=msgspec.Struct, covariant=True)
B = TypeVar("B", covariant=True)


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No query parameters."""


class AnyQuery(msgspec.Struct, frozen=True):
    """Query parameters have no meaning, and are let pass: products' clients send some of their own."""


class Call(msgspec.Struct, Generic[Q, B], frozen=True, gc=False):
    """One request on its way to an operation, read and admitted."""

    request: Request
    service: Service
    principal: Principal
    path: Mapping[str, str]
    """The path's parameters, decoded."""
    query: Q
    body: B
    """What the operation's `body` decodes to; None where it names none."""
    stopping: Stopping
    """Set once the server is about to stop: what takes long should come to an end."""
    share: Share
    """How much of the server the caller may take."""
    still_admitted: Callable[[Request], Awaitable[None]]
    """See `check`."""

    def url(self, path: str) -> str:
        """Where a path of this application is for the client: beneath its public URL, or whatever it is mounted on."""
        scope = self.request.scope
        if PUBLIC in scope:
            return f"{scope[PUBLIC].path}{path}"
        prefix = scope.get("root_path", "")
        return quote(prefix) + path if prefix else path

    def address(self, path: str) -> str:
        """The whole URL of a path of this application, by its public URL, else by the host that the client named."""
        public = self.request.scope.get(PUBLIC)
        asked = self.request.url
        origin = f"{asked.scheme}://{asked.netloc}" if public is None else public.origin
        return f"{origin}{self.url(path)}"

    def within(self, tenant: str) -> Self:
        """The call of the same caller with its rights in this tenant only: for paths that name one."""
        return msgspec.structs.replace(self, principal=self.principal.within(tenant))

    def of_owner(self) -> Self:
        """The call of the same caller with its own tasks only: where nobody else is told of one. A service sees all."""
        return msgspec.structs.replace(self, principal=self.principal.as_owner())

    async def download(self, task: Task) -> str:
        """The URL of a task's result for who has it, and nothing else, for an hour. See `Service.link`."""
        link = await self.service.link(self.principal, task.id)
        return self.address(RESULTS + link)

    async def check(self) -> None:
        """Whether the caller may still ask this: to be asked whenever a call that lasts goes on. Raises ServiceError.

        A key that was revoked, or has expired, since it was admitted is not to see or to do anything more.
        """
        await self.still_admitted(self.request)

    async def wait(self, task_id: str, *, timeout: int, version: int | None = None, until_end: bool = False) -> Task:
        """`Service.wait`, for as long as the server's limits let it, cut short with the present record when it stops.

        Raises TooMany, ClientDisconnect when the client leaves meanwhile, and as `check` does.
        """
        timeout = min(timeout, self.service.limits.wait * SECOND)
        with self.share.place():
            waiting = self.service.wait(self.principal, task_id, timeout=timeout, version=version, until_end=until_end)
            task = await interrupted(waiting, self.request.scope, self.request.receive, self.stopping)
        await self.check()
        return task or await self.service.get(self.principal, task_id)


@dataclass(frozen=True)
class Answer:
    """What an operation answers with one status: for people, and for the OpenAPI document."""

    description: str
    body: Any = None
    """The type that is rendered; None for no body, or one that is not JSON."""
    _: KW_ONLY
    media_type: str | None = JSON
    """None: there is no body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What further response headers say, by name."""
    certain: Collection[str] = ()
    """Which of these headers there are each time."""
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For documents: where it leads, as the ids of operations, each with what fills its parameters (OpenAPI's runtime
    expressions)."""


@dataclass(frozen=True)
class Refusals:
    """How a dialect's `problem` tells refusals: for documents."""

    body: type
    """That is rendered."""
    _: KW_ONLY
    media_type: str = JSON
    invalid: int = 422
    """The status of a request in which something is wrong, `milepost.errors.Invalid`."""


Handler = Callable[[Call[Any, Any]], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """One method on one path."""

    method: str
    path: str
    """Such as `/v1/tasks/{id}/cancel`; a parameter is a whole segment."""
    handler: Handler
    """Called with the request once it is read; raises `ServiceError` for what it refuses."""
    _: KW_ONLY
    summary: str = ""
    description: str = ""
    group: str = ""
    """Heading under which it is documented."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Types of the path's parameters that are not just strings, by name. For documents: the handler gets text."""
    query: type[msgspec.Struct] = NoQuery
    """Its configuration decides whether unknown parameters are refused. Lists may be repeated or comma-separated."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Types of the request headers that it heeds, by name. For documents: the handler reads the request."""
    body: Any = None
    """The type that the body, JSON, is decoded to. None: the handler reads the request itself, if anything."""
    body_optional: bool = False
    """Whether there may be no body at all, for which the handler gets None."""
    media_types: Sequence[str] = (JSON,)
    """Of the body. Others than JSON without a `body`: of what the handler reads itself."""
    lines: bool = False
    """Whether the body is many lines, each of that type: the handler gets `milepost.http.lines.Lines`."""
    takes_files: bool = False
    """Whether the body may be a file instead, which the handler gets as an `Upload`; see `milepost.http.upload`."""
    answers: Mapping[int, Answer] = field(default_factory=dict)
    """What it answers itself. What any operation like it may be refused with comes from `refusals`."""
    refusals: Refusals | None = None
    """How refusals look; None: its document does not say."""
    changes: bool | None = None
    """Whether it changes something; by default, whether its method may."""
    public: bool = False
    """Whether it answers everybody, also who shows no key."""
    caller: Principal | None = None
    """Whom a program on this machine that shows no key is taken for; None: it needs one, once there is any."""

    @property
    def changes_something(self) -> bool:
        """Whether a web page that is not ours must be kept from calling it."""
        return self.changes if self.changes is not None else self.method not in ("GET", "HEAD")


class Dialect(Protocol):
    """One wire contract. Holds no rule and never touches the store: it parses, asks the service and renders."""

    @property
    def name(self) -> str:
        """Names its OpenAPI document, and the `origin` of tasks started in it. Lower case."""
        ...

    @property
    def title(self) -> str:
        """What people call it."""
        ...

    @property
    def security(self) -> Mapping[str, Mapping[str, str]]:
        """How its clients show a key, for documents: OpenAPI's security schemes by name. One of them is enough."""
        ...

    def operations(self) -> Sequence[Operation]:
        """All that it answers."""
        ...

    def credentials(self, request: Request) -> str | None:
        """The secret that the caller shows, in whatever way this dialect's clients send it; None for none."""
        ...

    def problem(self, error: ServiceError, request: Request) -> Response:
        """A refusal in its words. `milepost.http.problems` knows the usual status and headers of each."""
        ...


class Authenticator(Protocol):
    """Decides who is asking. It is asked again while a call lasts: who is nobody then, or somebody else, is cut off."""

    async def __call__(self, request: Request, operation: Operation, credentials: str | None) -> Principal:
        """The caller, admitted to the operation. Raises ServiceError, such as Unauthenticated, to refuse."""
        ...
