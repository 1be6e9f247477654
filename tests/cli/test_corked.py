"""That what is written in one turn of the event loop leaves in one piece."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from milepost.cli.corked import LARGEST, Corked, CorkedProtocol
from tests.http.conftest import served

WITHIN = 20.0
"""Seconds after which a wait has failed."""


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Corked, asyncio.Transport, socket.socket]]:
    """A corked transport, the one beneath it, and who hears what is written."""
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    theirs.setblocking(False)
    yield Corked(transport), transport, theirs
    transport.close()
    theirs.close()
    await asyncio.sleep(0)


async def heard(listener: socket.socket) -> bytes:
    """All that comes until the other end is closed."""
    pieces = []
    async with asyncio.timeout(WITHIN):
        while piece := await asyncio.get_running_loop().sock_recv(listener, 1 << 20):
            pieces.append(piece)
    return b"".join(pieces)


Ends = tuple[Corked, asyncio.Transport, socket.socket]


async def test_nothing_leaves_before_the_turn_is_over_and_then_all_at_once(ends: Ends) -> None:
    corked, _, listener = ends
    corked.write(b"head ")
    corked.write(b"body")
    with pytest.raises(BlockingIOError):
        listener.recv(99)
    await asyncio.sleep(0)
    assert listener.recv(99) == b"head body"
    corked.write(b"more")
    await asyncio.sleep(0)
    assert listener.recv(99) == b"more"


async def test_what_was_written_leaves_before_it_is_closed(ends: Ends) -> None:
    corked, _, listener = ends
    corked.write(b"head ")
    corked.write(b"body")
    corked.close()
    assert await heard(listener) == b"head body"


async def test_what_is_written_to_a_connection_that_went_is_dropped(ends: Ends) -> None:
    corked, transport, listener = ends
    corked.write(b"head")
    transport.close()
    assert await heard(listener) == b""
    corked.close()


async def test_much_is_not_held_back_so_that_a_slow_reader_is_noticed(ends: Ends) -> None:
    corked, _, listener = ends
    corked.write(bytes(LARGEST))
    with pytest.raises(BlockingIOError):
        listener.recv(99)
    corked.write(b"!")
    assert len(listener.recv(99)) == 99
    corked.close()
    assert (await heard(listener)).endswith(b"!")


async def test_everything_else_is_the_transport_s_own(ends: Ends) -> None:
    corked, transport, _ = ends
    assert corked.get_extra_info("socket") is transport.get_extra_info("socket")
    assert not corked.is_closing()
    transport.close()
    assert corked.is_closing()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body that it gets."""
    await PlainTextResponse(await Request(scope, receive, send).body())(scope, receive, send)


@contextlib.asynccontextmanager
async def connected(app: ASGIApp) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a real server of this application."""
    async with served(app, http=CorkedProtocol) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        try:
            async with asyncio.timeout(WITHIN):
                yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


async def test_requests_on_one_connection_are_answered_one_after_the_other() -> None:
    async with connected(echo) as (reader, writer):
        for body in (b"one", b"three", bytes(3 * LARGEST)):
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(len(body)) == body


async def test_a_piece_of_a_stream_does_not_wait_for_the_next() -> None:
    read_on = asyncio.Event()

    async def pieces() -> AsyncIterator[str]:
        yield "first "
        await read_on.wait()
        yield "second"

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(pieces())(scope, receive, send)

    async with connected(stream) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert await reader.readuntil(b"first \r\n")
        read_on.set()
        assert b"second" in await reader.read()


async def test_what_is_no_http_is_refused_and_hung_up_on() -> None:
    async with connected(echo) as (reader, writer):
        writer.write(b"hello\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
