from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from milepost.errors import NotFound, ServiceError
from milepost.http.dialect import BEARER, Call, NoQuery, Operation
from milepost.http.dispatch import Route, Table, Unrouted
from milepost.http.errors import MethodNotAllowed, UnsupportedMediaType


class Words:
    """A dialect of some paths."""

    def __init__(self, name: str, *calls: str) -> None:
        self.name = self.title = name
        self.security = BEARER
        self._calls = [call.split(" ") for call in calls]

    def operations(self) -> Sequence[Operation]:
        return [Operation(method, path, self.answer) for method, path in self._calls]

    async def answer(self, call: Call[NoQuery, None]) -> Response:
        return PlainTextResponse(self.name)

    def credentials(self, request: Request) -> str | None:
        return None

    def problem(self, error: ServiceError, request: Request) -> Response:
        return PlainTextResponse(self.name, 400)


A = Words(
    "a",
    "GET /tasks/{id}",
    "POST /tasks/{id}/execute",
    "DELETE /tasks/{id}",
    "GET /tasks/special",
    "GET /a/{tenant}/x/{id}",
    "GET /",
)
B = Words("b", "PUT /tasks/{token}", "GET /b/tasks:batch", "GET /b/{one}/{two}")
OTHERS = Words("others")
TABLE = Table([A, B], OTHERS)


def found(method: str, path: str, **scope: Any) -> tuple[str, str, dict[str, str]]:
    scope = {"path": path, "raw_path": path.encode(), "root_path": "", **scope}
    route, parameters = TABLE.find(method, scope)
    return route.dialect.name, route.operation.path, dict(parameters)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/tasks/1", ("a", "/tasks/{id}", {"id": "1"})),
        ("HEAD", "/tasks/1", ("a", "/tasks/{id}", {"id": "1"})),
        ("PUT", "/tasks/1", ("b", "/tasks/{token}", {"token": "1"})),
        ("GET", "/tasks/special", ("a", "/tasks/special", {})),
        ("POST", "/tasks/special/execute", ("a", "/tasks/{id}/execute", {"id": "special"})),
        ("GET", "/a/t/x/7", ("a", "/a/{tenant}/x/{id}", {"tenant": "t", "id": "7"})),
        ("GET", "/b/tasks:batch/7", ("b", "/b/{one}/{two}", {"one": "tasks:batch", "two": "7"})),
        ("GET", "/b/tasks:batch", ("b", "/b/tasks:batch", {})),
        ("GET", "/b/tasks%3Abatch", ("b", "/b/tasks:batch", {})),
        ("GET", "/tasks/a%2Fb", ("a", "/tasks/{id}", {"id": "a/b"})),
        ("GET", "/tasks/%C3%BC%20", ("a", "/tasks/{id}", {"id": "ü "})),
        ("GET", "/t%61sks/1", ("a", "/tasks/{id}", {"id": "1"})),
        ("GET", "/", ("a", "/", {})),
        ("GET", "", ("a", "/", {})),
    ],
)
def test_paths_lead_to_operations(method: str, path: str, expected: tuple[str, str, dict[str, str]]) -> None:
    assert found(method, path) == expected


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/tasks/1/", "others"),
        ("/tasks/1/execute/", "a"),
        ("/tasks/", "others"),
        ("/tasks", "others"),
        ("/tasks//execute", "a"),
        ("/b/", "b"),
        ("/b/nothing", "b"),
        ("/nothing", "others"),
        ("//tasks/1", "others"),
        ("/tasks/%FF", "others"),
        ("/b/%FF", "b"),
        ("/tasks/1/execute/more", "a"),
        ("tasks/1", "others"),
        ("x/tasks/1", "others"),
        ("http://localhost/tasks/1", "others"),
        ("*", "others"),
    ],
)
def test_unknown_paths_are_refused_by_whoever_owns_what_is_around(path: str, owner: str) -> None:
    with pytest.raises(Unrouted) as caught:
        found("GET", path)
    assert isinstance(caught.value.error, NotFound)
    assert caught.value.dialect.name == owner


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/tasks/1", ("DELETE", "GET", "PUT", "HEAD")),
        ("GET", "/tasks/1/execute", ("POST",)),
        ("HEAD", "/tasks/1/execute", ("POST",)),
        ("OPTIONS", "/tasks/special", ("GET", "HEAD")),
        ("get", "/tasks/special", ("GET", "HEAD")),
    ],
)
def test_an_unknown_method_is_told_which_there_are(method: str, path: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(Unrouted) as caught:
        found(method, path)
    assert isinstance(caught.value.error, MethodNotAllowed)
    assert caught.value.error.allowed == allowed
    assert caught.value.dialect is A


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/operations/tasks/1", "/operations"),
        ("/tasks/1", "/stripped/by/a/proxy"),
        ("/a/b/tasks/1", "/a/b"),
        ("/a/tasks/1", "/a/"),
        ("/tasks/1", "/"),
    ],
)
def test_what_it_is_mounted_on_is_left_out(path: str, root_path: str) -> None:
    assert found("GET", path, root_path=root_path) == ("a", "/tasks/{id}", {"id": "1"})


def test_what_it_is_mounted_on_may_be_encoded() -> None:
    assert found("GET", "/a%20%C3%BC/tasks/1", root_path="/a ü") == ("a", "/tasks/{id}", {"id": "1"})


def test_a_prefix_ends_at_a_segment() -> None:
    assert found("GET", "/tasks/1", root_path="/task") == ("a", "/tasks/{id}", {"id": "1"})
    assert found("GET", "/operations", root_path="/operations")[1] == "/"


@pytest.mark.parametrize("path", ["/api/v1/operations/tasks/1", "/operations/tasks/1", "/tasks/1"])
def test_a_proxy_before_a_mount_may_have_taken_off_its_own_prefix(path: str) -> None:
    scope = {"root_path": "/api/v1/operations", "app_root_path": "/api/v1"}
    assert found("GET", path, **scope) == ("a", "/tasks/{id}", {"id": "1"})


def test_a_server_may_leave_out_the_raw_path_or_put_the_query_into_it() -> None:
    assert found("GET", "/tasks/ü", raw_path=None)[2] == {"id": "ü"}
    assert found("GET", "/tasks/1", raw_path=b"/tasks/1?a=b")[2] == {"id": "1"}


@pytest.mark.parametrize("call", ["GET /tasks/{number}", "GET /b/{x}/{y}"])
def test_two_dialects_that_answer_the_same_are_both_named(call: str) -> None:
    with pytest.raises(ValueError, match=r"'[ab]' and 'clash' both answer GET"):
        Table([A, B, Words("clash", call)], OTHERS)


@given(st.text(max_size=40), st.sampled_from(["GET", "HEAD", "PATCH", ""]))
def test_any_path_is_found_or_refused(path: str, method: str) -> None:
    raw = f"/{path}".encode(errors="surrogatepass")
    with suppress(Unrouted):
        TABLE.find(method, {"path": f"/{path}", "raw_path": raw, "root_path": ""})


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, b"", None),
        ({"content-length": "0"}, b"", None),
        ({"content-length": "8", "content-type": "application/json"}, b'{"a": 1}', {"a": 1}),
        ({"transfer-encoding": "chunked", "content-type": "application/json"}, b"[]", []),
    ],
)
async def test_a_body_may_be_left_out_where_it_is_optional(headers: dict[str, str], body: bytes, expected: Any) -> None:
    words = Words("words")
    route = Route(words, Operation("POST", "/words", words.answer, body=Any, body_optional=True))
    assert await route.read_body(sent(headers, body)) == expected


@pytest.mark.parametrize(
    "headers", [{}, {"content-length": "0"}, {"content-type": "text/plain", "content-length": "0"}]
)
async def test_a_body_that_is_not_there_is_of_no_media_type(headers: dict[str, str]) -> None:
    words = Words("words")
    optional = "content-type" in headers  # a form without fields, as any page can send it
    route = Route(words, Operation("POST", "/words", words.answer, body=Any, body_optional=optional))
    with pytest.raises(UnsupportedMediaType):
        await route.read_body(sent(headers, b""))


def sent(headers: dict[str, str], body: bytes) -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw}, receive)
