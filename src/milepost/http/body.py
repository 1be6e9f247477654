"""How does a request's body become the struct that an operation names?"""

import re
from collections.abc import Sequence
from functools import wraps
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.errors import Fault, Invalid, Malformed, TooLarge
from milepost.http import fields
from milepost.http.dialect import Call, Handler
from milepost.http.errors import UnsupportedMediaType
from milepost.http.faults import body_fault, sentence
from milepost.http.headers import header, joined
from milepost.http.misfits import misfit, repeated_member
from milepost.http.patience import pieces

_DIGITS: Final = 18
"""Of a Content-Length; with more it is too large for anything."""
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A string, or one without an end: were that none, each quote in it would be looked at as the beginning of one."""
_UTF_8: Final = ("utf-8", "utf8")
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class BodyReader:
    """Reads JSON bodies of one type, sent as one of some media types, as large and as deep as `limits` has it.

    `what` they are called where they are refused.
    """

    def __init__(
        self, shape: Any, media_types: Sequence[str], limits: Limits = DEFAULT_LIMITS, *, what: str = "body"
    ) -> None:
        self._decoder = msgspec.json.Decoder(shape, dec_hook=fields.decode)
        self._media_types = tuple(media_types)
        self._limits = limits
        self._what = what

    async def read(self, request: Request) -> Any:
        """The body. Raises UnsupportedMediaType, TooLarge, Malformed, and Invalid with a pointer to what is wrong."""
        check_media_type(request, self._media_types)
        check_coding(request, self._what, self._media_types)
        return self.decode(await read_bytes(request, self._limits.body, self._limits.patience))

    def decode(self, body: bytes) -> Any:
        """The value that these bytes stand for. Raises Malformed, Invalid."""
        if _is_too_deep(body, self._limits.depth):
            raise Malformed(f"The {self._what} is nested more than {self._limits.depth} deep.")
        try:
            value = self._decoder.decode(body)
            repeated = repeated_member(body)
        except msgspec.ValidationError as error:
            raise Invalid(_exactly(body_fault(error), body)) from error
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            raise _malformed(body, error, self._what) from error
        if repeated is not None:
            raise Invalid(repeated)
        return value


def _exactly(fault: Fault, body: bytes) -> Fault:
    """The fault with the whole way to it, where it is a number that is too large: msgspec knows only the field."""
    if not fault.detail.endswith("out of range."):
        return fault
    return misfit(body) or fault


def _malformed(body: bytes, error: Exception, what: str) -> Malformed:
    """Why the body can't be read, and where."""
    if body.startswith(_BYTE_ORDER_MARKS):
        return Malformed(f"The {what} begins with a byte order mark; JSON is sent as UTF-8 without one.")
    why = "not UTF-8." if isinstance(error, UnicodeDecodeError) else f"not JSON. {sentence(str(error))}"
    if not body:
        why = "empty."
    fault = misfit(body)
    if fault is None:
        return Malformed(f"The {what} is {why}")
    kind = "UTF-8" if isinstance(error, UnicodeDecodeError) else "JSON"
    place = f"{fault.pointer}: " if fault.pointer else ""
    return Malformed(f"The {what} is not {kind}. {place}{fault.detail}", errors=[fault])


def check_media_type(request: Request, media_types: Sequence[str]) -> None:
    """Raise UnsupportedMediaType unless the body is sent as one of these, and as UTF-8: JSON is nothing else (RFC 8259,
    section 8.1), and another charset would be read as what it is not.
    """
    if media_type(request) not in media_types:
        raise UnsupportedMediaType(f"The body must be sent as {' or '.join(media_types)}.", media_types)
    for parameter in (header(request, b"content-type") or "").split(";")[1:]:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"')
        if name.strip().lower() == "charset" and charset.lower() not in _UTF_8:
            raise UnsupportedMediaType(
                f"The body must be sent as UTF-8, not with the charset {charset!r:.60} (RFC 8259, section 8.1).",
                media_types,
            )


def check_coding(request: Request, what: str, media_types: Sequence[str] = ()) -> None:
    """Raise UnsupportedMediaType where the body, which `what` it is, is compressed or coded otherwise."""
    coding = joined(request, b"content-encoding")
    if coding is not None and coding.strip().lower() != "identity":
        raise UnsupportedMediaType(f"The {what} must be sent as it is, without a Content-Encoding.", media_types)


def check_length(request: Request, what: str, limit: int) -> None:
    """Raise TooLarge where the request says that its body has more than `limit` bytes, or says it in no way known."""
    declared = header(request, b"content-length") or "0"
    if not declared.isdecimal() or len(declared) > _DIGITS or int(declared) > limit:
        raise too_large(what, limit)


def too_large(what: str, limit: int) -> TooLarge:
    """The refusal of a body, which `what` it is, that has more than `limit` bytes."""
    return TooLarge(f"The {what} may have up to {limit} bytes.")


def media_type(request: Request) -> str:
    """The media type of the body without its parameters, "" where none is said."""
    return (header(request, b"content-type") or "").partition(";")[0].strip().lower()


async def read_bytes(request: Request, limit: int, patience: float) -> bytes:
    """The whole body. Raises TooLarge as soon as it is clear that it has more than `limit` bytes, and TooSlow."""
    check_length(request, "body", limit)
    body = bytearray()
    async for piece in pieces(request, patience):
        body += piece
        if len(body) > limit:
            raise too_large("body", limit)
    return bytes(body)


def is_without_body(request: Request) -> bool:
    """Whether a request says that it has no body, and none of any type (RFC 9112, section 6.3)."""
    headers = dict(request.scope["headers"])
    length = headers.get(b"content-length", b"0").strip()
    return length == b"0" and b"transfer-encoding" not in headers and b"content-type" not in headers


def without_body(handler: Handler) -> Handler:
    """The handler of an operation that takes no body: one that says something is refused, instead of left unread.

    Clients that can't do without one send an empty object.
    """

    @wraps(handler)
    async def checked(call: Call[Any, Any]) -> Response:
        said = b""
        async for piece in pieces(call.request, call.service.limits.patience):
            said = (said + piece).strip()
            if said not in (b"", b"{", b"{}"):
                break
        if said not in (b"", b"{}"):
            raise Invalid(Fault("This takes no body.", pointer=""))
        return await handler(call)

    return checked


def _is_too_deep(body: bytes, most: int) -> bool:
    """Whether it is nested more than `most` deep: asked before decoding, which recurses."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    depth = 0
    for bracket in _TEXT.sub(b"", body).translate(None, _ALL_BUT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > most:
            return True
    return False
