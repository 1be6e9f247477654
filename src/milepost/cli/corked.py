"""How does an answer leave in one piece, although uvicorn writes its head and its body apart?

Each write is a system call, and wakes the client: for a small answer that costs as much as all else done for it.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST: Final = 64 * 1024
"""So many bytes are not held back: whoever writes more has to hear that the client reads slowly."""


class Corked:
    """A transport that writes once in a turn of the event loop, whatever is written to it in between."""

    __slots__ = ("_loop", "_pieces", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        if not self._pieces:
            self._loop.call_soon(self._uncork)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > LARGEST:
            self._uncork()

    def close(self) -> None:
        """See asyncio.BaseTransport."""
        self._uncork()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """See asyncio.WriteTransport."""
        return self._size + self._transport.get_write_buffer_size()

    def _uncork(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CorkedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, for its option `http`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(cast("asyncio.Transport", Corked(transport)))
