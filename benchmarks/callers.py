"""How are thousands of requests a second made without the caller being the bottleneck?

Raw HTTP/1.1 on keep-alive connections, each of which asks anew as soon as it is answered.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


class Answered(NamedTuple):
    """What came of some requests."""

    seconds: float
    """From the first request to the last answer."""
    times: list[float]
    """How long each took, in seconds."""
    last: bytes
    """The last answer: its head, an empty line, its body (in chunks, where it came in such)."""


def request(
    method: str, path: str, body: bytes = b"", *, media_type: str = "application/json", **headers: str
) -> bytes:
    """A request as it is sent; `headers` are named with underscores."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines += [f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(port: int, requests: Sequence[bytes], *, callers: int = 1) -> Answered:
    """Make these requests on so many connections. Raises RuntimeError for an answer that is not 2xx."""
    loop = asyncio.get_running_loop()
    left, times = iter(requests), list[float]()
    connected = [
        await loop.create_connection(lambda: _Caller(left, times), "127.0.0.1", port)
        for _ in range(min(callers, len(requests)))
    ]
    made = [caller for _, caller in connected]
    began = time.perf_counter()
    for caller in made:
        caller.begin()
    await asyncio.gather(*(caller.ended for caller in made))
    seconds = time.perf_counter() - began
    for transport, _ in connected:
        transport.close()
    return Answered(seconds, times, made[-1].last)


class _Caller(asyncio.Protocol):
    """One connection; takes the next of the requests that all share whenever it has an answer."""

    def __init__(self, requests: Iterator[bytes], times: list[float]) -> None:
        self._requests = requests
        self._times = times
        self._received = bytearray()
        self._needed: int | None = None
        self._asked_at = 0.0
        self.last = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has no such base

    def begin(self) -> None:
        """Ask for the first time."""
        message = next(self._requests, None)
        if message is None:
            self.ended.set_result(None)
            return
        self._asked_at = time.perf_counter()
        self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._needed is None:
            self._needed = _length(self._received)
        if self._needed is None or not _is_whole(self._received, self._needed):
            return
        self._times.append(time.perf_counter() - self._asked_at)
        self.last, self._received, self._needed = bytes(self._received), bytearray(), None
        if not self.last.startswith(b"HTTP/1.1 2"):
            self._fail(f"The server answered {self.last.decode('latin-1')}")
            return
        self.begin()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"The server hung up: {error}")

    def _fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(RuntimeError(why))


def _length(received: bytearray) -> int | None:
    """How many bytes an answer has that begins like this; 0 for one in chunks, None while its head is not complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    if _CHUNKED.search(received, 0, end):
        return 0
    length = _LENGTH.search(received, 0, end)
    return end + 4 + (int(length[1]) if length else 0)


def _is_whole(received: bytearray, needed: int) -> bool:
    return len(received) >= needed if needed else received.endswith(_LAST_CHUNK)
