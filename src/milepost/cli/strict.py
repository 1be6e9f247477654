"""Might another program on the way read a request otherwise than this server does? Then it is refused.

A proxy and a server that disagree about where a request ends, or whom it asks for, let one client's bytes become a
part of another's request. The parser refuses most of what RFC 9112 calls a danger (two lengths, a length with chunks,
folded lines, bare line feeds); this is about the rest. What is refused is told in its turn, and ends the connection.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from milepost.access.tally import Tally
from milepost.http.forwarded import HOST

logger = logging.getLogger(__name__)

UNREADABLE: Final = "This is no HTTP request that can be read without a doubt (RFC 9112)."
_VERSION: Final = "HTTP/1.1 and HTTP/1.0 are spoken here, and no other version."
_CODING: Final = "Transfer-Encoding: this may be chunked, said once, and with HTTP/1.1 (RFC 9112, section 6.1)."
_ONE_HOST: Final = "Host: this is said once (RFC 9112, section 3.2)."
_NO_HOST: Final = "Host: this is no host."
_TWO_HOSTS: Final = "The target of the request names another host than its header does."
_NO_TARGET: Final = "The target of the request is no path."
_FRAGMENT: Final = "The target of the request has a fragment, which is never sent."

_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)

# What uvicorn warns of at each request that anybody may send: a tally is told instead.
_QUIET: Final = logging.getLogger("uvicorn.error.requests")
_QUIET.setLevel(logging.ERROR)


class StrictProtocol(HttpToolsProtocol):
    """uvicorn's, but what is in doubt is answered with 400."""

    refused: ClassVar[Tally] = Tally()
    """How many requests of this process could not be read."""
    _why = ""
    _is_over = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _QUIET

    def data_received(self, data: bytes) -> None:
        """Some bytes have come. What follows a refusal is nobody's."""
        if not self._is_over:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        """A head is complete. What is raised here the parser takes for an error of the request."""
        why = doubt(self.parser.get_http_version(), self.parser.get_method(), self.url, self.headers)
        if why:
            self._why = why  # not in all connections: one attribute more than uvicorn's makes each of them larger
            raise ValueError(why)
        super().on_headers_complete()
        self.headers = []  # for trailers: a proxy that looks at headers does not look at these
        if self.parser.should_upgrade():
            # The parser drops what has come with it, as another protocol's: the rest would be read from the middle.
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 uvicorn's
        """Refuse what has come: after the answers to what came before it, so that none is taken for another's."""
        self._is_over = True
        self._note()
        text = self._why or UNREADABLE
        cycle = self.cycle
        if cycle is None or cycle.response_complete:  # type: ignore[redundant-expr] # None before the first request
            super().send_400_response(text)
        elif not cycle.more_body:
            self._refuse_later(text)
        elif self.pipeline:
            self.pipeline[0] = (cycle, _refusal(text))  # the newest; it has not begun
        elif cycle.response_started:
            self.transport.close()
        else:
            super().send_400_response(text)

    def _refuse_later(self, text: str) -> None:
        cycle = RequestResponseCycle(
            scope={**self.scope, "method": "GET"},
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self.pipeline.appendleft((cycle, _refusal(text)))

    def _note(self) -> None:
        self.refused.add()
        count = self.refused.due()
        if count:
            logger.warning("Refused without reading on: %d requests since this was last said", count)


def doubt(version: str, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> str:
    """What makes a head ambiguous; "" for nothing. Names of headers are in lower case."""
    if version not in ("1.1", "1.0"):
        return _VERSION
    hosts, codings = [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if codings and (len(codings) > 1 or codings[0].strip().lower() != b"chunked" or version == "1.0"):
        return _CODING
    if len(hosts) != 1 and (hosts or version == "1.1"):
        return _ONE_HOST
    host = hosts[0] if hosts else b""
    if hosts and not _is_host(host):
        return _NO_HOST
    return _doubt_of_target(method, target, host)


def _doubt_of_target(method: bytes, target: bytes, host: bytes) -> str:
    if b"#" in target:
        return _FRAGMENT
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return ""
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return _NO_TARGET
    return "" if absolute[1].lower() == host.lower() else _TWO_HOSTS


@lru_cache(maxsize=256)
def _is_host(host: bytes) -> bool:
    return HOST.fullmatch(host.decode("latin-1")) is not None


def _refusal(text: str) -> Callable[[Any, Any, Callable[[Any], Awaitable[None]]], Awaitable[None]]:
    """An application that answers with 400, whatever it is asked."""

    async def refuse(_scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    return refuse
