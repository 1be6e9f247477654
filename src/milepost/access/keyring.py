"""Whose is a key? And how is one made and ended?

A key reads `mp_<id>_<secret>`: 16 hexadecimal digits that name it, and 64 that prove it. The secret is 256 random bits,
so that its plain SHA-256 hash gives nothing away; only that is kept.
"""

import contextlib
import hmac
import re
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, Literal

from milepost.access.key_uses import KeyUses
from milepost.access.principal import EVERY_TENANT, LOCAL, Grant, Principal, Role
from milepost.errors import Fault, Invalid, NotFound, TooManyKeys
from milepost.store.api_keys import ApiKey, KeyPage, KeyStore, Replacement
from milepost.store.refusals import BadCursor, Missing, Refusal, StoreBusy, StoreFull, TenantFull
from milepost.times import HOUR, LATEST, SECOND, Clock, elapsed

Profile = Literal["page", "node", "python"]
"""How an Aparavi client wants failures worded: as its page, its Node or its Python package expects them."""
PROFILES: Final[tuple[Profile, ...]] = ("page", "node", "python")

MAX_NAME: Final = 200
"""Longest name of a principal or tenant, in characters."""
OPEN_FOR: Final = 10_000
"""µs that a server goes on without looking whether a first key was made, which costs a tenth of a status read."""
MAX_NAMES: Final = 1024
"""Owners whose display names are kept in mind."""
GRACE: Final = HOUR
"""µs for which a key that was rotated is valid beside its successor, where nobody says otherwise."""
PAGE: Final = 1_000
"""The most keys that are read at once."""
PREFIX: Final = "mp"

_KEY: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{16}})_([0-9a-f]{{64}})")
_NOBODY: Final = ApiKey("", "", "", (), None, bytes(32), 0, 0)
"""What an unknown key is compared with, so that it takes the same way as a wrong secret. Revoked for ever."""
_NO_KEY: Final = ("0" * 16, "0" * 64)
"""Looked for in the place of what is no key, so that it takes the same way as an unknown one."""


class Keyring:
    """The API keys of a store.

    `clock` gives µs since the epoch, `timer` µs since some moment: how old what is known of display names is.
    """

    def __init__(self, store: KeyStore, clock: Clock, timer: Clock = elapsed) -> None:
        self._store = store
        self._clock = clock
        self._timer = timer
        self._in_use = False
        self._open_at = -OPEN_FOR
        self._names: dict[tuple[str, str], tuple[str, int]] = {}
        self._met: dict[str, str] = {}
        self._uses = KeyUses(store, clock)

    async def close(self) -> None:
        """Write when keys were used last. For who has made it, at its end."""
        await self._uses.close()

    async def in_use(self) -> bool:
        """Whether ever a key was made, by whichever process: from then on who shows none is refused.

        That there was none yet is known for `OPEN_FOR` µs.
        """
        if not self._in_use and self._timer() - self._open_at >= OPEN_FOR:
            now = self._timer()
            self._in_use = await self._store.has_keys()
            self._open_at = now
        return self._in_use

    async def principal(self, credentials: str) -> Principal | None:
        """Who shows a key; None where it is none, unknown, wrong, revoked or expired.

        What another process does to keys is heeded at once.
        """
        parsed = _KEY.fullmatch(credentials)
        key_id, secret = _NO_KEY if parsed is None else parsed.groups()
        (found,) = await self._store.find_keys([key_id])
        key = _NOBODY if found is None else found
        is_right = hmac.compare_digest(_digest(secret), key.digest)
        if parsed is None or not is_right or not key.is_valid(self._clock()):
            return None
        self._uses.note(key)
        return _principal(key)

    async def add(
        self,
        name: str,
        grants: Sequence[str],
        *,
        display_name: str | None = None,
        profile: str | None = None,
        expires_at: int | None = None,
        most: int | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key for a principal: what is kept of it, and the key itself, which nobody can be told again.

        `grants` are each `TENANT:ROLE`, and `*:service` for a service; `display_name` is the name unless it says
        otherwise; `expires_at` in µs since the epoch; `most` is how many valid keys a tenant may have, None for any
        number. From the first key on nobody is admitted without one. Raises Invalid, naming each argument that is
        wrong, and TooManyKeys.
        """
        now = self._clock()
        faults = [*_name_faults(name, display_name), *_grant_faults(grants), *_profile_faults(profile)]
        faults += _expiry_faults(expires_at, now)
        if faults:
            raise Invalid(*faults)
        key_id, secret = _new()
        pairs = tuple(dict.fromkeys(parse_grant(grant) for grant in grants))
        key = ApiKey(key_id, name, display_name or name, pairs, profile, _digest(secret), now, expires_at=expires_at)
        (outcome,) = await self._store.add_keys([key], most=most)
        if isinstance(outcome, TenantFull):
            raise _too_many(outcome, most)
        self._names.clear()
        self._in_use = True
        return key, _whole(key_id, secret)

    async def page(self, tenants: Sequence[str] | None = None, *, after: str | None = None, limit: int) -> KeyPage:
        """Keys, those that have ended too, oldest first; with `tenants`, those whose grants all lie in these.

        Up to `limit`, from behind the page whose `next` is `after`. Raises Invalid for a cursor that is none.
        """
        try:
            return await self._store.keys(tenants, after=after, limit=limit)
        except BadCursor as error:
            raise Invalid(Fault("This cursor is not one that a list gave.", parameter="after")) from error

    async def all(self) -> AsyncGenerator[ApiKey, None]:
        """Every key that is kept, oldest first, read a page at a time."""
        after = None
        while True:
            page = await self.page(after=after, limit=PAGE)
            for key in page.keys:
                yield key
            if page.next is None:
                return
            after = page.next

    async def revoke(self, id: str, *, tenants: Sequence[str] | None = None) -> ApiKey:
        """End a key: it is refused from the next request on. One that was revoked before stays so.

        `tenants` are as in `page`. Raises NotFound.
        """
        (outcome,) = await self._store.revoke_keys([id], now=self._clock(), tenants=tenants)
        if isinstance(outcome, Missing):
            raise NotFound("There is no such key.") from outcome
        self._names.clear()
        return outcome

    async def rotate(
        self, id: str, *, grace: int = GRACE, tenants: Sequence[str] | None = None, most: int | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key in the place of another, which is valid for `grace` µs more: for the same principal and grants.

        The new one lives as long, from now on, as the old one was to. `tenants` are as in `page`, `most` as in `add`:
        the old key counts until its grace is over. Raises NotFound, also for a key that has ended or was rotated
        before, and TooManyKeys.
        """
        now = self._clock()
        new_id, secret = _new()
        item = Replacement(id, new_id, _digest(secret), min(now + grace, LATEST))
        (outcome,) = await self._store.replace_keys([item], now=now, tenants=tenants, most=most)
        if isinstance(outcome, TenantFull):
            raise _too_many(outcome, most)
        if isinstance(outcome, Refusal):
            raise NotFound("There is no such key, or it has ended or was rotated already.") from outcome
        self._names.clear()
        return outcome, _whole(new_id, secret)

    async def display_name(self, owner: str, tenant: str) -> str:
        """What people call the owner of a task, as of the last second: the name itself where nobody says otherwise.

        The newest of the owner's valid keys for the task's tenant says it, the last to end where all have: who manages
        the keys of another tenant has no say. Where that has the name alone, whoever vouched for it last.
        """
        if owner == LOCAL.name:
            return LOCAL.display_name
        now = self._timer()
        known = self._names.get((owner, tenant))
        if known is not None and now - known[1] < SECOND:
            return known[0]
        (found,) = await self._store.called([(owner, tenant)], now=self._clock())
        if found in (None, owner):
            (found,) = await self._store.display_names([owner])
        found = found or owner
        if len(self._names) >= MAX_NAMES:
            self._names.clear()
        self._names[owner, tenant] = (found, now)
        return found

    async def meet(self, principal: Principal) -> None:
        """Keep what people call somebody who came without a key, if anything: others read its tasks later.

        That is written when it is new here. Who can't be written of just now is let in all the same.
        """
        if principal.display_name in (principal.name, self._met.get(principal.name)):
            return
        if len(self._met) >= MAX_NAMES:
            self._met.clear()
        self._met[principal.name] = principal.display_name
        with contextlib.suppress(StoreBusy, StoreFull):
            await self._store.put_display_names({principal.name: principal.display_name})
            self._names.clear()


def key_id(text: str) -> str:
    """The id in a key that was given whole; any other text as it is."""
    parsed = _KEY.fullmatch(text)
    return text if parsed is None else parsed[1]


def parse_grant(grant: str) -> tuple[str, str]:
    """Tenant and role of a grant that reads `TENANT:ROLE`."""
    tenant, _, role = grant.rpartition(":")
    return tenant, role


def _too_many(refusal: TenantFull, most: int | None) -> TooManyKeys:
    return TooManyKeys(
        f"The tenant {refusal.tenant!r} has as many valid keys as it may, {most}: revoke one first, or rotate one "
        "without a grace."
    )


def _new() -> tuple[str, str]:
    """A fresh id and a fresh secret."""
    return secrets.token_hex(8), secrets.token_hex(32)


def _whole(key_id: str, secret: str) -> str:
    return f"{PREFIX}_{key_id}_{secret}"


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


@lru_cache(maxsize=1024)
def _principal(key: ApiKey) -> Principal:
    grants = tuple(Grant(tenant, Role(role)) for tenant, role in key.grants)
    return Principal(key.name, key.display_name, grants, key.profile)


def _name_faults(name: str, display_name: str | None) -> Iterator[Fault]:
    if name == LOCAL.name:
        yield Fault(f"{LOCAL.name!r} is everybody while there is no key; take another name.", "/name")
    elif not is_name(name):
        yield Fault(f"From 1 to {MAX_NAME} printable characters.", "/name")
    if display_name is not None and not is_name(display_name):
        yield Fault(f"From 1 to {MAX_NAME} printable characters.", "/display_name")


def _grant_faults(grants: Sequence[str]) -> Iterator[Fault]:
    if not grants:
        yield Fault("A key needs a grant, TENANT:ROLE; without one it could do nothing.", "/grants")
    for number, grant in enumerate(grants):
        why = wrong_grant(grant)
        if why is not None:
            yield Fault(why, f"/grants/{number}")


def wrong_grant(grant: str) -> str | None:
    """What is wrong with a grant that should read `TENANT:ROLE`, if anything."""
    if ":" not in grant:
        return "A grant is TENANT:ROLE, such as acme:member."
    tenant, role = parse_grant(grant)
    every, service = tenant == EVERY_TENANT, role == Role.SERVICE
    if role not in set(Role):
        return f"A role is one of {', '.join(Role)}; {role!r:.80} is none."
    if service and not every:
        return f"A service reaches every tenant, so write {EVERY_TENANT}:{role}; for one tenant grant {Role.ADMIN}."
    if every and not service:
        return f"Only a service reaches every tenant: name the tenant, or write {EVERY_TENANT}:{Role.SERVICE}."
    return None if is_name(tenant) else f"A tenant has from 1 to {MAX_NAME} printable characters."


def _profile_faults(profile: str | None) -> Iterator[Fault]:
    if profile is not None and profile not in PROFILES:
        yield Fault(f"One of {', '.join(PROFILES)}.", "/profile")


def _expiry_faults(expires_at: int | None, now: int) -> Iterator[Fault]:
    if expires_at is not None and expires_at <= now:
        yield Fault("A key expires at a time that is still to come.", "/expires_at")


def is_name(text: str) -> bool:
    """Whether a principal or a tenant may be called so."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()
