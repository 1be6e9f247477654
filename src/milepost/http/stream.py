"""How does a body leave that is never whole in memory?"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from milepost.http.waiting import cancel, disconnection


class Stream(Response):
    """Sends what a generator yields, each piece when the client has taken the one before.

    Ends at once when the client leaves, and (complete, as far as HTTP knows) once `until` is set. Closes the generator
    in any case. An error of the generator breaks the connection off, so that nobody takes a part for the whole.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        until: asyncio.Event | None = None,
    ) -> None:
        self.status_code = status_code
        self.background = None
        self._pieces = pieces
        self._until = until
        self.init_headers(headers)

    async def aclose(self) -> None:
        """Let go of what would have been sent."""
        await self._pieces.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 ASGI's
        async with aclosing(self._pieces):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if await self._sent_or_stopped(receive, send):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _sent_or_stopped(self, receive: Receive, send: Send) -> bool:
        """Send all pieces; False when the client left before."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(disconnection(receive))
        ends: list[asyncio.Future[Any]] = [sending, leaving]
        if self._until is not None:
            ends.append(asyncio.ensure_future(self._until.wait()))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            return not leaving.done()
        finally:
            await cancel(*ends)

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # others have their turn too, and that the client has left is noticed
