"""Which operation answers a request?

One tree over the segments of all dialects' paths: a look-up is one step a segment, however many operations there are.
A literal segment is preferred to a parameter. A trailing slash is a segment too, an empty one, and leads nowhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import Scope

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.errors import NotFound
from milepost.http.body import BodyReader, is_without_body
from milepost.http.dialect import Dialect, Operation
from milepost.http.errors import NO_SUCH_PATH, MethodNotAllowed
from milepost.http.lines import LineReader
from milepost.http.query import QueryReader
from milepost.http.upload import UploadReader


class Route:
    """An operation, with what reads its requests."""

    def __init__(self, dialect: Dialect, operation: Operation, limits: Limits = DEFAULT_LIMITS) -> None:
        self.dialect = dialect
        self.operation = operation
        self.query = QueryReader(operation.query)
        reader = UploadReader if operation.takes_files else LineReader if operation.lines else BodyReader
        self._body = None if operation.body is None else reader(operation.body, operation.media_types, limits)
        self.parameters = [
            (segment[1:-1], index) for index, segment in enumerate(split(operation.path)) if _is_parameter(segment)
        ]

    async def read_body(self, request: Request) -> Any:
        """What the operation's body decodes to; None where it names none, or may do without and does."""
        if self._body is None or (self.operation.body_optional and is_without_body(request)):
            return None
        return await self._body.read(request)


@dataclass
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    routes: dict[str, Route] = field(default_factory=dict)
    """By method."""

    def beneath(self) -> Iterator[Route]:
        """All routes from here on."""
        yield from self.routes.values()
        for node in (*self.literals.values(), *((self.parameter,) if self.parameter else ())):
            yield from node.beneath()


class Unrouted(Exception):
    """No operation answers this; `dialect` is the one whose words the refusal is said in."""

    def __init__(self, dialect: Dialect, error: NotFound | MethodNotAllowed) -> None:
        self.dialect = dialect
        self.error = error
        super().__init__(error.detail)


class Table:
    """The operations of some dialects.

    `otherwise` words the refusal of paths that no dialect can claim. `limits` bound what is read of bodies. Raises
    ValueError, naming both dialects, when two answer the same method on the same path.
    """

    def __init__(self, dialects: Sequence[Dialect], otherwise: Dialect, limits: Limits = DEFAULT_LIMITS) -> None:
        self._root = _Node()
        self._otherwise = otherwise
        for dialect in dialects:
            for operation in dialect.operations():
                self._add(Route(dialect, operation, limits))

    def _add(self, route: Route) -> None:
        operation = route.operation
        node = self._root
        for segment in split(operation.path):
            if not _is_parameter(segment):
                node = node.literals.setdefault(segment, _Node())
            else:
                node.parameter = node.parameter or _Node()
                node = node.parameter
        other = node.routes.setdefault(operation.method, route)
        if other is not route:
            raise ValueError(
                f"The dialects {other.dialect.name!r} and {route.dialect.name!r} both answer "
                f"{operation.method} {operation.path} (as {other.operation.path})."
            )

    @property
    def beginnings(self) -> frozenset[str]:
        """The first segments of its paths, as far as they are fixed."""
        return frozenset(self._root.literals)

    def find(self, method: str, scope: Scope) -> tuple[Route, Mapping[str, str]]:
        """The route of a request and its path's parameters. HEAD is answered as GET. Raises Unrouted."""
        try:
            segments = self._segments(scope)
        except UnicodeDecodeError:
            owner = self._owner(self._segments(scope, errors="replace"))
            raise Unrouted(owner, NotFound(NO_SUCH_PATH)) from None
        node = _walk(self._root, segments)
        if node is None:
            raise Unrouted(self._owner(segments), NotFound(NO_SUCH_PATH))
        route = node.routes.get(method) or (node.routes.get("GET") if method == "HEAD" else None)
        if route is None:
            allowed = sorted(node.routes) + (["HEAD"] if "GET" in node.routes else [])
            raise Unrouted(next(iter(node.routes.values())).dialect, MethodNotAllowed(method, allowed))
        return route, {name: segments[index] for name, index in route.parameters}

    def _segments(self, scope: Mapping[str, Any], errors: str = "strict") -> list[str]:
        """The decoded segments of a request's path beneath what the application is mounted on.

        Split before decoding, so that an encoded slash is part of a segment. Raises UnicodeDecodeError for what is not
        UTF-8, unless `errors` says otherwise.
        """
        raw: bytes | None = scope.get("raw_path")
        path: str = scope["path"] if raw is None else raw.partition(b"?")[0].decode("latin-1")
        if path and not path.startswith("/"):
            return ["", path]  # no path, but what some parsers take for one, such as `x/v1`: nothing is found there
        segments = path.split("/")[1:]
        if raw is not None and "%" in path:
            segments = [unquote(segment, errors=errors) for segment in segments]
        if scope.get("root_path"):
            segments = self._beneath(scope, segments)
        return [] if segments == [""] else segments

    def _beneath(self, scope: Mapping[str, Any], segments: list[str]) -> list[str]:
        """What follows the prefix of a proxy, and that of a mount, which `root_path` names both."""
        mounted = split(scope["root_path"].rstrip("/"))
        proxy = split(scope.get("app_root_path", "").rstrip("/"))  # told by Starlette's Mount
        if proxy == mounted and proxy and proxy[0] in self._root.literals:
            return segments  # a path of ours begins like it: it names what the proxy has taken off, as is usual
        for prefix in (mounted, mounted[len(proxy) :]):  # the proxy may have taken its own off already
            if segments[: len(prefix)] == prefix:
                return segments[len(prefix) :]
        return segments

    def _owner(self, segments: list[str]) -> Dialect:
        """The only dialect that has paths beneath the known part of this one, if there is but one."""
        node = self._root
        for segment in segments:
            known = node.literals.get(segment) or node.parameter
            if known is None:
                break
            node = known
        owners = {id(route.dialect): route.dialect for route in node.beneath()} if node is not self._root else {}
        return owners.popitem()[1] if len(owners) == 1 else self._otherwise


def split(path: str) -> list[str]:
    """The segments of a path; none for the root."""
    return path.split("/")[1:] if path not in ("", "/") else []


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def _walk(node: _Node, segments: list[str], start: int = 0) -> _Node | None:
    """The node at the end of the segments from `start` on that has routes."""
    for index in range(start, len(segments)):
        segment = segments[index]
        literal = node.literals.get(segment)
        if node.parameter is None or not segment:
            if literal is None:
                return None
            node = literal
        else:
            found = None if literal is None else _walk(literal, segments, index + 1)
            if found is not None:
                return found
            node = node.parameter
    return node if node.routes else None
