"""How does a result leave as a file: whole or a range of it (RFC 9110, section 14), under a safe name (RFC 6266)?"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from milepost import file_name
from milepost.http.errors import RangeNotSatisfiable
from milepost.http.etag import is_unchanged
from milepost.http.stream import Stream
from milepost.results import ResultBody

_RANGE: Final = re.compile(r"bytes\s*=\s*(?:([0-9]{1,18})\s*-\s*([0-9]{0,18})|-\s*([0-9]{1,18}))", re.IGNORECASE)
_UNQUOTABLE: Final = re.compile(r'[^ -~]|["%]')

_ALWAYS: Final = {
    "accept-ranges": "bytes",
    "cache-control": "private, no-cache",
    # What a task made is not to be trusted with this origin's rights.
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    # The address may be a link, which is a right: it is told to nobody that the result refers to.
    "referrer-policy": "no-referrer",
}


async def result_response(request: Request, result: ResultBody) -> Response:
    """A result, or the part of it that Range asks for. Raises RangeNotSatisfiable, and Gone if it has just expired."""
    tag = f'"{result.mark}"'
    headers = _ALWAYS | {
        "etag": tag,
        "content-type": file_name.media_type(result.media_type),
        # To be saved, not shown, whatever it is: a page or a drawing would else run as one of ours.
        "content-disposition": content_disposition(result.name),
    }
    if is_unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    wanted = _range(request, tag, result.size)
    start, stop = wanted or (0, result.size)
    headers["content-length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(headers=headers)
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{result.size}"
    pieces = _announced(result.read(start, stop))
    await anext(pieces)
    return Stream(pieces, 200 if wanted is None else 206, headers)


def content_disposition(name: str) -> str:
    """To be saved under this name: a plain one for old clients, and the exact one beside it where they differ."""
    safe = file_name.cleaned(name, "result")
    plain = _UNQUOTABLE.sub("_", safe)
    exact = "" if plain == safe else f"; filename*=UTF-8''{quote(safe, safe='')}"
    return f'attachment; filename="{plain}"{exact}'


async def _announced(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The pieces, after an empty one by which it is known that they can be read at all."""
    async with aclosing(pieces):
        first = await anext(pieces, b"")
        yield b""
        yield first
        async for piece in pieces:
            yield piece


def _range(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """The half-open range of bytes that is asked for; None for everything. Raises RangeNotSatisfiable.

    Several ranges, other units, and what can't be understood may be ignored, and are. So is a range of something else
    than what is here, by If-Range; and HEAD knows none.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or request.method != "GET" or request.headers.get("if-range", tag) != tag:
        return None
    first, last, suffix = match.groups()
    start = int(first) if first else max(0, size - int(suffix))
    stop = min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, stop
