"""How long does a client prefer to wait for the outcome (RFC 7240, section 4.3)?"""

import re
from typing import Final

from starlette.requests import Request

from milepost.http.headers import header

LONGEST: Final = 60
"""Seconds that one request may wait."""

_WAIT: Final = re.compile(r'(?:^|,)\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)


def preferred_wait(request: Request) -> int | None:
    """Seconds that `Prefer: wait=N` asks for, at most `LONGEST`; None where it does not.

    As the RFC has it, the first of several counts, and what can't be understood is ignored.
    """
    if header(request, b"prefer") is None:
        return None
    match = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(int(match[1]), LONGEST) if match else None
