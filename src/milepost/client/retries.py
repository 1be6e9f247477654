"""When is a request sent again, and after how long?"""

from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import Final

import httpx2

Sleep = Callable[[float], None]
AsyncSleep = Callable[[float], Awaitable[None]]
"""What lets so many seconds pass."""

BASE: Final = 0.5
"""Seconds that the first pause takes at most; each further one may take twice as long as the one before."""

LONGEST: Final = 10.0
"""Seconds that a pause takes at most, unless the server asks for more."""

LIMITS: Final = httpx2.Limits(keepalive_expiry=4.0)
"""An idle connection is let go of before servers do so, mostly after 5 seconds. What is sent into one that just ends
may have come or not, and what must not come twice could not be sent again."""

DAY: Final = 86_400.0
"""Seconds to which a Retry-After is cut: an absurd one is no reason to sleep for ever, or to fail at it."""

_NOTHING_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_HOPELESS: Final = (httpx2.LocalProtocolError, httpx2.ProxyError, httpx2.UnsupportedProtocol)
"""What does not pass by itself."""

_REFUSED: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Answers of a server that has not begun."""

_FOR_A_WHILE: Final = _REFUSED | {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}


class Repeat(Enum):
    """After what a request may be sent again."""

    IDEMPOTENT = "idempotent"
    """After whatever passes by itself: asked twice is asked once (RFC 9110, section 9.2.2)."""
    NOT_BEGUN = "not begun"
    """Only where nothing was sent, or the server says that it did not begin (429, 503)."""
    NOT_SENT = "not sent"
    """Only where nothing was sent."""

    def after(self, outcome: httpx2.TransportError | int) -> bool:
        """Whether to try again after this error of the connection, or an answer of this status."""
        if isinstance(outcome, int):
            return outcome in {self.IDEMPOTENT: _FOR_A_WHILE, self.NOT_BEGUN: _REFUSED}.get(self, ())
        if self is Repeat.IDEMPOTENT:
            return not isinstance(outcome, _HOPELESS)
        return isinstance(outcome, _NOTHING_SENT)


def pause(tries: int, asked: float | None, random: Callable[[], float]) -> float:
    """Seconds until the next try, after so many.

    They grow exponentially, with full jitter: clients that failed together do not come back together. `random` gives
    0 to 1. `asked`: the seconds that the server asked for; it is never asked earlier.
    """
    return max(random() * min(LONGEST, BASE * 2.0 ** min(tries - 1, 16)), asked or 0.0)


def retry_after(headers: httpx2.Headers, now: float) -> float | None:
    """Seconds that a `Retry-After` asks for (RFC 9110, section 10.2.3); None where it says nothing, or nothing clear.

    A date counts from the answer's own `Date`, or else from `now`, in seconds since the epoch.
    """
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said), DAY)
    until = _moment(said)
    if until is None:
        return None
    sent_at = _moment(headers.get("date", ""))
    return min(max(0.0, until - (now if sent_at is None else sent_at)), DAY)


def _moment(date: str) -> float | None:
    """An HTTP date in seconds since the epoch."""
    try:
        moment = parsedate_to_datetime(date)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def share(left: float, tries_left: int) -> float:
    """Seconds that one try of an idempotent request may take of those that are left.

    An answer that is lost must leave time for another try; the last one may take it all.
    """
    return left / 2 if tries_left else left
