"""How does a JSON array leave that may be larger than what is to be in memory?"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from milepost.errors import Unauthenticated
from milepost.http.representation import JSON_HEADERS, NO_STORE, json_answer
from milepost.http.stream import Stream

WHOLE: Final = 1 << 20
"""Bytes of an array that leaves in one piece, with its length; a larger one leaves as it is made."""


async def json_array(bunches: AsyncGenerator[list[bytes], None]) -> Response:
    """The array of these elements, JSON each. What fails before the answer has begun is raised, and else cuts it off.

    Who is not to see any more of it (Unauthenticated) is cut off without a word.
    """
    begun: list[bytes] = []
    size = 0
    async for bunch in bunches:
        begun += bunch
        size += sum(map(len, bunch))
        if size > WHOLE:
            headers = {name.decode(): value.decode() for name, value in (*JSON_HEADERS, NO_STORE)}
            return Stream(_pieces(begun, bunches), headers=headers)
    return json_answer(b"[%b]" % b",".join(begun))


async def _pieces(begun: list[bytes], bunches: AsyncGenerator[list[bytes], None]) -> AsyncGenerator[bytes, None]:
    """The array in pieces of an element each."""
    async with aclosing(bunches):
        before = b"["
        while begun:
            yield before + begun.pop(0)
            before = b","
        try:
            async for bunch in bunches:
                while bunch:
                    yield before + bunch.pop(0)
        except Unauthenticated:
            raise ClientDisconnect from None
    yield b"]"
