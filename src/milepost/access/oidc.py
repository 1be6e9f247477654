"""Who is it that an OpenID Connect issuer vouches for? A signed token says so, until it expires.

What is checked, beside the signature: that this issuer has made it, for this audience, that it holds now, and that it
is no token of another kind (RFC 8725). A token that was good once is taken until it expires: nobody is asked whether
its holder is still what it says.
"""

import logging
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key

from milepost import times
from milepost.access.issuer_keys import IssuerKeys
from milepost.access.keyring import is_name, parse_grant, wrong_grant
from milepost.access.principal import LOCAL, Grant, Principal, Role
from milepost.times import SECOND, Clock, elapsed

logger = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""What a token may be signed with. Each has a public key: who can check a signature can't make one."""
LEEWAY: Final = 60
"""Seconds that the issuer's clock may be apart from ours."""
LARGEST: Final = 16 << 10
"""Characters of the largest token that is looked at."""
MAX_KNOWN: Final = 1024
"""Good tokens that are kept in mind, by their hashes: to check one takes several times as long as to read a record."""
NAME_CLAIM: Final = "sub"
GRANTS_CLAIM: Final = "grants"
DISPLAY_CLAIMS: Final = ("name", "preferred_username")

_FORM: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_KINDS: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""What the header may say that it is (RFC 7519, RFC 9068); it may say nothing."""


class _Known(NamedTuple):
    """What a good token says: until when (seconds since the epoch), and signed with which key."""

    principal: Principal
    until: float
    kid: str | None
    key: Key


class OpenIdConnect:
    """Principals by the tokens of one issuer.

    `audience` is what tokens call this server. `name_claim` has the principal's name, `grants_claim` what it may do: a
    list, or a text with blanks between, of `TENANT:ROLE` and `*:service`; what is no grant is passed over. The first of
    `display_claims` that has a name says what people call it. A claim within others is written with dots. `clock` gives
    µs since the epoch, `timer` since some moment. Raises ValueError for an issuer that is no https URL, and an
    algorithm whose key is a secret.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        name_claim: str = NAME_CLAIM,
        grants_claim: str = GRANTS_CLAIM,
        display_claims: Sequence[str] = DISPLAY_CLAIMS,
        algorithms: Sequence[str] = ALGORITHMS,
        clock: Clock = times.now,
        timer: Clock = elapsed,
    ) -> None:
        for algorithm in algorithms:
            if algorithm not in ALGORITHMS:
                raise ValueError(f"algorithms: some of {', '.join(ALGORITHMS)}, not {algorithm!r:.80}.")
        if not audience:
            raise ValueError("audience: what tokens call this server can't be empty.")
        self._keys = IssuerKeys(issuer, timer=timer)
        self._known: dict[bytes, _Known] = {}
        self._name_claim = name_claim
        self._grants_claim = grants_claim
        self._display_claims = tuple(display_claims)
        self._algorithms = tuple(algorithms)
        self._rules = jwt.JWTClaimsRegistry(
            now=lambda: clock() // SECOND,
            leeway=LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    async def principal(self, credentials: str) -> Principal | None:
        """Who shows a token; None where it is none, or not a good one. Raises Unavailable: see `IssuerKeys.key`."""
        if len(credentials) > LARGEST or _FORM.fullmatch(credentials) is None:
            return None
        digest = sha256(credentials.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._rules.now < known.until and await self._keys.key(known.kid) is known.key:
            return known.principal
        found = await self._checked(credentials)
        if found is None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest] = found
        return found.principal

    async def _checked(self, token: str) -> _Known | None:
        """What a token says, if it is a good one."""
        try:
            header = jws.extract_compact(token.encode()).headers()
            if not self._is_of_a_kind(header):
                return None
            key = await self._keys.key(header.get("kid"))
            if key is None:
                return None
            claims = jwt.decode(token, key, algorithms=self._algorithms).claims
            self._rules.validate(claims)
        except (JoseError, RecursionError, TypeError, ValueError) as error:
            logger.debug("A token was refused: %s", error)
            return None
        principal = self._principal(claims)
        return None if principal is None else _Known(principal, claims["exp"] + LEEWAY, header.get("kid"), key)

    def _is_of_a_kind(self, header: dict[str, Any]) -> bool:
        """Whether a header is one that the issuer may have written: before anybody is asked for a key."""
        kind, kid = header.get("typ", "JWT"), header.get("kid")
        is_kid = kid is None or isinstance(kid, str)
        return is_kid and header.get("alg") in self._algorithms and isinstance(kind, str) and kind.lower() in _KINDS

    def _principal(self, claims: dict[str, Any]) -> Principal | None:
        name = _claim(claims, self._name_claim)
        if not isinstance(name, str) or not is_name(name) or name == LOCAL.name:
            logger.info("A token was refused: its claim %s is no name", self._name_claim)
            return None
        displays = (_claim(claims, claim) for claim in self._display_claims)
        display = next((said for said in displays if isinstance(said, str) and is_name(said)), name)
        return Principal(name, display, _grants(_claim(claims, self._grants_claim)))


def _claim(claims: Any, name: str) -> Any:
    """A claim by its name, or by those of the ones around it, with dots between; None where there is none."""
    if isinstance(claims, dict) and name not in claims and "." in name:
        outer, _, inner = name.partition(".")
        return _claim(claims.get(outer), inner)
    return claims.get(name) if isinstance(claims, dict) else None


def _grants(said: Any) -> tuple[Grant, ...]:
    texts = said.split() if isinstance(said, str) else said if isinstance(said, list) else ()
    pairs = [parse_grant(text) for text in texts if isinstance(text, str) and wrong_grant(text) is None]
    return tuple(Grant(tenant, Role(role)) for tenant, role in dict.fromkeys(pairs))
