"""Whatever a client writes, what it gets are the answers to its requests, in their order: nobody reads another request.

Each row is sent between two proper requests. What is in doubt is refused with 400 in its turn, and ends the connection;
what is taken leaves the connection as it should be. The bytes of a body are a request of their own, which nobody ever
answers.
"""

import asyncio
from typing import Any, Final

import pytest

from milepost.access.principal import LOCAL
from milepost.access.tally import Tally
from milepost.cli.strict import StrictProtocol
from milepost.start import Start

from .conftest import AFTER, BEFORE, HOST, SMUGGLED, Attacked, exchange, marked, marks, parsed

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET: Final = b"GET /healthz HTTP/1.1\r\n"
POST: Final = b"POST /v1/tasks HTTP/1.1\r\n"
LENGTH: Final = b"Content-Length: %d\r\n" % len(SMUGGLED)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
CHUNK: Final = b"%x" % len(SMUGGLED)
END: Final = b"0\r\n\r\n"


def chunks(body: bytes, *, of: bytes = CHUNKED) -> bytes:
    return POST + HOST + of + b"\r\n" + body


REFUSED: Final[dict[str, bytes]] = {
    # Lines that end, or begin, in another way than lines do.
    "a folded line": GET + HOST + b"X: a\r\n b\r\n\r\n",
    "a folded coding": POST + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + END + SMUGGLED,
    "a folded length": POST + HOST + b"Content-Length:\r\n 0\r\n\r\n" + SMUGGLED,
    "a length that goes on": POST + HOST + b"Content-Length: 0\r\n 9\r\n\r\n" + SMUGGLED,
    "a folded host": GET + b"Host: 127.0.0.1\r\n .evil.example\r\n\r\n",
    "a first line with a blank before it": GET + b" X: a\r\n" + HOST + b"\r\n",
    "a blank before the colon": GET + HOST + b"X : a\r\n\r\n",
    "a blank before the colon of a length": POST + HOST + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
    "a blank before the colon of a coding": POST + HOST + b"Transfer-Encoding : chunked\r\n\r\n" + END + SMUGGLED,
    "line feeds alone": (GET + HOST + b"\r\n").replace(b"\r\n", b"\n"),
    "one line feed alone": GET + HOST + b"X: a\nContent-Length: 9\r\n\r\n",
    "a line feed at the end of the head": GET + HOST + b"\n",
    "a carriage return alone": GET + HOST + b"X: a\rContent-Length: 9\r\n\r\n",
    "a NUL in a value": GET + HOST + b"X: a\x00b\r\n\r\n",
    "a NUL in a name": GET + HOST + b"X\x00: a\r\n\r\n",
    "no name": GET + HOST + b": a\r\n\r\n",
    "no colon": GET + HOST + b"Content-Length 9\r\n\r\n",
    # Two ways to say how long it is.
    "a length and chunks": POST + HOST + LENGTH + CHUNKED + b"\r\n" + END + SMUGGLED,
    "chunks and a length": POST + HOST + CHUNKED + LENGTH + b"\r\n" + END + SMUGGLED,
    "no length and chunks": POST + HOST + b"Content-Length: 0\r\n" + CHUNKED + b"\r\n" + END + SMUGGLED,
    "two lengths": POST + HOST + b"Content-Length: 0\r\n" + LENGTH + b"\r\n" + SMUGGLED,
    "one length twice": POST + HOST + LENGTH * 2 + b"\r\n" + SMUGGLED,
    "a list of lengths": POST + HOST + b"Content-Length: 0, 0\r\n\r\n" + SMUGGLED,
    "a length with a sign": POST + HOST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "a length below none": POST + HOST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "a length in hexadecimal": POST + HOST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
    "a length past 64 bits": POST + HOST + b"Content-Length: 18446744073709551616\r\n\r\n" + SMUGGLED,
    "an empty length": POST + HOST + b"Content-Length: \r\n\r\n" + SMUGGLED,
    # Codings.
    **{
        f"the coding {coding.decode('latin-1')!r}": chunks(END + SMUGGLED, of=b"Transfer-Encoding: " + coding + b"\r\n")
        for coding in (
            *(b"", b"identity", b"chunked, identity", b"identity, chunked", b"gzip, chunked", b"chunked, chunked"),
            *(b"xchunked", b"chunkedx", b'"chunked"', b"\x0bchunked", b"chunked;q=1", b"chunked,", b",chunked"),
        )
    },
    **{
        f"the codings {first.decode()} and {second.decode()}": chunks(
            END + SMUGGLED, of=b"Transfer-Encoding: %s\r\nTransfer-Encoding: %s\r\n" % (first, second)
        )
        for first in (b"chunked", b"identity")
        for second in (b"chunked", b"identity")
    },
    "chunks of an old version": b"POST /v1/tasks HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n" + END + SMUGGLED,
    # Chunks.
    "a line feed in the extension of a chunk": chunks(b"2;a\nxx\r\n{}\r\n" + END + SMUGGLED),
    "chunks with line feeds alone": chunks(b"2\n{}\n0\n\n" + SMUGGLED),
    "chunks with carriage returns alone": chunks(b"2\r{}\r0\r\r" + SMUGGLED),
    "a chunk without an end": chunks(b"2\r\n{}" + END + SMUGGLED),
    "a chunk that is longer than it says": chunks(b"2\r\n{}xx\r\n" + END + SMUGGLED),
    "a chunk whose size is past 64 bits": chunks(b"10000000000000002\r\n{}\r\n" + END + SMUGGLED),
    "a chunk below none": chunks(b"-2\r\n{}\r\n" + END + SMUGGLED),
    "a chunk with a prefix": chunks(b"0x2\r\n{}\r\n" + END + SMUGGLED),
    "a blank after a size": chunks(b"2 \r\n{}\r\n" + END + SMUGGLED),
    "a blank before a size": chunks(b" 2\r\n{}\r\n" + END + SMUGGLED),
    "a chunk without a size": chunks(b"\r\n{}\r\n" + END + SMUGGLED),
    "a length among the trailers": chunks(b"0\r\nContent-Length: 9\r\n\r\n" + SMUGGLED),
    # Versions.
    "no version": b"GET /healthz\r\n\r\n",
    "HTTP/0.9": b"GET /healthz HTTP/0.9\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/1.10": b"GET /healthz HTTP/1.10\r\n" + HOST + b"\r\n",
    "HTTP/2": b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version in lower case": b"GET /healthz http/1.1\r\n" + HOST + b"\r\n",
    "a method in lower case": b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method that there is not": b"HACK /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab for a blank": b"GET\t/healthz\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank after the version": b"GET /healthz HTTP/1.1 \r\n" + HOST + b"\r\n",
    # Hosts.
    "no host": GET + b"\r\n",
    "two hosts": GET + HOST + b"Host: evil.example\r\n\r\n",
    "the same host twice": GET + HOST + HOST + b"\r\n",
    **{
        f"the host {host.decode()!r}": GET + b"Host: " + host + b"\r\n\r\n"
        for host in (
            *(b"", b"127.0.0.1/x", b"a@127.0.0.1", b"127.0.0.1, evil.example", b"127.0.0.1 evil.example", b"?", b"#"),
            *(b"127.0.0.1:http", b"127.0.0.1:999999", b"[::1", b"::1", b"http://127.0.0.1", b"127.0.0.1\tx", b"<b>"),
        )
    },
    # Targets.
    "another host in the target": b"GET http://evil.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a user in the target": b"GET http://127.0.0.1@evil.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /healthz#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment that hides a path": b"GET /healthz#/../v1/tasks HTTP/1.1\r\n" + HOST + b"\r\n",
    "everything, read": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    **{
        f"the target {target.decode('latin-1')!r}": b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        for target in (
            *(b"healthz", b"x/healthz", b"?x", b"127.0.0.1:80", b"\\healthz", b"file:///healthz", b"http:/healthz"),
            *(b"http://127.0.0.1", b"http:///healthz", b"javascript:/healthz", b"./healthz", b"../healthz"),
            *(b"/health z", b"/health\x00z", b"/health\x7fz", b"/health\xffz", b"/health\tz"),
        )
    },
    "a path of 64 KiB": b"GET /" + b"x" * 65536 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "many segments": b"GET /v1/tasks" + b"/x" * 32768 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("row", REFUSED)
async def test_what_is_in_doubt_is_refused_in_its_turn(row: str, port: int) -> None:
    answers = await exchange(port, BEFORE + REFUSED[row] + AFTER)
    assert marks(answers) == ["before", 400]
    refusal = answers[-1]
    assert refusal.headers["connection"] == "close"
    assert refusal.headers["content-type"] == "text/plain; charset=utf-8"
    assert "server" not in refusal.headers
    assert b"evil" not in refusal.body, "nothing comes back of what was sent"
    assert marks(await exchange(port, REFUSED[row] + AFTER)) == [400]


TAKEN: Final[dict[str, tuple[bytes, int]]] = {
    "a length that is not read": (b"POST /nowhere HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n" + SMUGGLED, 404),
    "one of who has no right": (POST + HOST + LENGTH + b"\r\n" + SMUGGLED, 401),
    "one of a method that there is not": (b"PUT /healthz HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n" + SMUGGLED, 405),
    "one of a read": (GET + HOST + LENGTH + b"\r\n" + SMUGGLED, 200),
    "chunks": (chunks(CHUNK + b"\r\n" + SMUGGLED + b"\r\n" + END), 401),
    "chunks of a read": (GET + HOST + CHUNKED + b"\r\n" + CHUNK + b"\r\n" + SMUGGLED + b"\r\n" + END, 200),
    "chunks in capitals": (chunks(CHUNK.upper() + b"\r\n" + SMUGGLED + b"\r\n" + END), 401),
    "a coding in capitals, after a tab": (chunks(END, of=b"Transfer-Encoding:\tCHUNKED\r\n"), 401),
    "a size with zeros before it": (chunks(b"000" + CHUNK + b"\r\n" + SMUGGLED + b"\r\n" + END), 401),
    "an extension of a chunk": (chunks(CHUNK + b';a="b"\r\n' + SMUGGLED + b"\r\n" + END), 401),
    "an extension that looks like a size": (chunks(CHUNK + b";2=1\r\n" + SMUGGLED + b"\r\n" + END), 401),
    "a coding by a name that is none": (POST + HOST + b"Transfer_Encoding: chunked\r\n\r\n", 401),
    "empty lines before it": (b"\r\n\r\n" + GET + HOST + b"\r\n", 200),
    "something to expect": (POST + HOST + b"Expect: 200-maybe\r\n" + LENGTH + b"\r\n" + SMUGGLED, 401),
    "a host in capitals": (GET + b"HOST: LOCALHOST\r\n\r\n", 200),
    "a host that the target names too": (b"GET http://127.0.0.1/healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "everything": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "10,000 headers": (GET + HOST + b"".join(b"X%d: y\r\n" % n for n in range(10_000)) + b"\r\n", 200),
    "one offer of another protocol that stands alone": (GET + HOST + b"Upgrade: h2c\r\n\r\n", 200),
}


@pytest.mark.parametrize("row", TAKEN)
async def test_what_is_taken_ends_where_it_says(row: str, port: int) -> None:
    request, status = TAKEN[row]
    assert marks(await exchange(port, BEFORE + request + AFTER)) == ["before", status, "after"]
    whole = BEFORE + request + AFTER
    pieces = [whole[at : at + 11] for at in range(0, min(len(whole), 2_000), 11)] + [whole[2_000 + 2_000 % 11 :]]
    if len(whole) < 2_000:
        assert marks(await exchange(port, *pieces)) == ["before", status, "after"], "in pieces, too"


LAST: Final[dict[str, tuple[bytes, int]]] = {
    "one that says so": (GET + HOST + b"Connection: close\r\n\r\n", 200),
    "one that says both": (GET + HOST + b"Connection: close\r\nConnection: keep-alive\r\n\r\n", 200),
    "an old version": (b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n", 200),
    "an old version that would go on": (b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n", 200),
    "an old version without a host": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "an offer of WebSocket": (GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "an offer of HTTP/2": (GET + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", 200),
    "one with a body": (POST + HOST + b"Connection: Upgrade\r\nUpgrade: x\r\n" + LENGTH + b"\r\n" + SMUGGLED, 401),
    "a tunnel to a path": (b"CONNECT /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 405),
}


@pytest.mark.parametrize("row", LAST)
async def test_what_ends_the_connection_is_the_last_that_is_answered(row: str, port: int) -> None:
    request, status = LAST[row]
    assert marks(await exchange(port, BEFORE + request + SMUGGLED + AFTER)) == ["before", status]


async def test_what_comes_after_an_offer_of_another_protocol_is_not_read_from_its_middle(
    attacked: Attacked,
) -> None:
    """The parser drops what has come with the offer, here the beginning of a request, and goes on after that."""
    service = attacked.service
    task = (await service.start(LOCAL, Start(type="export"), origin="native")).task
    waits = f"GET /v1/tasks/{task.id}?wait=60 HTTP/1.1\r\nAuthorization: Bearer {attacked.keys.service}\r\n".encode()
    offer = waits + HOST + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n" + POST + HOST + LENGTH + b"\r\n"

    reader, writer = await asyncio.open_connection("127.0.0.1", attacked.port)
    async with asyncio.timeout(20):
        writer.write(offer)
        await service.begun.acquire()
        writer.write(SMUGGLED)
        await writer.drain()
        await service.cancel(LOCAL, task.id)
        answers = await reader.read()
    writer.transport.abort()
    await service.delete(LOCAL, task.id)
    assert answers.count(b"HTTP/1.1 ") == 1
    assert b"smuggled" not in answers


async def test_what_follows_a_refusal_is_nobody_s(attacked: Attacked) -> None:
    """The request before it is still being answered; what comes meanwhile is neither refused again nor read."""
    service = attacked.service
    task = (await service.start(LOCAL, Start(type="export"), origin="native")).task
    waits = f"GET /v1/tasks/{task.id}?wait=60 HTTP/1.1\r\nAuthorization: Bearer {attacked.keys.service}\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", attacked.port)
    async with asyncio.timeout(20):
        writer.write(waits + HOST + b"\r\n" + REFUSED["two hosts"])
        await service.begun.acquire()
        writer.write(SMUGGLED + REFUSED["no host"] + SMUGGLED)
        await writer.drain()
        assert marks(await exchange(attacked.port, AFTER)) == ["after"], "so what was written there has come, too"
        await service.cancel(LOCAL, task.id)
        answers = await reader.read()
    writer.transport.abort()
    await service.delete(LOCAL, task.id)
    assert marks(parsed(answers)) == [200, 400]


async def test_trailers_are_no_headers(attacked: Attacked, port: int) -> None:
    """A proxy that takes headers away, or checks them, does not look at what comes after the body."""
    for trailer in (
        f"Authorization: Bearer {attacked.keys.service}",
        "Host: evil.example",
        "X-Forwarded-For: 127.0.0.1",
        "X-Spaaza-Session-Key: x",
    ):
        request = chunks(b"2\r\n{}\r\n0\r\n" + trailer.encode() + b"\r\n\r\n")
        assert marks(await exchange(port, request + AFTER)) == [401, "after"], trailer
    known = f"Authorization: Bearer {attacked.keys.admin}\r\nContent-Type: application/json\r\n".encode()
    request = POST + HOST + known + CHUNKED + b'\r\n12\r\n{"type": "export"}\r\n0\r\nHost: evil.example\r\n\r\n'
    assert marks(await exchange(port, request + AFTER)) == [202, "after"]
    [task] = await attacked.tasks()
    await attacked.service.cancel(LOCAL, task.id)
    await attacked.service.delete(LOCAL, task.id)


async def test_what_is_wrong_with_a_body_is_told_to_who_sent_it(attacked: Attacked, port: int) -> None:
    known = f"Authorization: Bearer {attacked.keys.admin}\r\nContent-Type: application/json\r\n".encode()
    broken = POST + HOST + known + CHUNKED + b'\r\n12\r\n{"type": "export"}\r\nZZ\r\n\r\n'
    assert marks(await exchange(port, broken + AFTER)) == [400]
    assert marks(await exchange(port, BEFORE + BEFORE + broken + AFTER)) == ["before", "before", 400]


async def test_an_answer_that_has_begun_is_broken_off(attacked: Attacked, port: int) -> None:
    """Lines are answered while they come: a refusal in their midst would be read as one of them."""
    known = f"Authorization: Bearer {attacked.keys.admin}\r\nContent-Type: application/x-ndjson\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/tasks:batch HTTP/1.1\r\n" + HOST + known + CHUNKED + b"\r\n")
    writer.write(b'14\r\n{"type": "nothing"}\n\r\n' * 300)
    async with asyncio.timeout(20):
        begun = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ZZ\r\n" + AFTER)
        rest = await reader.read()
    writer.transport.abort()
    assert begun.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1" not in rest
    assert not rest.endswith(b"0\r\n\r\n"), "nobody takes it for whole"


async def test_a_flood_of_what_can_t_be_read_is_told_of_in_one_line(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    StrictProtocol.refused = Tally()
    for _ in range(100):
        assert marks(await exchange(port, b"GET secret\r\n\r\n")) == [400]
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


async def test_a_head_without_end_is_cut_off(port: int) -> None:
    async def sent(head: bytes) -> list[Any]:
        try:
            return marks(await exchange(port, head))
        except ConnectionError:
            return []  # it does not wait for the rest

    assert await sent(GET + HOST + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n") in ([], [431])
    assert await sent(GET + HOST + b"X: y\r\n" * 200_000 + b"\r\n") in ([], [431])
    assert marks(await exchange(port, marked("well", b"Connection: close\r\n"))) == ["well"]
