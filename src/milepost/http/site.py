"""Which pages are about the server itself? Health, readiness, metrics, and what it can do: for people and programs.

A dialect like any other, so that one table finds everything; it also words the refusal of paths that are nobody's.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from milepost import __version__
from milepost.access.principal import LOCAL
from milepost.errors import NotFound, ServiceError
from milepost.http.credentials import bearer
from milepost.http.dialect import BEARER, JSON, RESULTS, Answer, Call, Dialect, Handler, NoQuery, Operation
from milepost.http.files import result_response
from milepost.http.health import METRICS_TEXT, Readiness, metrics, readiness
from milepost.http.openapi import Json, document
from milepost.http.openapi30 import downgraded
from milepost.http.problems import PROBLEM_JSON, REFUSALS, TYPES, Problem, problem_details
from milepost.http.reference import PAGE_HEADERS, page

OLDER: Final = "-3.0"
"""After a dialect's name: its document as OpenAPI 3.0."""
NO_STORE: Final = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


class Live(msgspec.Struct, frozen=True):
    """That the process lives, and which Milepost it is."""

    live: bool
    version: str


class Site:
    """Health and documents of an application that speaks these dialects, the first of them where none is named.

    `open_mode` says whether everybody on this machine may call just now.
    """

    name = "site"
    title = "Milepost"
    security = BEARER

    def __init__(self, dialects: Sequence[Dialect], *, open_mode: Callable[[], Awaitable[bool]]) -> None:
        self._dialects = {dialect.name: dialect for dialect in dialects}
        self._first = dialects[0].name
        self._open_mode = open_mode
        self.is_leaving = False
        """Whether the server is about to stop, so that new clients had better go elsewhere."""
        self._document = lru_cache(maxsize=64)(self._make_document)

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        return [*self._for_people(), *self._for_programs()]

    def credentials(self, request: Request) -> str | None:
        """`Authorization: Bearer KEY` (RFC 6750)."""
        return bearer(request)

    def problem(self, error: ServiceError, request: Request) -> Response:  # noqa: ARG002 the protocol's
        """Problem details (RFC 9457)."""
        return problem_details(error)

    def _for_people(self) -> list[Operation]:
        return [
            Operation("GET", "/", self.home, public=True),
            Operation("GET", "/docs", self.reference, public=True),
            Operation("GET", "/docs/{dialect}", self.reference, public=True),
            Operation("GET", TYPES + "{code}", self.problem_type, public=True),
            Operation("GET", RESULTS + "{link}", self.result, public=True),
        ]

    def _for_programs(self) -> list[Operation]:
        spec = {200: Answer("The document.", Json)}
        unready = "The store does not answer, or the server is about to stop."
        ready = {200: Answer("They can.", Readiness), 503: Answer(unready, Readiness)}
        figures = {200: Answer("Tasks by type and state, and workers, for Prometheus.", media_type="text/plain")}
        return [
            _operation(
                "/healthz", self.live, "Liveness", "Whether the process lives.", {200: Answer("It does.", Live)}
            ),
            _operation("/readyz", self.ready, "Readiness", "Whether requests can be answered.", ready),
            _operation("/metrics", self.metrics, "Metrics", "", figures, public=False),
            _operation("/openapi.json", self.openapi, "OpenAPI document", "", spec),
            _operation(
                "/openapi/{document}",
                self.openapi,
                "OpenAPI document of a dialect",
                "`document` is the dialect's name and `.json`; with `-3.0.json` it is written as OpenAPI 3.0.",
                spec | {404: Answer("There is no such dialect.", Problem, media_type=PROBLEM_JSON)},
            ),
        ]

    async def live(self, call: Call[NoQuery, None]) -> Response:  # noqa: ARG002 every handler's
        """Whether the process lives."""
        return _json(Live(True, __version__))

    async def ready(self, call: Call[NoQuery, None]) -> Response:
        """Whether requests can be answered."""
        found = await readiness(call.service, open_mode=self._open_mode, is_leaving=self.is_leaving)
        return _json(found) if found.ready else _json(found, 503, {"retry-after": "1"})

    async def metrics(self, call: Call[NoQuery, None]) -> Response:
        """Figures for Prometheus."""
        return Response(await metrics(call.service, call.principal), headers=NO_STORE, media_type=METRICS_TEXT)

    async def home(self, call: Call[NoQuery, None]) -> Response:
        """To the reference."""
        return RedirectResponse(call.url("/docs"))

    async def reference(self, call: Call[NoQuery, None]) -> Response:
        """The reference, to read."""
        name = call.path.get("dialect", self._first)
        body = page(self._written(name, call), list(self._dialects.values()), name, call.url(""))
        return Response(body, headers=PAGE_HEADERS)

    async def problem_type(self, call: Call[NoQuery, None]) -> Response:
        """What a problem's type means."""
        return RedirectResponse(call.url(f"/docs#problem-{call.path['code']}"))

    async def result(self, call: Call[NoQuery, None]) -> Response:
        """The result that a link leads to: whoever has the link needs no key."""
        return await result_response(call.request, await call.service.linked_result(call.path["link"]))

    async def openapi(self, call: Call[NoQuery, None]) -> Response:
        """The OpenAPI document."""
        document = call.path.get("document", f"{self._first}.json")
        name = document.removesuffix(".json")
        if name == document:
            like = f"{self._first}.json, or {self._first}{OLDER}.json for OpenAPI 3.0"
            raise NotFound(f"There is no {document!r} here; documents are named like {like}.")
        written = self._written(name.removesuffix(OLDER), call)
        return _json(downgraded(written) if name.endswith(OLDER) else written)

    def _written(self, name: str, call: Call[NoQuery, None]) -> Json:
        if name not in self._dialects:
            raise NotFound(f"No dialect {name!r} is spoken here.")
        # Whoever is known by a key is somebody else, and so is nobody.
        return self._document(name, call.url("") or "/", is_open=call.principal == LOCAL)

    def _make_document(self, name: str, server: str, *, is_open: bool) -> Json:
        dialect = self._dialects[name]
        own = self._for_programs() if name == self._first else ()
        return document(dialect, [*dialect.operations(), *own], server=server, is_open=is_open)


def _operation(
    path: str, handler: Handler, summary: str, description: str, answers: dict[int, Answer], *, public: bool = True
) -> Operation:
    return Operation(
        "GET",
        path,
        handler,
        summary=summary,
        description=description,
        group="Server",
        answers=answers,
        public=public,
        refusals=REFUSALS,
    )


def _json(value: object, status: int = 200, headers: Mapping[str, str] = NO_STORE) -> Response:
    return Response(msgspec.json.encode(value), status, {**NO_STORE, **headers}, JSON)
