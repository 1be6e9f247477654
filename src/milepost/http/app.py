"""How does a request become an answer: which steps does the ASGI application take, and in what order?"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.access.places import Place
from milepost.access.principal import ANONYMOUS, LOCAL
from milepost.errors import NotOpen, ServiceError, TooMany, Unauthenticated
from milepost.http.admission import NO_KEY, Admission
from milepost.http.dialect import Authenticator, Call, Dialect
from milepost.http.dispatch import Route, Table, Unrouted
from milepost.http.errors import Internal
from milepost.http.exchange import Exchange
from milepost.http.forwarded import Forwarding
from milepost.http.headers import check_single
from milepost.http.open_mode import OpenMode
from milepost.http.redaction import hide_secrets
from milepost.http.site import Site
from milepost.http.stopping import Stopping
from milepost.http.stream import Stream
from milepost.http.throttle import Throttle
from milepost.http.waiting import break_off
from milepost.service import Service
from milepost.store.refusals import StoreBusy, StoreFull
from milepost.told import DISK_FULL, unavailable

logger = logging.getLogger(__name__)

_NO_WEBSOCKET: Final = {"type": "websocket.close", "code": 1000}


class HttpApp:
    """The HTTP API in some dialects, with the pages about it, as an ASGI application to serve or to mount.

    `service` is asked for at each request, so that the application can exist before the store is open; it may raise
    NotOpen. `authenticator` says who calls, which `scope["user"]` tells from then on; by default keys are asked for
    once there is one. `forwarding` says which proxies to believe, and the public URL. `limits` bound what is read of
    requests, and what their callers take together; those of the service bound the rest. `lifespan` surrounds the
    requests where a server serves just this: what it is mounted on has a lifespan of its own. Raises ValueError when
    two dialects answer the same method on the same path. Keeps secrets in URLs out of uvicorn's access log.
    """

    def __init__(
        self,
        service: Callable[[], Service],
        dialects: Sequence[Dialect],
        *,
        authenticator: Authenticator | None = None,
        forwarding: Forwarding | None = None,
        limits: Limits = DEFAULT_LIMITS,
        lifespan: Callable[[object], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self._service = service
        self._authenticator = authenticator or Admission(service)
        self._forwarding = forwarding or Forwarding()
        self._site = site = Site(dialects, open_mode=self.is_open)
        self._table = Table([*dialects, site], otherwise=site, limits=limits)
        self._throttle = Throttle(limits)
        self._still_admitted = self._check_admission  # bound once: thousands of calls keep it
        self._patience = limits.patience
        self._lifespan = Router(lifespan=lifespan).lifespan
        hide_secrets()
        self.begin()

    async def is_open(self) -> bool:
        """Whether everybody on this machine may call just now, without a key."""
        asked = self._authenticator
        return isinstance(asked, Admission | OpenMode) and await asked.is_open()

    @property
    def beginnings(self) -> frozenset[str]:
        """The first segments of its paths, as far as they are fixed: a prefix that begins like one is ambiguous."""
        return self._table.beginnings

    async def log_access(self) -> bool:
        """Say in the log where everybody may call, for a server that starts; whether that is so."""
        is_open = await self.is_open()
        if is_open:
            logger.warning("No key is asked for: everybody on this machine may do everything")
        return is_open

    def begin(self) -> None:
        """Be as new, for a server that starts: one that has stopped may have been in this process, on another loop."""
        self._site.is_leaving = False
        self.stopping = Stopping()
        """Set by whoever is about to stop the server: waits then answer with what there is, and streams end."""

    def leave(self) -> None:
        """Say at `/readyz` that the server is about to stop. Everything else is answered as ever, until then."""
        self._site.is_leaving = True

    def stop(self) -> None:
        """Let what takes long come to its end, so that a server can stop without waiting for it."""
        self.leave()
        self.stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Thousands of requests may wait in here: each call that is not made, and what is not kept, is saved as often.
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send) if scope["type"] == "lifespan" else await send(_NO_WEBSOCKET)
            return
        request = Request(scope, receive, send)
        held: list[Place] = []
        try:
            response = await self._response(request, held)
            if request.method == "HEAD":
                start = {"status": response.status_code, "headers": response.raw_headers}
                await send({"type": "http.response.start", **start})
                await send({"type": "http.response.body"})
            else:
                await response(scope, receive, send)
        except ClientDisconnect:
            break_off(scope)  # it may only have closed its side
        finally:
            for place in held:
                place.give_back()

    async def _response(self, request: Request, held: list[Place]) -> Response:
        """The answer to a request, refusals and errors included, in the words of whose path it is.

        What is `held` is given back once it has left.
        """
        unclear = self._forwarding(request.scope)
        try:
            route, path = self._table.find(request.method, request.scope)
        except Unrouted as unrouted:
            return unrouted.dialect.problem(unrouted.error, request)
        dialect, operation = route.dialect, route.operation
        try:
            if unclear is not None:
                raise unclear
            call = await self._admitted(request, route, path)
            response = await operation.handler(call)
            if isinstance(response, Stream | Exchange):
                response.patience = self._patience
                await _take_place(call, response, held)
            return response
        except ClientDisconnect:
            raise
        except NotOpen as error:
            logger.error("%s %s can't be answered: %s", request.method, operation.path, error)
            return dialect.problem(error, request)
        except ServiceError as error:
            return dialect.problem(error, request)
        except (StoreBusy, StoreFull) as error:
            if isinstance(error, StoreFull):
                logger.error("%s %s was refused: %s", request.method, operation.path, DISK_FULL)
            return dialect.problem(unavailable(error), request)
        except Exception:
            logger.exception("%s %s failed", request.method, operation.path)
            return dialect.problem(Internal(), request)

    async def _admitted(self, request: Request, route: Route, path: Mapping[str, str]) -> Call[Any, Any]:
        """The call of who may ask, read to its end. Raises ServiceError."""
        check_single(request)
        operation = route.operation
        credentials = route.dialect.credentials(request)
        try:
            principal = await self._authenticator(request, operation, credentials)
        except Unauthenticated:
            if credentials is not None:
                self._throttle.wrong_key(None if request.client is None else request.client.host)
            raise
        request.scope["user"] = principal  # so that a dialect may word even a refusal for whoever asks
        # What is public is nobody's in particular: whoever has used up a share is still told that the server lives.
        # Where no key is asked for nobody has checked what is shown: it does not count as one.
        shown = None if principal is LOCAL or principal is operation.caller else credentials
        share = self._throttle.share(ANONYMOUS if operation.public else principal, shown)
        query = route.query.read(request.scope["query_string"])
        body = await route.read_body(request)
        return Call(request, self._service(), principal, path, query, body, self.stopping, share, self._still_admitted)

    async def _check_admission(self, request: Request) -> None:
        """Raises ServiceError where who makes a request would not be let in any more as who it was."""
        route, _ = self._table.find(request.method, request.scope)
        principal = await self._authenticator(request, route.operation, route.dialect.credentials(request))
        if principal != request.scope["user"]:
            raise Unauthenticated(NO_KEY)


async def _take_place(call: Call[Any, Any], response: Stream | Exchange, held: list[Place]) -> None:
    """Take a place for an answer that lasts. Raises TooMany."""
    try:
        held.append(call.share.place())
    except TooMany:
        await response.aclose()
        raise
