"""With which keys does an OpenID Connect issuer sign? It is asked, and the answer kept for a while."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import msgspec
from joserfc.jwk import Key, import_key

from milepost import own_thread
from milepost.errors import Unavailable
from milepost.times import DAY, HOUR, SECOND, Clock, elapsed
from milepost.url import told

logger = logging.getLogger(__name__)

DISCOVERY: Final = "/.well-known/openid-configuration"
REFRESH: Final = HOUR
"""µs after which the keys are asked for again, so that one that was withdrawn is not trusted for longer."""
FORGET: Final = DAY
"""µs for which keys are trusted of an issuer that can't be asked any more."""
PAUSE: Final = 10 * SECOND
"""µs between two requests to the issuer, whatever keys are named: unknown ones are named by anybody."""
PATIENCE: Final = 5.0
"""Seconds that the issuer has to answer."""
MOMENT: Final = 0.5
"""Seconds of these that a request waits whose key is known: it asks whether that still holds, which an issuer that
hangs must not keep everybody from."""
LARGEST: Final = 1 << 20
"""Bytes of the largest document that is read."""

_WANTED: Final = {"accept": "application/json", "accept-encoding": "identity"}
"""Of little that is compressed much may come. What is coded all the same is no JSON."""
_UNREADABLE: Final = (
    *(httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError),
    *(msgspec.MsgspecError, RecursionError, ValueError),
)
_PUBLIC: Final = frozenset({"RSA", "EC", "OKP"})


def fetch(issuer: str, until: int) -> dict[str | None, Key]:
    """The keys that an issuer signs with. Raises ValueError where its documents are none, and as httpx2 and msgspec.

    Blocks. `until` is when nobody waits for them any more, by `elapsed`.
    """
    with httpx2.Client(timeout=PATIENCE, follow_redirects=False) as client:
        about = _document(client, issuer.rstrip("/") + DISCOVERY, until)
        if about.get("issuer") != issuer:
            raise ValueError(f"its discovery document is about {about.get('issuer')!r:.200}")
        url = about.get("jwks_uri")
        if not isinstance(url, str) or not _is_secure(url):
            raise ValueError(f"its jwks_uri, {url!r:.200}, is no https URL")
        entries = _document(client, url, until).get("keys")
    if not isinstance(entries, list):
        raise ValueError("its JWKS has no keys")
    return {key.kid: key for key in map(_signing, entries) if key is not None}


def _document(client: httpx2.Client, url: str, until: int) -> dict[str, Any]:
    body = bytearray()
    with client.stream("GET", url, headers=_WANTED) as response:
        if response.status_code != httpx2.codes.OK:
            raise ValueError(f"{url} was answered with status {response.status_code}")
        for piece in response.iter_raw():
            body += piece
            if len(body) > LARGEST:
                raise ValueError(f"{url} was answered with more than {LARGEST} bytes")
            if elapsed() > until:
                raise TimeoutError(f"{url} took longer than {PATIENCE} seconds to answer")
    return msgspec.json.decode(body, type=dict[str, Any])


Fetch = Callable[[str, int], dict[str | None, Key]]
"""See `fetch`."""


class IssuerKeys:
    """The public keys of an issuer, by their ids.

    `timer` gives µs since some moment; `fetch` asks the issuer. Raises ValueError for a URL that nobody can trust:
    anything but https, or http to this machine.
    """

    def __init__(self, issuer: str, *, timer: Clock = elapsed, fetch: Fetch = fetch) -> None:
        if not _is_secure(issuer):
            raise ValueError(f"{told(issuer)!r:.200} is no https URL.")
        self._issuer = issuer
        self._timer = timer
        self._fetch = fetch
        self._keys: dict[str | None, Key] = {}
        self._known_at: int | None = None
        self._asked_at: int | None = None
        self._asking: asyncio.Task[None] | None = None
        self._fetching: Future[dict[str | None, Key]] = Future()
        self._fetching.set_result({})

    async def key(self, kid: str | None) -> Key | None:
        """The key of this id, asked for at the issuer where it is new; without an id, its only key.

        None where there is none. Raises Unavailable where the issuer's keys are not known.
        """
        if self._age() >= FORGET:
            await self._asked(PATIENCE)
        elif self._age() >= REFRESH and self._asking is None:
            await self._asked(MOMENT)
        found = self._found(kid)
        if found is None:
            await self._asked(PATIENCE)
            found = self._found(kid)
        if self._age() >= FORGET:
            raise Unavailable("The issuer of tokens can't be asked just now.")
        return found

    def _found(self, kid: str | None) -> Key | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _age(self) -> int:
        return FORGET if self._known_at is None else self._timer() - self._known_at

    async def _asked(self, patience: float) -> None:
        """Wait so many seconds for the issuer's answer, if it has not just given one. Others may go on to wait."""
        if self._asking is None and self._may_ask():
            self._asked_at = self._timer()
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=patience)

    async def _ask(self) -> None:
        """Ask the issuer. Where it fails, what is known stays."""
        try:
            self._keys = await self._fetched()
        except _UNREADABLE as error:
            logger.warning("The keys of %s could not be read: %s: %s", self._issuer, type(error).__name__, error)
        else:
            self._known_at = self._timer()
        finally:
            self._asking = None

    async def _fetched(self) -> dict[str | None, Key]:
        """What the issuer answers, within `PATIENCE`. Raises TimeoutError, and as `fetch` does.

        Asked in a thread of its own: its name is looked up there, which nothing that callers cause is to hold up.
        """
        if not self._fetching.done():
            raise TimeoutError("it still hangs since it was asked before")
        self._fetching = own_thread.begin(
            partial(self._fetch, self._issuer, elapsed() + int(PATIENCE * SECOND)), "issuer-keys"
        )
        async with asyncio.timeout(PATIENCE):
            return await asyncio.wrap_future(self._fetching)

    def _may_ask(self) -> bool:
        return self._asked_at is None or self._timer() - self._asked_at >= PAUSE


def _signing(entry: Any) -> Key | None:
    """A public key that signatures can be checked with; None for any other, of which an issuer may have some too."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    kind, kid = entry.get("kty"), entry.get("kid")
    if not (isinstance(kind, str) and kind in _PUBLIC and isinstance(kid, str | None)):
        return None
    try:
        return import_key(entry)
    except (
        Exception
    ) as error:  # of whatever kind: issuers have keys that the library does not know, beside those it does
        logger.warning("A key of the issuer's can't be used: %s: %s", type(error).__name__, error)
        return None


def _is_secure(url: str) -> bool:
    """Whether what is fetched from a URL can be trusted: nobody on the way has changed it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and (host == "localhost" or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
