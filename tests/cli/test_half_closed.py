"""Who sends nothing more is answered, as far as that need not be waited for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from milepost.cli.server import config
from milepost.http.waiting import break_off, interrupted
from tests.http.conftest import served

WITHIN = 20.0
"""Seconds after which a wait has failed."""
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


class App:
    """Answers with what it is sent: at once, when it may, or when somebody who waits may go on."""

    def __init__(self) -> None:
        self.begun, self.ended, self.gate = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.left: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        try:
            body = await Request(scope, receive).body()
            if scope["path"] in ("/later", "/wait-later"):
                await self.gate.wait()
            if scope["path"] in ("/wait", "/wait-later"):
                await interrupted(asyncio.get_running_loop().create_future(), scope, receive)
        except ClientDisconnect:
            self.left.put_nowait(scope["path"])
            break_off(scope)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def port(app: App) -> AsyncIterator[int]:
    class Noted(config(app, 1, access_log=False).http):  # type: ignore[misc]
        def eof_received(self) -> Any:
            app.ended.set()
            return super().eof_received()

    async with served(app, http=Noted, log_config=None) as url:
        yield int(url.rpartition(":")[2])


class Caller:
    """Sends this, and nothing more."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __call__(self, app: App, sent: bytes) -> asyncio.StreamReader:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(sent)
        await self._writer.drain()
        async with asyncio.timeout(WITHIN):
            await app.begun.wait()
            self._writer.write_eof()
            await app.ended.wait()
        return reader

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def caller(port: int) -> AsyncIterator[Caller]:
    caller = Caller(port)
    yield caller
    caller.close()


async def test_a_complete_request_is_answered(app: App, caller: Caller) -> None:
    reader = await caller(app, POST % b"/later" + b"body")
    app.gate.set()
    async with asyncio.timeout(WITHIN):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    "sent",
    [
        POST % b"/later" + b"bo",
        POST % b"/wait" + b"body",
        POST % b"/wait-later" + b"body",
        POST % b"/later" + b"body" + POST % b"/later" + b"body",
    ],
)
async def test_one_that_waits_or_is_not_complete_is_not(sent: bytes, app: App, caller: Caller) -> None:
    reader = await caller(app, sent)
    app.gate.set()
    async with asyncio.timeout(WITHIN):
        assert await reader.read() == b""
        if b"wait" in sent:
            await app.left.get()


async def test_a_connection_without_a_request_ends(app: App, caller: Caller) -> None:
    app.begun.set()
    assert await (await caller(app, b"")).read() == b""
