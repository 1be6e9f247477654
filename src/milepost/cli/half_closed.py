"""Is a client still to be answered that has said that it sends nothing more?

It may have closed its side alone (RFC 9112, section 9.6), or be gone: both look alike. uvicorn takes each for gone, so
that nobody hears of what was done. Here a request that is complete is answered all the same, unless it waits: who waits
for somebody who is gone may do so for hours.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from milepost.http.waiting import LEAVING


class HalfClosedProtocol(HttpToolsProtocol):
    """uvicorn's, above `SlimProtocol`, but an answer that is owed leaves before the connection ends."""

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """See asyncio.Protocol: whether the connection stays open for what is still to be written."""
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        if cycle is None or cycle.response_complete or cycle.more_body or self.pipeline or self.scheme == "https":
            return None  # nothing is owed, or more than one answer; and TLS can't be closed on one side
        cycle.keep_alive = False
        return bool(cycle.scope[LEAVING].end())
