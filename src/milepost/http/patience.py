"""How long may a request's body take to come? Who holds it back is told so, and takes up nothing any more."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from starlette.requests import Request
from starlette.types import Send

from milepost.http.errors import TooSlow
from milepost.http.waiting import LEAVING

STEP: Final = 64 << 10
"""Bytes for which a client has so long each time, be it to send or to take them."""


class Allowance:
    """How long a client may still be waited for, which has so many seconds for each `STEP` bytes."""

    __slots__ = ("_each", "_room", "seconds")

    def __init__(self, seconds: float) -> None:
        self._each = seconds
        self.renew()

    def renew(self) -> None:
        """Begin anew, with a new step."""
        self.seconds, self._room = self._each, STEP

    def use(self, seconds: float, size: int) -> None:
        """So many bytes have come within so many seconds of waiting."""
        self.seconds -= seconds
        self._room -= size
        if self._room <= 0:
            self.renew()


def pieces(request: Request, seconds: float) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises TooSlow where not `STEP` more bytes of it, or its end, have come in so many seconds
    of waiting for them, and ClientDisconnect.
    """
    leaving = request.scope.get(LEAVING)
    # Nearly always all of it is there: then nobody needs a clock.
    return request.stream() if leaving is not None and leaving.is_whole() else _awaited(request, seconds)


async def _awaited(request: Request, seconds: float) -> AsyncGenerator[bytes, None]:
    allowance = Allowance(seconds)
    loop = asyncio.get_running_loop()
    async with aclosing(request.stream()) as coming:
        while True:
            began = loop.time()
            piece = await within(coming, allowance.seconds)
            if piece is None:
                return
            allowance.use(loop.time() - began, len(piece))
            yield piece


async def within(coming: AsyncIterator[bytes], seconds: float) -> bytes | None:
    """The next piece, None at the end. Raises TooSlow where it does not come in so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await anext(coming, None)
    except TimeoutError:
        raise TooSlow from None


async def taken(send: Send, piece: bytes, seconds: float) -> None:
    """Send a piece of an answer. Raises TooSlow where a client takes longer than so many seconds for each `STEP`.

    A server takes a piece when the client has taken most of those before.
    """
    try:
        async with asyncio.timeout(seconds * max(1, len(piece) / STEP)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        raise TooSlow from None
