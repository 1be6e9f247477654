"""How long may a peer hold a connection up that no application looks after just then?

While the head of a request comes, or the rest of a body after its answer; while an answer leaves, or what is left of
it. What takes that long on purpose, a request that waits, is the application's.
"""

import asyncio
from fcntl import ioctl
from struct import Struct
from termios import TIOCOUTQ
from typing import Final

from milepost.cli.heads import BoundedHeads

_INT: Final = Struct("i")
_REFUSAL: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class ImpatientProtocol(BoundedHeads):
    """uvicorn's, but who neither sends nor takes anything for `patience` seconds is hung up on."""

    __slots__ = ("_sending", "_taking")

    patience: float = 60

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._taking: asyncio.TimerHandle | None = None
        """Runs while something written is to be taken."""
        self._sending: asyncio.TimerHandle | None = None
        """Runs while a head, or the rest of a body, is to come."""
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._arrived()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        super().data_received(data)
        if self._pending:
            self._expect()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._arrived()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is complete; perhaps it does not heed all of the body."""
        super().on_response_complete()
        if self.cycle.more_body:
            self._expect()

    def _expect(self) -> None:
        if self._sending is None and not self.transport.is_closing():
            self._sending = self.loop.call_later(self.patience, self._nothing_came)

    def _arrived(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _nothing_came(self) -> None:
        self._sending = None
        # There is no cycle before the first request, whatever its type says.
        answered = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]
        if not answered:
            self._expect()  # an application has it
            return
        if self._pending:
            self.transport.write(_REFUSAL)
        self.close()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: so much was written that the peer has to take some of it first."""
        super().pause_writing()
        self._let_take()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come since the last answer."""
        self.close()

    def close(self) -> None:
        """Hang up, once the peer has what was written, as far as it takes it."""
        if not self.transport.is_closing():
            self.transport.close()
        self._let_take()

    def _let_take(self) -> None:
        left = self._left()
        if left and self._taking is None:
            self._taking = self.loop.call_later(self.patience, self._took, left)

    def _took(self, before: int) -> None:
        self._taking = None
        left = self._left()
        if left >= before:
            self.transport.abort()
        elif left:
            self._taking = self.loop.call_later(self.patience, self._took, left)

    def _left(self) -> int:
        """Bytes that the peer has not taken: those here, and those in the system, which may keep megabytes."""
        left = self.transport.get_write_buffer_size()
        if left == 0:
            return 0
        try:
            (queued,) = _INT.unpack(ioctl(self.transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(_INT.size)))
        except OSError:  # it has gone
            return left
        return left + int(queued)
