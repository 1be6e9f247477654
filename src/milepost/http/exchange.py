"""How does an answer leave piece by piece while its request still comes in?

Some clients read while they send, others send all before they read anything. The answer may not wait for the first
kind's end, nor the request for the other kind's reading: what can't leave yet is kept, in memory while it is little,
else in a temporary file. Once that is large, nothing more is read of the request until the client has taken all of it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from tempfile import SpooledTemporaryFile
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from milepost.access.limits import DEFAULT_LIMITS
from milepost.http.errors import TooSlow
from milepost.http.patience import taken
from milepost.http.waiting import break_off, cancel

IN_MEMORY: Final = 1 << 20
"""Bytes of what can't leave yet that are kept in memory."""
MOST: Final = 32 << 20
"""Bytes of it with which no more of the request is read: what some 250,000 started tasks are told with."""
PIECE: Final = 64 << 10
"""Bytes that are sent at once."""
LINGER: Final = 5.0
"""Seconds that a client has to take the rest once the server is about to stop."""


class Exchange(Response):
    """Sends what a generator yields, which reads the request meanwhile.

    The first piece begins the answer. A client that takes nothing for `patience` seconds is cut off, and once `until`
    is set one that has not taken everything within `LINGER` seconds. An error of the generator breaks the connection
    off, so that nobody takes a part for the whole.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str, *, until: asyncio.Event) -> None:
        self.patience: float = DEFAULT_LIMITS.patience
        self.status_code = 200
        self.background = None
        self._pieces = pieces
        self._until = until
        self.init_headers(
            {"content-type": media_type, "x-content-type-options": "nosniff", "cache-control": "no-store"}
        )

    async def aclose(self) -> None:
        """Let go of what would have been sent."""
        await self._pieces.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 ASGI's
        backlog = Backlog()
        sending = asyncio.ensure_future(self._send(backlog, send))
        try:
            async with aclosing(self._pieces):
                async for piece in self._pieces:
                    if sending.done():
                        break
                    backlog.put(piece)
                    if not await self._has_room(backlog, sending):
                        break_off(scope)
                        return
            backlog.end()
            try:
                await asyncio.wait_for(sending, LINGER if self._until.is_set() else None)
            except (TimeoutError, TooSlow):
                break_off(scope)
        finally:
            await cancel(sending)
            backlog.close()

    async def _has_room(self, backlog: "Backlog", sending: "asyncio.Future[None]") -> bool:
        """Waits until more may be read of the request; False where the client does not take what there is."""
        while backlog.is_full and not (sending.done() or self._until.is_set()):
            backlog.taken.clear()
            news = [asyncio.ensure_future(event.wait()) for event in (backlog.taken, self._until)]
            ends: list[asyncio.Future[Any]] = [sending, *news]
            try:
                done, _ = await asyncio.wait(ends, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    return False
            finally:
                await cancel(*news)
        return True

    async def _send(self, backlog: "Backlog", send: Send) -> None:
        piece = await backlog.take()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while piece:
            await taken(send, piece, self.patience)
            piece = await backlog.take()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Backlog:
    """What waits to be sent."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 closed by `close`
        self._sent = self._size = 0
        self._ended = False
        self._news = asyncio.Event()
        self.taken = asyncio.Event()
        """Set whenever some of it has been taken."""

    @property
    def is_full(self) -> bool:
        """Whether nothing should be added: it has grown past `MOST` bytes, and has not been empty since."""
        return self._size > MOST

    def put(self, piece: bytes) -> None:
        """Add to it."""
        self._file.seek(self._size)
        self._size += self._file.write(piece)
        self._news.set()

    def end(self) -> None:
        """Nothing more will be added."""
        self._ended = True
        self._news.set()

    async def take(self) -> bytes:
        """Some of what comes next, as soon as there is anything; nothing at the end."""
        while self._sent == self._size:
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        self._file.seek(self._sent)
        piece = self._file.read(PIECE)
        self._sent += len(piece)
        if self._sent == self._size:
            self._file.seek(0)
            self._file.truncate()
            self._sent = self._size = 0
        self.taken.set()
        return piece

    def close(self) -> None:
        """Forget it."""
        self._file.close()
