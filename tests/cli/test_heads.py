import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.cli.heads import HEAD_LIMIT, BoundedHeads
from tests.http.conftest import served

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"x" * 65536
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large"


async def count(request: Request) -> Response:
    return Response(b"%d\n" % len(await request.body()))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = Starlette(routes=[Route("/", count, methods=["GET", "POST"])])
    async with served(app, http=BoundedHeads) as url:
        yield int(url.rpartition(":")[2])


async def answers(port: int, *pieces: bytes) -> list[bytes]:
    """The status lines that come until the server hangs up, or has answered as often as it was asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = sum(piece.count(b" HTTP/1.1") for piece in pieces)
    told: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while len(told) < asked and (line := await reader.readline()):
                if line.startswith(b"HTTP/1.1"):
                    told.append(line.strip())
    except ConnectionError:
        pass  # it does not wait for the rest
    finally:
        writer.transport.abort()
    return told


async def test_a_head_may_be_long(port: int) -> None:
    assert await answers(port, GET, b"X: ", PIECE, PIECE, b"\r\n\r\n") == [b"HTTP/1.1 200 OK"]


async def test_but_not_without_end(port: int) -> None:
    assert 5 * len(PIECE) > HEAD_LIMIT
    assert await answers(port, GET, b"X: ", *[PIECE] * 5) == [TOO_LARGE]
    assert await answers(port, GET, b"X: ", *[PIECE] * 500) in ([TOO_LARGE], []), "and it waits for no more"
    # What is read together with the end of another request is not counted.
    assert await answers(port, GET + b"\r\n" + GET, b"X: ", *[PIECE] * 9) == [b"HTTP/1.1 200 OK", TOO_LARGE]


async def test_nor_where_its_end_comes_at_once(port: int) -> None:
    long = b"x" * (HEAD_LIMIT - 100)
    assert await answers(port, GET + b"X: " + long + b"\r\n\r\n") == [b"HTTP/1.1 200 OK"]
    assert await answers(port, GET + b"X: " + long + b"x" * 40_000 + b"\r\n\r\n") == [TOO_LARGE]
    assert await answers(port, GET + b"X: " + long + b"\r\n" + b"Y: x\r\n" * 5_000 + b"\r\n") == [TOO_LARGE]


async def test_what_comes_with_the_end_of_a_head_is_not_of_it(port: int) -> None:
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\nX: "
    sent = (post, PIECE, PIECE, b"\r\n\r\n" + b"x" * 200_000)
    assert await answers(port, *sent) == [b"HTTP/1.1 200 OK"]
    assert await answers(port, b"".join(sent)) == [b"HTTP/1.1 200 OK"]


async def test_what_can_t_be_read_is_no_large_head(port: int) -> None:
    assert await answers(port, b"GET / HTTP/1.1\r\nnonsense\r\n\r\n") == [b"HTTP/1.1 400 Bad Request"]


async def test_of_many_requests_each_may_have_a_long_head(port: int) -> None:
    one = (GET, b"X: ", PIECE, PIECE, b"\r\n\r\n")
    assert await answers(port, *one, *one, *one) == [b"HTTP/1.1 200 OK"] * 3


async def test_a_body_may_be_as_long_as_the_application_takes(port: int) -> None:
    chunk = b"10000\r\n" + PIECE + b"\r\n"
    assert await answers(port, POST, *[chunk] * 20, b"0\r\n\r\n") == [b"HTTP/1.1 200 OK"]


async def test_who_sends_an_endless_extension_of_a_chunk_is_cut_off(port: int) -> None:
    assert await answers(port, POST, b"2;", *[PIECE] * 500) == []
