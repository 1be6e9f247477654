"""What does a store keep of an API key? Who shows it, what that person may do, and a hash: never the secret."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from milepost.store.refusals import Missing


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


class KeyStore(Protocol):
    """Where keys live: a part of every store.

    Where a method takes `tenants`, it knows no keys but those whose grants all lie in these; None: all keys.
    """

    async def add_keys(self, keys: Sequence[ApiKey]) -> None:
        """Make API keys, whose ids no key has had before."""
        ...

    async def find_keys(self, ids: Sequence[str]) -> list[ApiKey | None]:
        """Read keys, those that have ended too; None where there is none. Cheap: it is asked at each request."""
        ...

    async def keys(self, tenants: Sequence[str] | None = None) -> list[ApiKey]:
        """All keys, those that have ended too, in the order in which they were made."""
        ...

    async def keys_of(self, names: Sequence[str]) -> list[list[ApiKey]]:
        """The keys of each of these principals, ended ones too, in the order in which they were made."""
        ...

    async def revoke_keys(
        self, ids: Sequence[str], *, now: int, tenants: Sequence[str] | None = None
    ) -> list[ApiKey | Missing]:
        """End keys. One that has been revoked before keeps the time of then."""
        ...

    async def replace_keys(
        self, items: Sequence[Replacement], *, now: int, tenants: Sequence[str] | None = None
    ) -> list[ApiKey | Missing]:
        """Make keys in the place of others: the new ones. Missing also where a key has ended, or was replaced."""
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
