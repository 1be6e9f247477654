"""Who may call without a key, while none was ever made or where an operation asks for none; and how is every web page
kept out?

Open mode trusts programs of this machine, and no other. A browser is one too, on behalf of any page that it shows, so
each request must prove that no foreign page is behind it: by the host that it names (which DNS rebinding can't forge),
by what browsers say of its origin, and by a content type that a page can't send without asking first. No CORS header
is ever sent, so that asking first is refused.
"""

from collections.abc import Collection, MutableMapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from starlette.requests import Request

from milepost.access.principal import LOCAL, Principal
from milepost.errors import Forbidden
from milepost.http.body import media_type
from milepost.http.dialect import Operation
from milepost.http.errors import Misdirected, UnsupportedMediaType
from milepost.http.forwarded import VOUCHED

ANY_HOST: Final = "*"

NOT_HERE: Final = "Without keys, this server answers only programs of its own machine."
NOT_NAMED: Final = (
    "Without keys, this server answers only programs of its own machine, and a proxy which it trusts, at the address "
    "that this comes from, does not say for whom it asks (X-Forwarded-For, or Forwarded)."
)

_OWN: Final = (None, "none", "same-origin")
"""What Sec-Fetch-Site says of requests that no foreign page made; other programs than browsers say nothing."""

_FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""What any page may send anywhere without asking first (the Fetch standard's CORS-safelisted types)."""


class OpenMode:
    """Admits everybody on this machine as `local`, or whom an operation takes them for, but no web page of others.

    `allowed_hosts`: names, without port, that the Host header may carry beside those of the loopback interface; `*` for
    any, where a proxy before it checks. `trusts_proxies`: whoever a trusted proxy lets in is admitted from anywhere.
    """

    def __init__(self, allowed_hosts: Collection[str] = (), *, trusts_proxies: bool = False) -> None:
        self.trusts_proxies = trusts_proxies
        self._any_host = ANY_HOST in allowed_hosts
        self._allowed = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, request: Request, operation: Operation, credentials: str | None) -> Principal:  # noqa: ARG002
        """Everybody is the same, whatever they show. Raises Misdirected, Forbidden, UnsupportedMediaType."""
        if not (_is_here(request.scope) or (self.trusts_proxies and request.scope.get(VOUCHED))):
            raise Forbidden(NOT_HERE if request.scope.get(VOUCHED) is not False else NOT_NAMED)
        headers = dict(request.scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not (self._any_host or is_loopback(host) or _name(host) in self._allowed):
            raise Misdirected("Without a key, this server answers only for localhost and loopback addresses.")
        self._check_site(headers, operation)
        if operation.changes_something:
            _check_origin(headers, host)
            if operation.body is None and media_type(request) in _FORMS.difference(operation.media_types):
                raise UnsupportedMediaType("This takes no form; send it without a body.")
        return operation.caller or LOCAL

    async def is_open(self) -> bool:
        """Whether everybody on this machine may call."""
        return True

    def _check_site(self, headers: dict[bytes, bytes], operation: Operation) -> None:
        site = headers.get(b"sec-fetch-site")
        if site is None or site.decode("latin-1") in _OWN:
            return
        # Into the whole window, and not into a frame that a foreign page has around it.
        navigates = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
        followed_a_link = navigates and not operation.changes_something
        if not followed_a_link:
            raise Forbidden("Without a key, this server answers no web page but its own.")


def _is_here(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request comes from this machine. What is no address can be but that, unless a proxy says it.

    A trusted proxy that does not say for whom it asks may ask for anybody, whatever its own address is.
    """
    client, vouched = scope.get("client"), scope.get(VOUCHED)
    if vouched is False:
        return False
    here = client is None or is_loopback_address(client[0])
    return not vouched if here is None else here


@lru_cache(maxsize=1024)
def is_loopback_address(text: str) -> bool | None:
    """Whether an address is of the loopback interface; None for what is none. To parse one takes a sixth of a read."""
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return None


def _check_origin(headers: dict[bytes, bytes], host: str) -> None:
    origin = headers.get(b"origin")
    if origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host:
        raise Forbidden("Without a key, this server takes changes from no web page but its own.")


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a Host header, in lower case, names this machine's loopback interface."""
    name = _name(host)
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The name or address in a Host header, without port, brackets and the dot of the root."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")
