"""How does a result leave as a file: whole or a range of it (RFC 9110, section 14), under a safe name (RFC 6266)?"""

import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from milepost.http.errors import RangeNotSatisfiable
from milepost.http.etag import is_unchanged
from milepost.http.stream import Stream
from milepost.service import ResultBody

_RANGE: Final = re.compile(r"bytes\s*=\s*(?:([0-9]{1,18})\s*-\s*([0-9]{0,18})|-\s*([0-9]{1,18}))\s*", re.IGNORECASE)
_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;\s*[\w!#$&^.+-]+=(?:[\w!#$&^.+:-]+|\"[^\"\\\r\n]*\"))*", re.ASCII)
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of text: `exe.txt` is shown for `txt.exe`."""


async def result_response(request: Request, result: ResultBody) -> Response:
    """A result, or the part of it that Range asks for. Raises RangeNotSatisfiable, and Gone when it vanished."""
    headers = await _headers(result)
    if is_unchanged(request, headers["etag"]):
        return Response(status_code=304, headers={n: headers[n] for n in ("etag", "cache-control")})
    start, stop = _wanted(request, headers["etag"], result.size)
    whole = (start, stop) == (0, result.size)
    if "range" in request.headers and _is_range(request, headers["etag"]):
        headers["content-range"] = f"bytes {start}-{stop - 1}/{result.size}"
    headers["content-length"] = str(stop - start)
    status = 206 if "content-range" in headers else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    del whole
    return Stream(await _begun(result.read(start, stop)), status, headers)
