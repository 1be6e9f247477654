"""Who is called: a real server on loopback, which keeps what it is sent and answers as a test says."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple

import h11
from standardwebhooks import Webhook


class Received(NamedTuple):
    """A request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answers` are sent in turn, the last one from then on: bytes, or None to fall silent."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = [b"HTTP/1.1 204 No Content\r\n\r\n"]
        self.received: asyncio.Queue[Received] = asyncio.Queue()
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ends"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            request = await self._read(reader)
            if request is None:
                return
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is not None:
                writer.write(answer)
                await writer.drain()
            self.received.put_nowait(request)
            if answer is None:
                await reader.read()
        writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Received | None:
        connection = h11.Connection(h11.SERVER)
        request, body = None, b""
        while True:
            match connection.next_event():
                case h11.Request() as event:
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                    request = Received(event.target.decode(), headers, b"")
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage():
                    return None if request is None else request._replace(body=body)
                case h11.NEED_DATA:
                    connection.receive_data(await reader.read(4096))
                case _:
                    return None


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """One that listens while the block lasts."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


def status(code: int, *headers: str) -> bytes:
    """An answer without a body."""
    return "\r\n".join((f"HTTP/1.1 {code} Whatever", *headers, "content-length: 0", "", "")).encode()


def verified(received: Received, secret: str) -> dict[str, object]:
    """What was told, checked as its receivers do."""
    told: dict[str, object] = Webhook(secret).verify(received.body, received.headers)
    return told
