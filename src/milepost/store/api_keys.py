"""What does a store keep of an API key? Who shows it, what that person may do, and a hash: never the secret."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from milepost.store.refusals import Missing, Refusal, TenantFull


class ApiKey(msgspec.Struct, frozen=True):
    """A key, as it is stored. `digest` is the SHA-256 of its secret; times in µs since the epoch.

    `name` is the principal's: several keys may carry the same one, so that a key can be exchanged for another.
    """

    id: str
    name: str
    display_name: str
    grants: tuple[tuple[str, str], ...]
    """Pairs of tenant and role."""
    profile: str | None
    """How the Aparavi client of whoever has the key wants failures worded."""
    digest: bytes
    created_at: int
    revoked_at: int | None = None
    expires_at: int | None = None
    """From then on it is refused as a revoked one is; None: never."""
    last_used_at: int | None = None
    """To the minute; None: not so far."""
    replaced_by: str | None = None
    """The id of the key that took its place."""

    def is_valid(self, now: int) -> bool:
        """Whether it lets anybody in at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Replacement(msgspec.Struct, frozen=True):
    """A key to put in the place of the one of this id: of the same principal, with the same grants.

    `new_id` and `digest` are its own. It expires as long after now as the old one did after it was made. That is valid
    until `until` (µs since the epoch), and no longer than it was to be.
    """

    id: str
    new_id: str
    digest: bytes
    until: int


class KeyPage(msgspec.Struct, frozen=True):
    """Keys, oldest first, and where the next page begins (None: there is none)."""

    keys: list[ApiKey]
    next: str | None


class KeyStore(Protocol):
    """Where keys live: a part of every store.

    Where a method takes `tenants`, it knows no keys but those whose grants all lie in these; None: all keys. Where one
    takes `most`, no tenant gets more keys by it that are valid and have a grant there; None: as many as are asked for.
    """

    async def add_keys(self, keys: Sequence[ApiKey], *, most: int | None = None) -> list[ApiKey | TenantFull]:
        """Make API keys, whose ids no key has had before."""
        ...

    async def find_keys(self, ids: Sequence[str]) -> list[ApiKey | None]:
        """Read keys, those that have ended too; None where there is none. Cheap: it is asked at each request."""
        ...

    async def keys(self, tenants: Sequence[str] | None = None, *, after: str | None = None, limit: int) -> KeyPage:
        """Up to `limit` keys, those that have ended too, in the order in which they were made.

        `after`: the `next` of the page before. A page costs what it holds. Raises BadCursor.
        """
        ...

    async def called(self, owners: Sequence[tuple[str, str]], *, now: int) -> list[str | None]:
        """What people call principals in tenants by their keys: pairs of a name and a tenant.

        The newest valid key with a grant there, or everywhere, says it; where all have ended the one that ended last.
        None where there is none. Costs the same whatever keys others have.
        """
        ...

    async def revoke_keys(
        self, ids: Sequence[str], *, now: int, tenants: Sequence[str] | None = None
    ) -> list[ApiKey | Missing]:
        """End keys. One that has been revoked before keeps the time of then."""
        ...

    async def replace_keys(
        self,
        items: Sequence[Replacement],
        *,
        now: int,
        tenants: Sequence[str] | None = None,
        most: int | None = None,
    ) -> list[ApiKey | Refusal]:
        """Make keys in the place of others: the new ones. Missing also where a key has ended, or was replaced.

        Else TenantFull, unless the old key ends at once: then there are no more than before.
        """
        ...

    async def forget_keys(self, *, until: int, limit: int) -> int:
        """Drop up to `limit` keys that had ended by `until` (µs since the epoch): how many.

        The newest key stays, and so does one by which the owner of a task is called.
        """
        ...

    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        """Keep when keys were used, by their ids, unless a later time is known."""
        ...

    async def put_display_names(self, names: Mapping[str, str]) -> None:
        """Keep what people call principals, by their names: of those who come without keys. The newest counts."""
        ...

    async def display_names(self, names: Sequence[str]) -> list[str | None]:
        """What was kept of that; None for a name of which nothing was."""
        ...

    async def has_keys(self) -> bool:
        """Whether ever a key was made, be it ended since. Cheap, as `find_keys`."""
        ...
