"""With which secrets are the callbacks of a tenant signed, and how does the store keep them?

Where there is a key for secrets they lie sealed under it. Where there is none they lie there as they are, since calls
are signed with them: who reads the store's file can then sign too.
"""

import base64
import contextlib
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from milepost import webhook
from milepost.sealing import Sealing, Unsealable
from milepost.store.callbacks import WebhookSecret
from milepost.store.protocol import TaskStore
from milepost.times import DAY, Clock

BOTH_COUNT: Final = DAY
"""How long calls are signed with a secret and the one before it, so that receivers can change to the new one."""


class Signing:
    """The secrets of a store's tenants. `clock` gives µs since the epoch."""

    def __init__(self, store: TaskStore, sealing: Sealing, clock: Clock) -> None:
        self._store = store
        self._sealing = sealing
        self._clock = clock

    @property
    def seals(self) -> bool:
        """Whether what is made lies sealed in the store."""
        return bool(self._sealing)

    async def secret(self, tenant: str) -> bytes:
        """What is signed with for a tenant, made if there is nothing yet. Raises Unsealable."""
        (held,) = await self._store.callbacks.add_secrets([self._new(tenant, webhook.new_secret())])
        return self._opened(tenant, held.secret)

    async def rotate(self, tenant: str) -> tuple[WebhookSecret, bytes]:
        """Give a tenant another secret, or a first one; the one before counts for `BOTH_COUNT`."""
        made = webhook.new_secret()
        new = self._new(tenant, made)
        (held,) = await self._store.callbacks.rotate_secrets([new], until=new.created_at + BOTH_COUNT)
        return held, made

    async def known(self, tenants: Sequence[str] | None) -> list[WebhookSecret]:
        """What there is of these tenants, or of all (None), as the store keeps it, by tenant."""
        return await self._store.callbacks.known_secrets(tenants)

    async def remove(self, tenant: str, *, of: Sequence[str] | None) -> WebhookSecret | None:
        """Forget what a tenant's calls were signed with, if it is one of these (None: of all), and give what that was.

        The next call is signed with a fresh one.
        """
        (removed,) = await self._store.callbacks.remove_secrets([tenant], of=of)
        return removed

    async def keys(self, tenant: str) -> list[bytes]:
        """What to sign a call with now: the secret, made with the first call, and the one before while it counts.

        Raises Unsealable; for one before that can't be opened nothing is signed any more.
        """
        (held,) = await self._store.callbacks.secrets([tenant])
        if held is None:
            return [await self.secret(tenant)]
        keys = [self._opened(tenant, held.secret)]
        if held.previous is not None and held.previous_until is not None and self._clock() < held.previous_until:
            with contextlib.suppress(Unsealable):  # its key was taken away, which ends it
                keys.append(self._opened(tenant, held.previous))
        return keys

    async def seal_all(self) -> None:
        """Seal what lies there as it is, and what is sealed with an older key, with the first one; without one nothing.

        What no key here opens is left as it is.
        """
        if not self._sealing:
            return
        changes = [(held, self._sealed_anew(held)) for held in await self._store.callbacks.known_secrets(None)]
        if due := [(before, after) for before, after in changes if before != after]:
            await self._store.callbacks.exchange_secrets(due)

    def _new(self, tenant: str, secret: bytes) -> WebhookSecret:
        return WebhookSecret(tenant, self._kept(tenant, secret), self._clock())

    def _sealed_anew(self, held: WebhookSecret) -> WebhookSecret:
        previous = None if held.previous is None else self._kept_anew(held.tenant, held.previous)
        return replace(held, secret=self._kept_anew(held.tenant, held.secret), previous=previous)

    def _kept_anew(self, tenant: str, kept: bytes) -> bytes:
        if self._sealing.is_current(kept, _about(tenant)):
            return kept
        try:
            return self._kept(tenant, self._opened(tenant, kept))
        except Unsealable:
            return kept

    def _kept(self, tenant: str, secret: bytes) -> bytes:
        """A secret as the store has it."""
        if not self._sealing:
            return secret
        return self._sealing.seal({_NAME: base64.b64encode(secret).decode()}, _about(tenant))

    def _opened(self, tenant: str, kept: bytes) -> bytes:
        """A secret as calls are signed with it. Raises Unsealable."""
        if len(kept) <= webhook.SECRET_BYTES:  # what is sealed is longer
            return kept
        return base64.b64decode(self._sealing.open(kept, _about(tenant))[_NAME])


_NAME: Final = "secret"


def _about(tenant: str) -> str:
    """What a secret is sealed for, so that it can't be opened as another tenant's, or as a task's."""
    return f"webhook {tenant}"
