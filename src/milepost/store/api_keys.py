"""What does a store keep of an API key? Who shows it, what that person may do, and a hash: never the secret."""

import msgspec


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
