"""How is a URL called that somebody else has named: no further, no longer and with no more trust than it takes?

The name is resolved once, and what is connected to is an address that was looked at, so that it does not matter what
the name means a moment later. Redirects are not followed. Of the answer the head is read, up to a bound.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import h11

from milepost import own_thread
from milepost.engine.names import Crowded, Names, Unresolved
from milepost.engine.reach import Reach, is_public
from milepost.network import address
from milepost.times import DAY, SECOND

TIMEOUT: Final = 15.0
"""Seconds that a call may take in all."""
MAX_HEAD: Final = 16 << 10
"""Bytes that the head of an answer may have."""
PIECE: Final = 4096

UNREACHED: Final = (
    "It could not be reached: its name is not known, none of its addresses may be called, or nothing answers there."
)
"""One text for all of these: else whoever may start a task would learn by it what only the server can see."""
CROWDED: Final = "Too many names of its tenant's callbacks are still being looked up."


class Answer(NamedTuple):
    """What a call was answered with; `retry_after` is the wait that it asks for, in µs."""

    status: int
    retry_after: int | None = None


class Unanswered(Exception):
    """There was no answer; its text says why, without telling what the server can see and who asks may not.

    `seen` is for the operator, and says that too.
    """

    def __init__(self, told: str, seen: str | None = None) -> None:
        super().__init__(told)
        self.seen = seen or told


class Outbound:
    """Calls URLs, at addresses within `reach`.

    Over plain HTTP only those that the operator has named, since others read what goes over the Internet. `names` gives
    the addresses of hosts, `trust` the certificates that are trusted; `timeout` is in seconds.
    """

    def __init__(
        self,
        reach: Reach,
        *,
        names: Names | None = None,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        timeout: float = TIMEOUT,
    ) -> None:
        self._reach = reach
        self._names = names or Names()
        self._trust = trust
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, tenant: str) -> Answer:
        """Send a body, JSON, on a tenant's wish, and give the answer, whatever its status. Raises Unanswered."""
        parts = urlsplit(url)
        addresses: Sequence[str] = ()
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._addresses(parts, tenant)
                reader, writer = await self._connected(parts, addresses)
                try:
                    return await _exchange(reader, writer, parts, body, headers)
                finally:
                    # Without the farewell of TLS, which the other side could draw out.
                    writer.transport.abort()
        except TimeoutError:
            raise _met(f"It took longer than {self._timeout:g} seconds.", addresses) from None
        except ssl.SSLCertVerificationError as error:
            raise _met(f"Its certificate is not trusted: {error.verify_message}.", addresses) from error
        except (ConnectionError, h11.RemoteProtocolError) as error:
            raise _met("The connection ended, or what came was no answer of HTTP.", addresses) from error

    async def _connected(
        self, parts: SplitResult, addresses: Iterable[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of these. Raises Unanswered, and ssl.SSLCertVerificationError."""
        last: Exception = Unanswered(UNREACHED, "Its name has no address.")
        name = parts.hostname if parts.scheme == "https" else None
        for each in addresses:
            try:
                return await self._connect(each, _port(parts), name)
            except ssl.SSLCertVerificationError as error:
                last = error
            except (OSError, UnicodeError) as error:
                last = Unanswered(UNREACHED, f"{each} could not be connected to: {error}")
        raise last

    async def _connect(
        self, address: str, port: int, name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to an address; over TLS if there is a `name`, which the certificate has to bear."""
        if name is None:
            return await asyncio.open_connection(address, port, limit=MAX_HEAD)
        if self._tls is None:
            self._tls = await asyncio.wrap_future(own_thread.begin(self._trust, "trust"))
        return await asyncio.open_connection(address, port, limit=MAX_HEAD, ssl=self._tls, server_hostname=name)

    async def _addresses(self, parts: SplitResult, tenant: str) -> list[str]:
        """Those that may be called. Raises Unanswered where none may."""
        host = parts.hostname or ""
        try:
            found = list(dict.fromkeys(await self._names.addresses(host, _port(parts), tenant)))
        except Crowded as error:
            raise Unanswered(CROWDED, str(error)) from error
        except Unresolved as error:
            raise Unanswered(UNREACHED, str(error)) from error
        within = [each for each in found if self._reach.has(each)]
        if found and not within:
            raise Unanswered(UNREACHED, f"No address of {host} may be called: {', '.join(found)}")
        if parts.scheme == "https":
            return within
        allowed = [each for each in within if self._reach.is_allowed(each)]
        if within and not allowed:
            raise Unanswered("Over the Internet only https is called.")
        return allowed


def _met(seen: str, addresses: Sequence[str]) -> Unanswered:
    """What happened on the way. Of the Internet it is told; what is local and may be called is not to be explored."""
    is_known = bool(addresses) and all(is_public(address(each)) for each in addresses)
    return Unanswered(seen if is_known else UNREACHED, seen)


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
