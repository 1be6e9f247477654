"""How does a body of many lines of JSON arrive (NDJSON), of which there is never more than a little in memory?"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.errors import ServiceError
from milepost.http.body import BodyReader, check_coding, check_media_type, too_large
from milepost.http.patience import Allowance
from milepost.http.waiting import unless_stopped

NDJSON: Final = "application/x-ndjson"
TURN: Final = 50
"""Lines after which everybody else has a turn: one that is refused costs much more than one that is not."""

B = TypeVar("B")


class Line(NamedTuple, Generic[B]):
    """A line of a body by its number, from 1, as what it decodes to, or why it does not."""

    number: int
    body: B | ServiceError


class LineReader:
    """Reads bodies of lines of one type, each as large as a body may be, sent as one of some media types."""

    def __init__(self, shape: Any, media_types: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> None:
        self._reader = BodyReader(shape, media_types, limits, what="line")
        self._media_types = tuple(media_types)
        self._limits = limits

    async def read(self, request: Request) -> "Lines[Any]":
        """The lines, of which none has been read yet. Raises UnsupportedMediaType."""
        check_media_type(request, self._media_types)
        check_coding(request, "body", self._media_types)
        return Lines(request, self._reader, self._limits)


class Lines(Generic[B]):
    """The lines of a body, as they come. Empty ones are passed over, and counted."""

    def __init__(self, request: Request, reader: BodyReader, limits: Limits) -> None:
        self._request = request
        self._reader = reader
        self._limits = limits
        self._limit = limits.body
        self._rest = bytearray()
        self._is_too_long = False
        self._allowance = Allowance(limits.patience)
        self.number = 0
        """How many lines there have been."""
        self.ended = False
        """Whether that was all of the body."""
        self.is_too_slow = False
        """Whether the rest of it did not come in time."""

    async def bunches(self, most: int, stopping: asyncio.Event) -> AsyncGenerator[list[Line[B]], None]:
        """What has arrived, up to `most` lines at once, until all has, `stopping` is set, or no more comes in time.

        Everybody else has a turn now and then, however many lines a piece of the body has, empty ones included.
        Raises ClientDisconnect when the client leaves before; what it left unfinished is no line.
        """
        while not self.ended and not stopping.is_set():
            message = await self._next(stopping)
            if message is None:
                return
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            bunch: list[Line[B]] = []
            for text in self._split(message.get("body", b""), is_last=not message.get("more_body", False)):
                self.number += 1
                if text is None or text.strip():
                    bunch.append(Line(self.number, self._decoded(text)))
                if len(bunch) == most:
                    yield bunch
                    bunch = []
                if self.number % TURN == 0:
                    await asyncio.sleep(0)
            self.ended = not message.get("more_body", False)
            if bunch:
                yield bunch

    async def _next(self, stopping: asyncio.Event) -> Message | None:
        """What comes next; None when `stopping` is set before, or nothing comes in time.

        A line that has begun has to come on, as bodies have to. Between two lines a client may be silent for as long as
        anybody may wait.
        """
        has_begun = self._rest or self._is_too_long
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._allowance.seconds if has_begun else self._limits.wait):
                message = await unless_stopped(self._request.receive(), stopping)
        except TimeoutError:
            self.is_too_slow = True
            return None
        if has_begun and message is not None:
            self._allowance.use(loop.time() - began, len(message.get("body", b"")))
        return message

    def _split(self, piece: bytes, *, is_last: bool) -> Iterator[bytes | None]:
        """The lines that this piece of the body ends; None for one that is too long, which is not kept."""
        *ends, beginning = piece.split(b"\n")
        for end in ends:
            self._extend(end)
            yield self._taken()
        self._extend(beginning)
        if is_last and (self._rest or self._is_too_long):
            yield self._taken()

    def _extend(self, piece: bytes) -> None:
        self._is_too_long = self._is_too_long or len(self._rest) + len(piece) > self._limit
        if self._is_too_long:
            self._rest.clear()
        else:
            self._rest += piece

    def _taken(self) -> bytes | None:
        line = None if self._is_too_long else bytes(self._rest)
        self._rest.clear()
        self._is_too_long = False
        self._allowance.renew()
        return line

    def _decoded(self, text: bytes | None) -> B | ServiceError:
        if text is None:
            return too_large("line", self._limit)
        try:
            body: B = self._reader.decode(text)
        except ServiceError as error:
            return error
        return body
