"""How does a body leave that is never whole in memory?"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from milepost.access.limits import DEFAULT_LIMITS
from milepost.http.errors import TooSlow
from milepost.http.patience import taken
from milepost.http.stopping import Stopping
from milepost.http.waiting import break_off, interrupted


class Stream(Response):
    """Sends what a generator yields, each piece when the client has taken the one before.

    `patience`: seconds that a client has to take 64 KiB; the connection of one that takes longer is broken off.

    Ends at once when the client leaves, and (complete, as far as HTTP knows) once `until` is set. Closes the generator
    in any case. An error of the generator breaks the connection off, so that nobody takes a part for the whole.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        until: Stopping | None = None,
    ) -> None:
        self.patience: float = DEFAULT_LIMITS.patience
        self.status_code = status_code
        self.background = None
        self._pieces = pieces
        self._until = until
        self.init_headers(headers)

    async def aclose(self) -> None:
        """Let go of what would have been sent."""
        await self._pieces.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pieces):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                await interrupted(self._send(send), scope, receive, self._until)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except (ClientDisconnect, TooSlow):
                break_off(scope)

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            await taken(send, piece, self.patience)
            await asyncio.sleep(0)  # others have their turn too, and that the client has left is noticed
