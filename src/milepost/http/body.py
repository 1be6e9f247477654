"""How does a request's body become the struct that an operation names?"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request

from milepost.errors import Invalid, Malformed, TooLarge
from milepost.http import fields
from milepost.http.errors import UnsupportedMediaType
from milepost.http.faults import body_fault, sentence
from milepost.http.headers import header

BODY_LIMIT: Final = 1 << 20
"""Bytes that a JSON body may have."""

MAX_DEPTH: Final = 100
"""How deep arrays and objects may be nested: well below what readers of JSON, stores among them, bear."""

_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class BodyReader:
    """Reads JSON bodies of one type, sent as one of some media types, of up to `limit` bytes."""

    def __init__(self, shape: Any, media_types: Sequence[str], *, limit: int = BODY_LIMIT) -> None:
        self._decoder = msgspec.json.Decoder(shape, dec_hook=fields.decode)
        self._media_types = tuple(media_types)
        self._limit = limit

    async def read(self, request: Request) -> Any:
        """The body. Raises UnsupportedMediaType, TooLarge, Malformed, and Invalid with a pointer to what is wrong."""
        if media_type(request) not in self._media_types:
            wanted = " or ".join(self._media_types)
            raise UnsupportedMediaType(f"The body must be sent as {wanted}.", self._media_types)
        return self.decode(await read_bytes(request, self._limit))

    def decode(self, body: bytes) -> Any:
        """The value that these bytes stand for. Raises Malformed, Invalid."""
        if _is_too_deep(body):
            raise Malformed(f"The body is nested more than {MAX_DEPTH} deep.")
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise Invalid(body_fault(error)) from error
        except UnicodeDecodeError as error:
            raise Malformed("The body is not UTF-8.") from error
        except msgspec.DecodeError as error:
            raise Malformed(f"The body is not JSON. {sentence(str(error))}") from error


def media_type(request: Request) -> str:
    """The media type of the body without its parameters, "" where none is said."""
    return (header(request, b"content-type") or "").partition(";")[0].strip().lower()


async def read_bytes(request: Request, limit: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is clear that it has more than `limit` bytes."""
    declared = header(request, b"content-length") or "0"
    body = bytearray()
    if not declared.isdecimal() or int(declared) <= limit:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise TooLarge(f"The body may have up to {limit} bytes.")


def _is_too_deep(body: bytes) -> bool:
    """Whether it is nested deeper than `MAX_DEPTH`: asked before decoding, which recurses."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _TEXT.sub(b"", body).translate(None, _ALL_BUT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
