"""Who sends or takes nothing is hung up on; who waits, or is slow but comes on, is not."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.cli.corked import CorkedProtocol
from milepost.cli.impatient import ImpatientProtocol
from tests.http.conftest import served

WITHIN = 20.0
"""Seconds after which a wait has failed."""
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"
LARGE = 8 << 20


class Protocol(CorkedProtocol, ImpatientProtocol):
    """As `serve` has it."""

    patience = 0.2


class App:
    """Answers some paths at once, and one when it is told to."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.waits = asyncio.Event()
        self.asgi = Starlette(
            routes=[
                Route("/", self.small, methods=["GET", "POST"]),
                Route("/wait", self.wait),
                Route("/large", self.large),
            ]
        )

    async def small(self, _: Request) -> Response:
        return Response(b"small")

    async def wait(self, _: Request) -> Response:
        self.waits.set()
        await self.may.wait()
        return Response(b"waited")

    async def large(self, request: Request) -> Response:
        return Response(b"x" * LARGE, headers={"connection": request.query_params.get("connection", "keep-alive")})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def port(app: App) -> AsyncIterator[int]:
    async with served(app.asgi, http=Protocol, timeout_keep_alive=60) as url:
        yield int(url.rpartition(":")[2])


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[socket.socket]:
    """A peer whose system takes little for it."""
    with socket.socket() as peer:
        peer.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
        yield peer


async def sent(peer: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(peer, data)


async def told(peer: socket.socket, pause: float = 0) -> bytes:
    """All that comes until the server hangs up, in whatever way."""
    pieces = []
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(WITHIN):
            while piece := await asyncio.get_running_loop().sock_recv(peer, 1 << 16):
                pieces.append(piece)
                await asyncio.sleep(pause)
    return b"".join(pieces)


async def heard(peer: socket.socket, end: bytes) -> bytes:
    """What comes until this does."""
    data = b""
    async with asyncio.timeout(WITHIN):
        while not data.endswith(end):
            data += await asyncio.get_running_loop().sock_recv(peer, 1 << 16)
    return data


async def test_who_says_nothing_is_hung_up_on(port: int) -> None:
    async with connected(port) as peer:
        assert await told(peer) == b""


async def test_a_head_that_does_not_come_is_refused(port: int) -> None:
    async with connected(port) as peer:
        await sent(peer, GET)
        assert (await told(peer)).startswith(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n")


async def test_a_byte_now_and_then_is_no_head(port: int) -> None:
    async with connected(port) as peer:

        async def trickle() -> None:
            with contextlib.suppress(ConnectionError):
                await sent(peer, GET + b"x: ")
                while True:
                    await sent(peer, b"x")
                    await asyncio.sleep(0.01)

        sending = asyncio.create_task(trickle())
        assert (await told(peer)).startswith(b"HTTP/1.1 408 ") or sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_second_head_that_does_not_come_is_refused_too(port: int) -> None:
    async with connected(port) as peer:
        await sent(peer, GET + b"\r\n")
        assert (await heard(peer, b"small")).startswith(b"HTTP/1.1 200 ")
        await sent(peer, GET)
        assert (await told(peer)).startswith(b"HTTP/1.1 408 ")


async def test_what_an_application_has_is_its_affair(port: int, app: App) -> None:
    async with connected(port) as peer:
        await sent(peer, b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n")
        async with asyncio.timeout(WITHIN):
            await app.waits.wait()
        await sent(peer, GET)  # the next head begins, and does not come on
        async with connected(port) as other:
            assert await told(other) == b"", "so much time has passed"
        app.may.set()
        assert (await told(peer)).startswith(b"HTTP/1.1 200 ")


async def test_the_rest_of_a_body_that_nobody_wants_is_not_waited_for(port: int) -> None:
    async with connected(port) as peer:
        await sent(peer, b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        answer = await told(peer)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"small")


async def test_a_body_that_comes_after_its_answer_is_let_pass(port: int) -> None:
    async with connected(port) as peer:
        await sent(peer, b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{")
        await heard(peer, b"small")
        await sent(peer, b"}" + GET + b"\r\n")
        assert (await heard(peer, b"small")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_who_takes_nothing_of_an_answer_is_hung_up_on(port: int, connection: str) -> None:
    async with connected(port) as peer:
        await sent(peer, b"GET /large?connection=%b HTTP/1.1\r\nhost: localhost\r\n\r\n" % connection.encode())
        for _ in range(4):
            async with connected(port) as other:
                assert await told(other) == b"", "so much time has passed"
        assert len(await told(peer)) < LARGE


async def test_who_takes_an_answer_slowly_gets_all_of_it(port: int) -> None:
    async with connected(port) as peer:
        await sent(peer, b"GET /large?connection=close HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert len(await told(peer, pause=0.001)) > LARGE
