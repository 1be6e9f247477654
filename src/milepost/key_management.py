"""Which keys may a caller see, make and end?

An admin manages the keys of its tenants: those whose grants all lie in tenants that it is an admin of. Others do not
exist for it, and what it makes reaches no further. A service manages all. While nobody shows a key nobody manages any
here: a key outlasts the open mode in which it would be made, and is for who may write the store itself.
"""

from collections.abc import Sequence
from typing import Final

from milepost.access.keyring import GRACE, Keyring, parse_grant
from milepost.access.principal import LOCAL, Principal, Role
from milepost.errors import Forbidden
from milepost.store.api_keys import ApiKey, KeyPage

OPEN: Final = "Keys are managed here by who shows one; `milepost key add` makes the first, where the store is."
NOT_YOURS: Final = "Only admins of a tenant, and services, manage keys."


class KeyManagement:
    """What callers may do with the keys of a store. Every operation raises Forbidden to who manages none.

    `most`: how many valid keys each tenant may have.
    """

    def __init__(self, keys: Keyring, most: int) -> None:
        self._keys = keys
        self._most = most

    async def list(self, principal: Principal, *, after: str | None = None, limit: int = 100) -> KeyPage:
        """The keys that the caller manages, those that have ended too, oldest first. Raises Invalid for `after`."""
        return await self._keys.page(managed(principal), after=after, limit=limit)

    async def add(
        self,
        principal: Principal,
        name: str,
        grants: Sequence[str],
        *,
        display_name: str | None = None,
        profile: str | None = None,
        expires_at: int | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key: see `Keyring.add`. Raises Invalid, TooManyKeys, Forbidden also for a grant not its to give."""
        tenants = managed(principal)
        for grant in grants:
            tenant, _ = parse_grant(grant)
            if tenants is not None and ":" in grant and tenant not in tenants:
                own = ", ".join(sorted(tenants))
                raise Forbidden(f"You may grant nothing in the tenant {tenant!r:.80}; you are an admin of {own}.")
        said = {"display_name": display_name, "profile": profile}
        return await self._keys.add(name, grants, **said, expires_at=expires_at, most=self._most)

    async def revoke(self, principal: Principal, id: str) -> ApiKey:
        """End a key: see `Keyring.revoke`. Raises NotFound."""
        return await self._keys.revoke(id, tenants=managed(principal))

    async def rotate(self, principal: Principal, id: str, *, grace: int = GRACE) -> tuple[ApiKey, str]:
        """Make a key in the place of another; `grace` in µs. See `Keyring.rotate`. Raises NotFound, TooManyKeys."""
        return await self._keys.rotate(id, grace=grace, tenants=managed(principal), most=self._most)


def managed(principal: Principal, *, is_open: str = OPEN, otherwise: str = NOT_YOURS) -> list[str] | None:
    """The tenants whose keys and secrets a caller manages; None for those of all.

    Raises Forbidden, in these words: while no key is asked for, and to who is no admin.
    """
    if principal.name == LOCAL.name:
        raise Forbidden(is_open)
    if principal.is_service:
        return None
    tenants = [grant.tenant for grant in principal.grants if grant.role is Role.ADMIN]
    if not tenants:
        raise Forbidden(otherwise)
    return tenants
