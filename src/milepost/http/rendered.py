"""How does an answer leave whose body is in memory and whose headers are bytes already?"""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Names are in lower case."""

_WITHOUT_BODY: Final = frozenset({204, 304})


class Rendered(Response):
    """What Starlette's own does, without encoding the same headers anew for each of thousands of status reads."""

    def __init__(self, body: bytes, status_code: int = 200, headers: RawHeaders = ()) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        self.raw_headers = list(headers)
        if status_code not in _WITHOUT_BODY:
            self.raw_headers.append((b"content-length", b"%d" % len(body)))
