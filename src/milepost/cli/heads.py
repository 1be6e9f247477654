"""How much of a request may come before its body? The parser keeps the head until it is complete, and knows no end."""

import asyncio
from collections.abc import Sequence
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT: Final = 256 * 1024
"""Bytes that may come without any of them completing a head or being of a body."""

_REFUSAL: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

_TOO_LARGE: Final = -1
"""Bytes that are pending, where a head was found to be too large only when it was complete."""


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's, but what has no end (a header, the extension of a chunk, trailers) is cut off with 431."""

    __slots__ = ("_pending",)  # uvicorn's own attributes are as many as instances of a class can share the names of

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._pending = 0

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > HEAD_LIMIT and not self.transport.is_closing():
            # There is no cycle before the first request, whatever its type says.
            if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A head is complete. What is raised here the parser takes for an error of the request."""
        # What came with its end, a body say, counts too so far.
        if self._pending > HEAD_LIMIT and _size(self.url, self.headers) > HEAD_LIMIT:
            self._pending = _TOO_LARGE
            raise ValueError
        self._pending = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what has come."""
        if self._pending == _TOO_LARGE:
            self.transport.write(_REFUSAL)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def on_body(self, body: bytes) -> None:
        """Some of a body has come."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._pending = 0
        super().on_message_complete()


def _size(target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes of a head: with a colon, a space and a line's end for each header."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers)
