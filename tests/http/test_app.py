import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from milepost.access.principal import LOCAL, Grant, Principal, Role
from milepost.errors import NotFound, ServiceError, Unauthenticated
from milepost.http.app import HttpApp
from milepost.http.dialect import BEARER, Call, Dialect, NoQuery, Operation
from milepost.http.dialects.native import Native
from milepost.http.problems import headers_of, status_of
from milepost.service import Service
from milepost.store.refusals import StoreBusy, StoreFull

from .conftest import Tasks, Watched, http_app, in_memory, served


class Query(msgspec.Struct, frozen=True):
    loud: bool = False


class Plain:
    """A dialect that a user wrote, in plain text."""

    name = "plain"
    title = "Plain"
    security = BEARER

    def operations(self) -> Sequence[Operation]:
        return [
            Operation("GET", "/plain/{id}", self.read, query=Query),
            Operation("POST", "/plain/{id}", self.fail, media_types=("text/plain",)),
            Operation("PUT", "/plain/{id}/echo", self.echo, body=dict[str, int]),
        ]

    async def read(self, call: Call[Query, None]) -> Response:
        task = await call.service.get(call.principal, call.path["id"])
        return PlainTextResponse(task.state.upper() if call.query.loud else task.state)

    async def fail(self, call: Call[NoQuery, None]) -> Response:
        match (await call.request.body()).decode():
            case "busy":
                raise StoreBusy
            case "full":
                raise StoreFull
            case "gone":
                raise ClientDisconnect
            case other:
                raise LookupError(f"secret {other}")

    async def echo(self, call: Call[NoQuery, dict[str, int]]) -> Response:
        return PlainTextResponse(str(call.body))

    def credentials(self, request: Request) -> str | None:
        return request.headers.get("x-plain-key")

    def problem(self, error: ServiceError, request: Request) -> Response:
        return PlainTextResponse(f"{error.detail} ({request.url.path})", status_of(error), headers_of(error))


@pytest.fixture
def plain(service: Service) -> HttpApp:
    """The application with both dialects."""
    return http_app(service, Native(), Plain())


def test_a_user_s_dialect_is_a_dialect() -> None:
    dialect: Dialect = Plain()
    assert dialect.title == "Plain"


async def test_dialects_show_the_same_task_side_by_side(plain: HttpApp, tasks: Tasks) -> None:
    task = await tasks.start()
    async with in_memory(plain) as client:
        assert (await client.get(f"/plain/{task.id}")).text == "queued"
        assert (await client.get(f"/plain/{task.id.replace('-', '').upper()}?loud=1&more=x")).text == "QUEUED"
        assert (await client.get(f"/v1/tasks/{task.id}")).json()["state"] == "queued"
        assert (await client.put("/plain/1/echo", json={"a": 1})).text == "{'a': 1}"


async def test_each_refuses_in_its_own_words(plain: HttpApp) -> None:
    async with in_memory(plain) as client:
        unknown = await client.get("/plain/1")
        assert (unknown.status_code, unknown.text) == (404, "There is no such task. (/plain/1)")
        wrong = await client.put("/plain/1/echo", json={"a": "b"})
        assert (wrong.status_code, wrong.headers["content-type"]) == (422, "text/plain; charset=utf-8")
        method = await client.delete("/plain/1")
        assert (method.status_code, method.headers["allow"]) == (405, "GET, POST, HEAD")
        assert method.headers["content-type"] == "text/plain; charset=utf-8"
        assert (await client.get("/plain/1/2/3")).headers["content-type"] == "text/plain; charset=utf-8"
        assert (await client.get("/v1/nothing")).headers["content-type"] == "application/problem+json"
        assert (await client.get("/nothing")).headers["content-type"] == "application/problem+json"


def test_dialects_that_clash_are_found_out_at_the_start(service: Service) -> None:
    class Clash(Plain):
        name = "clash"

    with pytest.raises(ValueError, match="'plain' and 'clash'"):
        http_app(service, Plain(), Clash())


async def test_what_goes_wrong_is_logged_and_not_told(plain: HttpApp, caplog: pytest.LogCaptureFixture) -> None:
    async with in_memory(plain) as client:
        response = await client.post("/plain/1", content="surprise", headers={"content-type": "text/plain"})
    assert response.status_code == 500
    assert "secret" not in response.text
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "POST /plain/{id} failed")
    assert "LookupError: secret surprise" in caplog.text


@pytest.mark.parametrize("how", ["busy", "full"])
async def test_a_busy_or_full_store_asks_to_come_back(how: str, plain: HttpApp) -> None:
    async with in_memory(plain) as client:
        response = await client.post("/plain/1", content=how, headers={"content-type": "text/plain"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_a_client_that_has_left_is_answered_nothing(plain: HttpApp) -> None:
    sent: list[Any] = []
    headers = [(b"host", b"localhost"), (b"content-type", b"text/plain")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/plain/1",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
    }
    messages = iter([{"type": "http.request", "body": b"go", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    await plain(scope, receive, send)
    assert sent == []


class Streaming(Plain):
    """Answers with what Starlette's users know."""

    def operations(self) -> Sequence[Operation]:
        return [Operation("GET", "/stream", self.stream)]

    async def stream(self, call: Call[NoQuery, None]) -> Response:
        async def pieces() -> Any:
            yield b"one"
            yield b"two"

        return StreamingResponse(pieces(), media_type="text/plain")


async def test_any_response_will_do_and_head_has_its_headers(service: Service) -> None:
    async with in_memory(http_app(service, Streaming())) as client:
        assert (await client.get("/stream")).text == "onetwo"
        head = await client.head("/stream")
        assert (head.status_code, head.text, head.headers["content-type"]) == (200, "", "text/plain; charset=utf-8")


async def test_head_is_get_without_the_body(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    get, head = [await client.request(method, f"/v1/tasks/{task.id}") for method in ("GET", "HEAD")]
    assert head.content == b""
    assert head.headers == get.headers
    assert (await client.head("/v1/tasks/1")).status_code == 404


async def test_an_authenticator_decides_who_asks(service: Service, tasks: Tasks) -> None:
    class Keys:
        """Knows two keys."""

        async def __call__(self, request: Request, operation: Operation, credentials: str | None) -> Principal:
            if credentials == "owner":
                return LOCAL
            if credentials == "other":
                return Principal("other", "Other", (Grant("default", Role.USER),))
            raise Unauthenticated("Show a key.")

    task = await tasks.start()
    app = http_app(service, Native(), Plain(), authenticator=Keys())
    async with in_memory(app, host="tasks.example.com") as client:
        assert (await client.get(f"/v1/tasks/{task.id}", headers={"authorization": "Bearer owner"})).status_code == 200
        assert (await client.get(f"/plain/{task.id}", headers={"x-plain-key": "owner"})).status_code == 200
        refused = await client.get(f"/v1/tasks/{task.id}")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        hidden = await client.get(f"/v1/tasks/{task.id}", headers={"authorization": "Bearer other"})
        absent = await client.get(f"/v1/tasks/{'0' * 32}", headers={"authorization": "Bearer other"})
        assert hidden.status_code == absent.status_code == 404
        assert hidden.content == absent.content


async def test_a_304_comes_only_after_the_access_check(service: Service, tasks: Tasks) -> None:
    class Nobody:
        async def __call__(self, request: Request, operation: Operation, credentials: str | None) -> Principal:
            return Principal("nobody", "Nobody", ())

    task = await tasks.start()
    async with in_memory(http_app(service, authenticator=Nobody())) as client:
        for tag in ('"1-native"', "*"):
            response = await client.get(f"/v1/tasks/{task.id}", headers={"if-none-match": tag})
            assert response.status_code == 404


async def test_a_web_page_gets_in_nowhere(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    cancel = f"/v1/tasks/{task.id}/cancel"
    assert (await client.post(cancel, headers={"origin": "http://example.com"})).status_code == 403
    assert (await client.post(cancel, data={"a": "b"})).status_code == 415
    assert (await client.post("/v1/tasks", content=b'{"type": "export"}')).status_code == 415
    assert (await client.get("/healthz", headers={"host": "example.com"})).status_code == 421
    preflight = await client.options("/v1/tasks", headers={"origin": "http://example.com"})
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control-")]
    assert (await client.get(f"/v1/tasks/{task.id}")).json()["state"] == "queued"


async def test_no_answer_has_a_cors_header(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"content")
    for path in ("/docs", "/v1/tasks", f"/v1/tasks/{task.id}/result", "/nothing"):
        response = await client.get(path, headers={"origin": "http://127.0.0.1:8006"})
        assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_a_body_without_end_is_refused_while_it_still_comes(server: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.rpartition(":")[2]))
    writer.write(b"POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
    writer.write(b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(20):
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    async with asyncio.timeout(10):
        assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    writer.close()


async def test_two_at_once_in_one_process_do_not_mix(service: Service, tasks: Tasks) -> None:
    first, second = http_app(service), http_app(service, Plain())
    task = await tasks.start()
    async with in_memory(first) as one, in_memory(second) as two:
        assert (await one.get(f"/plain/{task.id}")).status_code == 404
        assert (await two.get(f"/plain/{task.id}")).status_code == 200
        assert (await two.get("/v1/tasks")).status_code == 404
        assert (await two.get("/openapi.json")).json()["info"]["title"] == "Plain"
        assert (await one.get("/metrics")).status_code == (await two.get("/metrics")).status_code == 200


async def test_lifespan_is_answered_and_changes_nothing(app: HttpApp) -> None:
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_closed(app: HttpApp) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    await app({"type": "websocket", "path": "/v1/tasks", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_what_waits_is_answered_when_the_server_stops(service: Watched, app: HttpApp, tasks: Tasks) -> None:
    task = await tasks.start()
    async with httpx2.AsyncClient(timeout=60) as client, asyncio.timeout(10):
        async with served(app, app.stop) as url:
            waits = [
                asyncio.create_task(client.get(f"{url}{path}"))
                for path in (f"/v1/tasks/{task.id}?wait=60", f"/v1/tasks/{task.id}/logs?after=1&wait=60")
            ]
            for _ in waits:
                await service.begun.acquire()
        record, log = [await wait for wait in waits]
    assert record.json()["state"] == "queued"
    assert log.json() == {"entries": [], "next": 1}


async def test_a_client_that_leaves_ends_its_wait(service: Watched, app: HttpApp, tasks: Tasks) -> None:
    task = await tasks.start()
    async with served(app, app.stop) as url, httpx2.AsyncClient() as client, asyncio.timeout(10):
        asking = asyncio.create_task(client.get(f"{url}/v1/tasks/{task.id}?wait=60"))
        await service.begun.acquire()
        asking.cancel()
        await service.ended.acquire()


async def test_asking_for_what_is_not_there_names_nothing_inside(client: httpx2.AsyncClient) -> None:
    response = await client.get("/v1/tasks/%00%0A")
    assert response.status_code == 404
    assert response.json()["detail"] == NotFound("There is no such task.").detail
