"""Which webhook secrets may a caller see, make and end?

As with keys: an admin manages those of its tenants, a service all. Those of others do not exist for it. While nobody
shows a key nobody manages any here: who knows a secret can sign with it after that too.
"""

from typing import Final

from milepost import webhook
from milepost.access.principal import Principal
from milepost.callbacks import named
from milepost.errors import Forbidden, NotFound
from milepost.key_management import managed
from milepost.signing import Signing
from milepost.store.callbacks import WebhookSecret as WebhookSecret  # who renders them takes it from here

OPEN: Final = "Webhook secrets are managed here by who shows a key; `milepost webhook secret` prints one at the store."
NOT_YOURS: Final = "Only admins of a tenant, and services, manage webhook secrets."
NONE: Final = "There is no such webhook secret."


class WebhookManagement:
    """What callers may do with what callbacks are signed with. Every operation raises Forbidden to who manages none.

    Secrets are shown as they are made, and at no other time.
    """

    def __init__(self, signing: Signing) -> None:
        self._signing = signing

    async def list(self, principal: Principal) -> list[WebhookSecret]:
        """What there is of the tenants that the caller manages, by tenant."""
        return await self._signing.known(_managed(principal))

    async def make(self, principal: Principal, tenant: str) -> tuple[WebhookSecret, str]:
        """Give a tenant a secret. If it had one, calls are signed with both for a day.

        Raises Invalid for what names no tenant, Forbidden also for another's.
        """
        tenants = _managed(principal)
        named(tenant)
        if tenants is not None and tenant not in tenants:
            own = ", ".join(sorted(tenants))
            raise Forbidden(f"You may make none for the tenant {tenant!r:.80}; you are an admin of {own}.")
        held, secret = await self._signing.rotate(tenant)
        return held, webhook.shown(secret)

    async def remove(self, principal: Principal, tenant: str) -> WebhookSecret:
        """End a tenant's secrets at once; what is called next is signed with a fresh one. Raises NotFound."""
        removed = await self._signing.remove(tenant, of=_managed(principal))
        if removed is None:
            raise NotFound(NONE)
        return removed


def _managed(principal: Principal) -> list[str] | None:
    return managed(principal, is_open=OPEN, otherwise=NOT_YOURS)
