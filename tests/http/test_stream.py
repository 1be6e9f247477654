import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.responses import Response

from milepost.http.stopping import Stopping
from milepost.http.stream import Stream

from .conftest import served


class Source:
    """A generator of pieces that tells what becomes of it. With `more` set it goes on after the first."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.more = asyncio.Event()
        self.closed = asyncio.Event()
        self.given = 0
        self._all = pieces
        self._error = error

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self._all:
                self.given += 1
                yield piece
                await self.more.wait()
            if self._error is not None:
                raise self._error
        finally:
            self.closed.set()


@asynccontextmanager
async def streaming(response: Response) -> AsyncIterator[httpx2.Response]:
    async with (
        served(response) as url,
        httpx2.AsyncClient(timeout=10) as client,
        client.stream("GET", url) as answer,
    ):
        yield answer


async def test_pieces_arrive_as_they_come() -> None:
    source = Source(b"one", b"two")
    async with streaming(Stream(source.pieces(), 206, {"x-test": "yes"})) as answer:
        assert (answer.status_code, answer.headers["x-test"]) == (206, "yes")
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b"one"
        source.more.set()
        assert b"".join([piece async for piece in pieces]) == b"two"
    assert source.closed.is_set()


async def test_a_client_that_leaves_ends_it_at_once() -> None:
    source = Source(b"one", b"two")
    async with served(Stream(source.pieces())) as url, httpx2.AsyncClient() as client:
        async with client.stream("GET", url) as answer:
            assert await anext(answer.aiter_bytes()) == b"one"
        async with asyncio.timeout(5):
            await source.closed.wait()
    assert source.given == 1


async def test_it_can_be_ended_from_outside() -> None:
    source, until = Source(b"one", b"two"), Stopping()
    async with streaming(Stream(source.pieces(), until=until)) as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b"one"
        until.set()
        assert [piece async for piece in pieces] == []
    assert source.closed.is_set()


async def test_an_error_breaks_the_connection_off() -> None:
    source = Source(b"one", error=LookupError("the rest is gone"))
    async with streaming(Stream(source.pieces())) as answer:
        source.more.set()
        with pytest.raises(httpx2.RemoteProtocolError):
            await answer.aread()


async def test_a_slow_reader_is_not_sent_more_than_it_takes() -> None:
    source = Source(*[b"x" * (1 << 20)] * 64)
    source.more.set()
    async with served(Stream(source.pieces())) as url:
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(100):
            await asyncio.sleep(0)  # lets the server send what it can
        assert source.given < 64
        writer.close()
        async with asyncio.timeout(5):
            await source.closed.wait()
        assert source.given < 64
