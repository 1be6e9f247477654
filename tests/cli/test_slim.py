"""A connection that waits is small, and otherwise as uvicorn's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from milepost.cli.slim import Signal, SlimProtocol
from milepost.http.stopping import Stopping
from milepost.http.waiting import LEAVING, interrupted
from tests.http.conftest import served

WITHIN = 20.0
"""Seconds after which a wait has failed."""


async def test_a_signal_is_an_event() -> None:
    signal, told = Signal(), list[int]()
    signal.back = lambda: told.append(1)
    assert not signal.is_set()
    one, two, left = [asyncio.create_task(signal.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    left.cancel()
    signal.set()
    assert signal.is_set()
    assert await one
    assert await two
    assert await signal.wait()
    assert told == [1]
    signal.clear()
    assert not signal.is_set()
    assert signal._waiting == ()


class App:
    """Waits for what comes, and notes how that ended."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.begun: asyncio.Queue[Any] = asyncio.Queue()
        self.stopping = Stopping()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            self.begun.put_nowait(scope[LEAVING])
            work = asyncio.get_running_loop().create_future()
            try:
                await interrupted(work, scope, receive, self.stopping)
            except Exception as error:
                self.ended.put_nowait(type(error).__name__)
                return
            self.ended.put_nowait("stopped")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": scope["path"][-2:].encode()})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def port(app: App) -> AsyncIterator[int]:
    async with served(app, http=SlimProtocol) as url:
        yield int(url.rpartition(":")[2])


def asked(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n".encode()


async def test_requests_that_come_together_are_answered_in_their_order(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(asked(f"/{number:02}") for number in range(5)))
    async with asyncio.timeout(WITHIN):
        for number in range(5):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"%02d" % number
    writer.close()


@pytest.mark.parametrize("body", ["", "content-length: 5\r\n"], ids=["all has come", "more is to come"])
async def test_a_client_that_leaves_ends_its_wait(port: int, app: App, body: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked("/wait", body))
    async with asyncio.timeout(WITHIN):
        leaving = await app.begun.get()
        assert leaving.is_whole() is (body == "")
        assert not leaving.has_left()
        before = len(asyncio.all_tasks())
        writer.close()
        assert await app.ended.get() == "ClientDisconnect"
    assert len(asyncio.all_tasks()) < before


async def test_a_server_that_stops_ends_all_waits(port: int, app: App) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked("/wait"))
    async with asyncio.timeout(WITHIN):
        await app.begun.get()
        app.stopping.set()
        assert await app.ended.get() == "stopped"
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_nothing_of_a_request_is_kept_by_what_tells_that_its_client_left(port: int, app: App) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked("/wait"))
    async with asyncio.timeout(WITHIN):
        leaving = await app.begun.get()
        writer.close()
        await app.ended.get()
        while leaving.is_whole():
            await asyncio.sleep(0)
    assert leaving.has_left()
