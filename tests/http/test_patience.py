"""Who holds a body back, or does not take an answer, is given up on; who is slow, but comes on, is not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request

from milepost.access.limits import Limits
from milepost.http.app import HttpApp
from milepost.http.dialects.known import dialects
from milepost.http.errors import TooSlow
from milepost.http.patience import STEP, pieces, taken
from milepost.http.waiting import LEAVING
from milepost.service import Service

from .conftest import http_app, served
from .dialects.addresses import TENANT

SHORT = 0.05
"""Seconds."""


class Sender:
    """Sends pieces, and then nothing any more, unless the last was the end."""

    def __init__(self, *sent: bytes, ends: bool = False) -> None:
        self._sent = [{"type": "http.request", "body": piece, "more_body": True} for piece in sent]
        if ends:
            self._sent[-1]["more_body"] = False

    async def __call__(self) -> dict[str, Any]:
        if not self._sent:
            await asyncio.Event().wait()
        return self._sent.pop(0)

    def request(self, **scope: Any) -> Request:
        return Request({"type": "http", "method": "POST", "headers": [], **scope}, self)


async def test_a_body_that_comes_is_read() -> None:
    request = Sender(b"one", b"two", ends=True).request()
    assert b"".join([piece async for piece in pieces(request, SHORT)]) == b"onetwo"


async def test_one_that_does_not_come_on_is_too_slow() -> None:
    coming = pieces(Sender(b"one").request(), SHORT)
    assert await anext(coming) == b"one"
    with pytest.raises(TooSlow, match="did not come in time"):
        await anext(coming)


async def test_a_byte_now_and_then_is_too_slow_too() -> None:
    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b"x", "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": []}, trickle)
    with pytest.raises(TooSlow):
        async for _ in pieces(request, SHORT):
            pass


async def test_with_each_step_the_time_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    timeout = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        asked.append(seconds)
        return timeout(seconds)

    monkeypatch.setattr(asyncio, "timeout", noted)
    request = Sender(b"x", b"x" * (STEP - 1), b"x", ends=True).request()
    assert sum([len(piece) async for piece in pieces(request, 60)]) == STEP + 1
    assert asked[0] == asked[2] == 60
    assert asked[1] < 60
    assert asked[3] < 60


async def test_what_is_done_with_a_piece_takes_nothing_of_the_time() -> None:
    read = b""
    async for piece in pieces(Sender(b"x", b"y", b"z", ends=True).request(), SHORT):
        await asyncio.sleep(2 * SHORT)
        read += piece
    assert read == b"xyz"


class Whole:
    def is_whole(self) -> bool:
        return True


async def test_a_body_that_is_there_needs_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(asyncio, "timeout")
    request = Sender(b"all of it", ends=True).request(**{LEAVING: Whole()})
    assert b"".join([piece async for piece in pieces(request, SHORT)]) == b"all of it"


async def test_who_takes_nothing_is_given_up_on() -> None:
    async def never(message: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TooSlow):
        await taken(never, b"x", SHORT)


async def connected(url: str, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(request)
    return reader, writer


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    app = http_app(service, *dialects(), limits=Limits(patience=1))
    service.limits = Limits(patience=1)
    async with served(app, app.stop) as url:
        yield url


BODIES = {
    "native": ("POST", "/v1/tasks"),
    "a delivery": ("POST", "/v1/tasks/01890000-0000-7000-8000-000000000000/deliveries"),
    "without a body": ("POST", "/v1/tasks/01890000-0000-7000-8000-000000000000/cancel"),
    "services": ("POST", "/tasks"),
    "aparavi": ("PUT", "/task"),
    "cloudcoin": ("POST", "/api/v1/export"),
    "quant": ("POST", f"/api/v3/organizations/{TENANT}/ai/tasks"),
}
WORDS = {
    "services": b'"code":19,"name":"request_timeout"',
    "quant": b'"error":"REQUEST_TIMEOUT"',
    "native": b'"type":"/problems/request-timeout"',
}


async def test_each_dialect_says_so_and_hangs_up(url: str) -> None:
    async def ask(name: str) -> tuple[str, bytes]:
        method, path = BODIES[name]
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        reader, writer = await connected(url, head.encode() + b"content-length: 100\r\n\r\n{")
        async with asyncio.timeout(30):
            answer = await reader.read()  # to its end: the server hangs up
        writer.close()
        return name, answer

    for name, answer in await asyncio.gather(*map(ask, BODIES)):
        assert answer.startswith(b"HTTP/1.1 408 "), (name, answer)
        assert b"connection: close" in answer
        assert b"The rest of the body did not come in time." in answer
        assert WORDS.get(name, b"") in answer


async def test_a_line_that_does_not_come_on_ends_the_batch(url: str) -> None:
    head = b"POST /v1/tasks:batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
    line = b'{"type": "export"}\n'
    reader, writer = await connected(url, head + b"content-length: 10000\r\n\r\n" + line + b'{"type')
    async with asyncio.timeout(30):
        await reader.readuntil(b"\r\n\r\n")
        told = b""
        while b'"status":408' not in told:
            told += await reader.readline()
    assert b'"line":1,"status":202' in told
    assert b'"line":2,"status":408' in told
    writer.close()


async def test_who_never_reads_a_stream_gives_its_place_back_and_holds_nobody_up(
    service: Service, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any server: what the client does not take is not kept in memory, and after a while it is given up on."""
    task = await tasks.with_file(b"x" * (32 << 20))
    app = HttpApp(lambda: service, dialects(["native"]), limits=Limits(patience=1))
    reads: list[int] = []
    read = service.files.read

    def noted(key: str, *args: Any) -> Any:
        async def counted() -> AsyncIterator[bytes]:
            async for piece in read(key, *args):
                reads.append(len(piece))
                yield piece

        return counted()

    monkeypatch.setattr(service.files, "read", noted)
    async with served(app, app.stop) as url:
        path = f"GET /v1/tasks/{task.id}/result HTTP/1.1\r\nhost: localhost\r\n\r\n"
        reader, writer = await connected(url, path.encode())
        async with asyncio.timeout(30):
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            other, its_writer = await connected(url, path.replace("/result", "").encode())
            assert (await other.readline()).startswith(b"HTTP/1.1 200 ")
            its_writer.close()
            while app._throttle._places.open:
                await asyncio.sleep(0.01)
        assert sum(reads) < 32 << 20
        writer.transport.abort()
