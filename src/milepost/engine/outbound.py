"""How is a URL called that somebody else has named: no further, no longer and with no more trust than it takes?

The name is resolved once, and what is connected to is an address that was looked at, so that it does not matter what
the name means a moment later. Redirects are not followed. Of the answer the head is read, up to a bound.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import h11

from milepost.engine.reach import Reach
from milepost.times import DAY, SECOND

TIMEOUT: Final = 15.0
"""Seconds that a call may take in all."""
MAX_HEAD: Final = 16 << 10
"""Bytes that the head of an answer may have."""
PIECE: Final = 4096

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host. Raises OSError."""


class Answer(NamedTuple):
    """What a call was answered with; `retry_after` is the wait that it asks for, in µs."""

    status: int
    retry_after: int | None = None


class Unanswered(Exception):
    """There was no answer; its text says why, without telling what the server can see and who asks may not."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host as the system knows them. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Outbound:
    """Calls URLs, at addresses within `reach`.

    Over plain HTTP only those that the operator has named, since others read what goes over the Internet. `resolve`
    gives the addresses of a host, `trust` the certificates that are trusted; `timeout` is in seconds.
    """

    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolve = resolve,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        timeout: float = TIMEOUT,
    ) -> None:
        self._reach = reach
        self._resolve = resolve
        self._trust = trust
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body, JSON, and give the answer, whatever its status. Raises Unanswered."""
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await self._connected(parts)
                try:
                    return await _exchange(reader, writer, parts, body, headers)
                finally:
                    # Without the farewell of TLS, which the other side could draw out.
                    writer.transport.abort()
        except TimeoutError:
            raise Unanswered(f"It took longer than {self._timeout:g} seconds.") from None
        except (ConnectionError, h11.RemoteProtocolError) as error:
            raise Unanswered("The connection ended, or what came was no answer of HTTP.") from error

    async def _connected(self, parts: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = parts.hostname or "", _port(parts)
        last: Unanswered | None = None
        for address in await self._addresses(parts, host, port):
            try:
                return await self._connect(address, port, host if parts.scheme == "https" else None)
            except ssl.SSLCertVerificationError as error:
                last = Unanswered(f"Its certificate is not trusted: {error.verify_message}.")
            except (OSError, UnicodeError):
                last = Unanswered("It could not be connected to.")
        raise last or Unanswered("Its name has no address.")

    async def _connect(
        self, address: str, port: int, name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to an address; over TLS if there is a `name`, which the certificate has to bear."""
        if name is None:
            return await asyncio.open_connection(address, port, limit=MAX_HEAD)
        if self._tls is None:
            self._tls = await asyncio.to_thread(self._trust)
        return await asyncio.open_connection(address, port, limit=MAX_HEAD, ssl=self._tls, server_hostname=name)

    async def _addresses(self, parts: SplitResult, host: str, port: int) -> list[str]:
        """Those that may be called. Raises Unanswered where none may."""
        try:
            found = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise Unanswered("Its name could not be resolved.") from error
        within = [address for address in found if self._reach.has(address)]
        if found and not within:
            raise Unanswered("No address of it may be called: they are local, and not among those allowed.")
        if parts.scheme == "https":
            return within
        allowed = [address for address in within if self._reach.is_allowed(address)]
        if within and not allowed:
            raise Unanswered("Over the Internet only https is called.")
        return allowed


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    parts: SplitResult,
    body: bytes,
    headers: Mapping[str, str],
) -> Answer:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = {"host": parts.netloc, "content-type": "application/json", "content-length": str(len(body))}
    request = h11.Request(
        method="POST",
        target=target,
        headers=[*{**own, "connection": "close", "user-agent": "Milepost", **headers}.items()],
    )
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    # Who refuses may answer before it has read all of it, and hear no more.
    sending = asyncio.ensure_future(_drained(writer))
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                return Answer(event.status_code, _retry_after(event.headers))
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(PIECE))
    finally:
        sending.cancel()


async def _drained(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await writer.drain()


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The wait that an answer asks for in seconds, in µs, up to a day (RFC 9110, 10.2.3); None for none, or a date."""
    said = next((value.strip() for name, value in headers if name == b"retry-after"), b"")
    return min(int(said[:9]) * SECOND, DAY) if said.isdigit() else None
