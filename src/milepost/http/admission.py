"""Who may call: everybody on this machine until the first key is made, and from then on who shows one."""

from collections.abc import Callable
from typing import Final, Protocol

from starlette.requests import Request

from milepost.access.principal import ANONYMOUS, Principal
from milepost.errors import Unauthenticated
from milepost.http.credentials import PREFIX
from milepost.http.dialect import Operation
from milepost.http.forwarded import VOUCHED
from milepost.http.open_mode import OpenMode, is_loopback_address
from milepost.service import Service

NO_KEY: Final = "This needs a key that is valid here."
"""Said of no key or token, of what is none, and of one that is unknown, wrong or revoked: nobody learns which it is."""


class Tokens(Protocol):
    """Who else knows callers by what they show, such as `milepost.access.oidc.OpenIdConnect`."""

    async def principal(self, credentials: str) -> Principal | None:
        """Who shows this, which does not begin as keys do; None for nobody.

        Raises ServiceError where that can't be found out.
        """
        ...


class Admission:
    """Asks for keys once one was ever made.

    Whatever is done to keys counts from the next request on, a first one within 10 ms. `service` is asked for at each
    request; it may raise NotOpen. `open_mode` admits callers until then. With `tokens` keys or tokens are asked for
    from the beginning.
    """

    def __init__(
        self, service: Callable[[], Service], open_mode: OpenMode | None = None, *, tokens: Tokens | None = None
    ) -> None:
        self._service = service
        self._open_mode = open_mode or OpenMode()
        self._tokens = tokens

    async def is_open(self) -> bool:
        """Whether everybody on this machine may call, as no key was made yet."""
        return self._tokens is None and not await self._service().keys.in_use()

    async def __call__(self, request: Request, operation: Operation, credentials: str | None) -> Principal:
        """The principal of a valid key or token, or ANONYMOUS where the operation is public.

        Who shows none, on this machine, may be whom the operation takes it for. Raises Unauthenticated; where no key
        is asked for what OpenMode raises.
        """
        try:
            is_open = await self.is_open()
            principal = None if is_open or credentials is None else await self._principal(credentials)
        except Exception:
            if not operation.public:
                raise
            return ANONYMOUS  # liveness and readiness are asked above all when the store can't be
        if is_open or (credentials is None and operation.caller is not None and _is_here(request)):
            return await self._open_mode(request, operation, credentials)
        if principal is None and not operation.public:
            raise Unauthenticated(NO_KEY)
        return principal or ANONYMOUS

    async def _principal(self, credentials: str) -> Principal | None:
        """Who shows this, a key or a token; what is neither costs as much as an unknown key, whatever it looks like."""
        if self._tokens is not None and not credentials.startswith(PREFIX):
            found = await self._tokens.principal(credentials)
            if found is not None:
                await self._service().keys.meet(found)
                return found
        return await self._service().keys.principal(credentials)


def _is_here(request: Request) -> bool:
    """Whether a request comes from a program on this machine itself, and not by way of a proxy."""
    client = request.scope.get("client")
    if client is None or VOUCHED in request.scope or any(_is_of_proxy(name) for name, _ in request.scope["headers"]):
        return False
    return bool(is_loopback_address(client[0]))


def _is_of_proxy(header: bytes) -> bool:
    """Whether proxies tell by this header that there is one."""
    return header.startswith(b"x-forwarded-") or header in _FORWARDED


_FORWARDED: Final = (b"forwarded", b"x-real-ip", b"via")
