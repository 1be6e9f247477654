"""What comes over a real socket and is no proper request is answered too, and the next one finds the server well."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest

from milepost.access.principal import LOCAL
from milepost.cli.heads import BoundedHeads
from milepost.http.app import HttpApp
from milepost.service import Filter
from tests.http.conftest import Watched, served

HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /v1/tasks HTTP/1.1\r\n" + HOST + JSON
IDENTITY = b"Content-Encoding: identity\r\n"
MEGABYTE = b"x" * 1_000_000


@pytest.fixture(params=[BoundedHeads, "h11"], ids=["httptools", "h11"])
async def port(request: pytest.FixtureRequest, app: HttpApp) -> AsyncIterator[int]:
    """The port of a server with each of the parsers that uvicorn has."""
    async with served(app, app.stop, http=request.param) as url:
        yield int(url.rpartition(":")[2])


async def answer(port: int, *pieces: bytes, ends: bool = False) -> bytes:
    """The status line that a server answers with, b"" where it only hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if ends:
            writer.write_eof()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(20):
            return (await reader.readline()).strip()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()


async def is_well(port: int) -> bool:
    return await answer(port, b"GET /healthz HTTP/1.1\r\n", HOST, b"\r\n") == b"HTTP/1.1 200 OK"


def lines(head: bytes, *more: bytes) -> list[bytes]:
    return [head, *more, b"\r\n"]


WRONG: Sequence[tuple[str, Iterable[bytes], set[int]]] = [
    ("no request at all", [b"GARBAGE\r\n\r\n"], {400}),
    ("TLS", [bytes.fromhex("1603010200010001fc0303"), MEGABYTE], {400}),
    ("no host", lines(b"GET /v1/tasks HTTP/1.1\r\n"), {400, 421}),
    ("an old version without host", lines(b"GET /v1/tasks HTTP/1.0\r\n"), {421}),
    ("two hosts", lines(b"GET /v1/tasks HTTP/1.1\r\n", HOST, b"Host: evil.example\r\n"), {400}),
    ("two hosts, ours last", lines(b"GET /v1/tasks HTTP/1.1\r\n", b"Host: evil.example\r\n", HOST), {400}),
    ("the same host twice", lines(b"GET /v1/tasks HTTP/1.1\r\n", HOST, HOST), {400}),
    (
        "two content types",
        [POST, b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"],
        {400},
    ),
    ("two codings", [POST, IDENTITY, b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"], {415}),
    ("a space in the path", lines(b"GET /v1/ta sks HTTP/1.1\r\n", HOST), {400}),
    ("a NUL in the path", lines(b"GET /v1/\x00 HTTP/1.1\r\n", HOST), {400}),
    ("a byte that is not ASCII in the path", lines(b"GET /v1/\xff HTTP/1.1\r\n", HOST), {400}),
    ("a path of 100 KB", lines(b"GET /v1/tasks/" + b"x" * 100_000 + b" HTTP/1.1\r\n", HOST), {400, 404}),
    ("a query of 100 KB", lines(b"GET /v1/tasks?after=" + b"x" * 100_000 + b" HTTP/1.1\r\n", HOST), {400, 422}),
    ("a NUL in a header", lines(b"GET /v1/tasks HTTP/1.1\r\n", HOST, b"X: a\x00b\r\n"), {400}),
    ("a header without end", [b"GET /v1/tasks HTTP/1.1\r\nX: ", *[MEGABYTE] * 50], {400, 431}),
    ("headers without end", [b"GET /v1/tasks HTTP/1.1\r\n", *[b"X: y\r\n" * 100_000] * 50], {400, 431}),
    ("a control character in a key", [POST, b"Idempotency-Key: a\x01\r\nContent-Length: 2\r\n\r\n{}"], {400, 422}),
    ("a negative length", [POST, b"Content-Length: -1\r\n\r\n{}"], {400}),
    ("a length that is none", [POST, b"Content-Length: many\r\n\r\n{}"], {400}),
    ("a length of 5000 digits", [POST, b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}"], {400}),
    ("a length past 63 bits", [POST, b"Content-Length: 9223372036854775808\r\n\r\n{}"], {413}),
    ("two lengths", [POST, b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"], {400}),
    ("a body that is too long and comes", [POST, b"Content-Length: 100000000\r\n\r\n", *[MEGABYTE] * 100], {413}),
    ("one that waits to be asked for", [POST, b"Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n"], {413}),
    (
        "one in chunks",
        [POST, b"Transfer-Encoding: chunked\r\n\r\n", *[b"f4240\r\n" + MEGABYTE + b"\r\n"] * 100],
        {413},
    ),
    ("a chunk without a size", [POST, b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}"], {400}),
    ("a chunk of more than there is", [POST, b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 99 + b"\r\n{}"], {400}),
    ("a length and chunks", [POST, b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], {400}),
    ("a coding that is not known", [POST, b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"], {400}),
    ("a long body of another type", [b"POST /v1/tasks HTTP/1.1\r\n", HOST, b"Content-Length: 99999999\r\n\r\n"], {415}),
    ("a long body to nowhere", [b"POST /x HTTP/1.1\r\n", HOST, b"Content-Length: 99999999\r\n\r\n", MEGABYTE], {404}),
    ("everything there is", lines(b"OPTIONS * HTTP/1.1\r\n", HOST), {404}),
    ("a tunnel", lines(b"CONNECT example.com:443 HTTP/1.1\r\n", HOST), {400, 404}),
    ("another version", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], {400, 404}),
]


@pytest.mark.parametrize(("pieces", "statuses"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_what_is_no_proper_request_is_refused(
    pieces: Iterable[bytes], statuses: set[int], port: int, service: Watched
) -> None:
    status = await answer(port, *pieces)
    assert status.startswith(b"HTTP/1.1 "), status
    assert int(status.split()[1]) in statuses
    assert await is_well(port)
    assert (await service.find(LOCAL, Filter())).tasks == []


async def test_who_hangs_up_in_the_middle_has_started_nothing(port: int, service: Watched) -> None:
    assert await answer(port, POST, b'Content-Length: 99\r\n\r\n{"type": "export"}', ends=True) == b""
    assert await answer(port, POST, b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + b'{"type":', ends=True) == b""
    assert await is_well(port)
    assert (await service.find(LOCAL, Filter())).tasks == []
