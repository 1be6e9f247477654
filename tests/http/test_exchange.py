import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from milepost.http import exchange
from milepost.http.exchange import IN_MEMORY, Backlog, Exchange

from .conftest import served

HEAD = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
MEBIBYTE = b"x" * (1 << 20)


class App:
    """Answers each piece of a body with what `answer` makes of it."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.until = asyncio.Event()
        self.closed = asyncio.Event()
        self.returned = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        response = Exchange(self.pieces(Request(scope, receive)), "text/plain", until=self.until)
        try:
            with suppress(ClientDisconnect):
                await response(scope, receive, send)
        finally:
            self.returned.set()

    async def pieces(self, request: Request) -> AsyncGenerator[bytes, None]:
        try:
            async for piece in request.stream():
                if piece:
                    yield self.answer(piece)
        finally:
            self.closed.set()


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(app: App) -> AsyncIterator[Connection]:
    async with served(app) as url, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(HEAD)
        yield reader, writer
        writer.close()


async def one_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def test_who_reads_while_sending_is_answered_at_once() -> None:
    async with connected(App(bytes.upper)) as (reader, writer):
        writer.write(chunk(b"one"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-type: text/plain" in head
        assert await one_chunk(reader) == b"ONE"
        for text in (b"two", b"three"):
            writer.write(chunk(text))
            assert await one_chunk(reader) == text.upper()
        writer.write(chunk(b""))
        assert await one_chunk(reader) == b""


async def test_who_sends_all_before_reading_anything_is_answered_too() -> None:
    app = App(lambda piece: piece + piece)
    async with connected(app) as (reader, writer):
        for _ in range(15):
            writer.write(chunk(MEBIBYTE))
            await writer.drain()
        writer.write(chunk(b""))
        await app.closed.wait()
        await reader.readuntil(b"\r\n\r\n")
        size = 0
        while piece := await one_chunk(reader):
            size += len(piece)
        assert size == 30 * len(MEBIBYTE)


async def test_an_answer_without_pieces_is_an_answer() -> None:
    async with connected(App(bytes.upper)) as (reader, writer):
        writer.write(chunk(b""))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await one_chunk(reader) == b""


async def test_a_client_that_leaves_ends_it() -> None:
    app = App(bytes.upper)
    async with connected(app) as (_, writer):
        writer.write(chunk(b"one"))
        writer.close()
        await app.closed.wait()


async def test_an_error_breaks_the_connection_off() -> None:
    def answer(piece: bytes) -> bytes:
        if piece == b"two":
            raise LookupError("the rest is gone")
        return piece

    async with connected(App(answer)) as (reader, writer):
        writer.write(chunk(b"one"))
        await reader.readuntil(b"\r\n\r\n")
        assert await one_chunk(reader) == b"one"
        writer.write(chunk(b"two"))
        with pytest.raises(asyncio.IncompleteReadError):
            await one_chunk(reader)


async def test_a_client_that_takes_nothing_does_not_keep_a_server_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LINGER", 0.01)
    app = App(lambda _: 32 * MEBIBYTE)
    app.until.set()
    async with connected(app) as (reader, writer):
        writer.write(chunk(b"one") + chunk(b""))
        await app.returned.wait()
        assert not (await reader.read()).endswith(b"0\r\n\r\n")


class Silent:
    """A client that sends `count` pieces and takes nothing, but for the first on its way, until `takes` is set."""

    def __init__(self, count: int, patience: float = 60) -> None:
        self.count = count
        self.patience = patience
        self.read = 0
        self.takes = asyncio.Event()
        self.taken = 0
        self.until = asyncio.Event()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        while self.read < self.count:
            await asyncio.sleep(0)
            self.read += 1
            yield b"x" * 1000

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.taken += len(message.get("body", b""))

    async def answered(self) -> None:
        response = Exchange(self.pieces(), "text/plain", until=self.until)
        response.patience = self.patience
        await response({"type": "http"}, self.receive, self.send)

    async def receive(self) -> Any:
        raise AssertionError("Only the pieces read the request.")


async def test_no_more_is_read_while_much_waits_to_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST", 10_000)
    client = Silent(500)
    answering = asyncio.ensure_future(client.answered())
    for _ in range(2000):
        await asyncio.sleep(0)
    assert (client.read, client.taken) == (12, 0)
    client.takes.set()
    await answering
    assert (client.read, client.taken) == (500, 500_000)


async def test_a_client_that_takes_nothing_of_much_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST", 10_000)
    client = Silent(500, patience=0.01)
    await client.answered()
    assert (client.read, client.taken) == (12, 0)


async def test_a_server_that_stops_waits_for_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST", 10_000)
    monkeypatch.setattr(exchange, "LINGER", 0.01)
    client = Silent(20)
    answering = asyncio.ensure_future(client.answered())
    for _ in range(200):
        await asyncio.sleep(0)
    assert client.read == 12
    client.until.set()
    await answering
    assert (client.read, client.taken) == (20, 0)


@pytest.mark.parametrize("size", [1, IN_MEMORY // 2, IN_MEMORY + 1])
async def test_a_backlog_gives_what_it_was_given_and_is_empty_again(size: int) -> None:
    backlog = Backlog()
    for turn in range(3):
        given = [bytes([turn + n]) * size for n in range(3)]
        for piece in given:
            backlog.put(piece)
        taken = b""
        while len(taken) < 3 * size:
            taken += await backlog.take()
        assert taken == b"".join(given)
    waiting = asyncio.ensure_future(backlog.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    backlog.put(b"last")
    assert await waiting == b"last"
    backlog.end()
    assert await backlog.take() == b""
    backlog.close()
