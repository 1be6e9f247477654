"""How does a store in a SQLite file answer what is asked of its callbacks?"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from milepost.store.callbacks import Callback, DueCallback, Tried, WebhookSecret
from milepost.store.sqlite import callbacks
from milepost.store.sqlite.reads import Reads
from milepost.store.sqlite.transaction import Transaction

T = TypeVar("T")


class _Write(Protocol):
    """Has something carried out in a transaction, and gives what came of it."""

    def __call__(self, run: Callable[[Transaction], T]) -> Awaitable[T]: ...


class SqliteCallbacks:
    """A CallbackStore. `reads` gives those of the event loop; all that is read costs less than a change of threads."""

    def __init__(self, reads: Callable[[], Reads], write: _Write) -> None:
        self._reads = reads
        self._write = write

    async def of(self, task_ids: Sequence[str]) -> list[list[Callback]]:
        """See CallbackStore."""
        return self._reads().callbacks(task_ids)

    async def next_due(self, *, but: Sequence[str] = ()) -> int | None:
        """See CallbackStore."""
        return self._reads().next_callback(but)

    async def claim(self, *, now: int, until: int, limit: int, but: Sequence[str] = ()) -> list[DueCallback]:
        """See CallbackStore."""
        return await self._write(partial(callbacks.claim, now=now, until=until, limit=limit, but=but))

    async def settle(self, tried: Sequence[Tried]) -> None:
        """See CallbackStore."""
        await self._write(partial(callbacks.settle, tried=tried))

    async def secrets(self, tenants: Sequence[str]) -> list[WebhookSecret | None]:
        """See CallbackStore."""
        return self._reads().webhook_secrets(tenants)

    async def add_secrets(self, secrets: Sequence[WebhookSecret]) -> list[WebhookSecret]:
        """See CallbackStore."""
        return await self._write(partial(callbacks.add_secrets, secrets=secrets))

    async def rotate_secrets(self, secrets: Sequence[WebhookSecret], *, until: int) -> list[WebhookSecret]:
        """See CallbackStore."""
        return await self._write(partial(callbacks.rotate_secrets, secrets=secrets, until=until))

    async def known_secrets(self, tenants: Sequence[str] | None) -> list[WebhookSecret]:
        """See CallbackStore."""
        return self._reads().known_webhook_secrets(tenants)

    async def remove_secrets(
        self, tenants: Sequence[str], *, of: Sequence[str] | None = None
    ) -> list[WebhookSecret | None]:
        """See CallbackStore."""
        return await self._write(partial(callbacks.remove_secrets, tenants=tenants, of=of))

    async def exchange_secrets(self, changes: Sequence[tuple[WebhookSecret, WebhookSecret]]) -> None:
        """See CallbackStore."""
        await self._write(partial(callbacks.exchange_secrets, changes=changes))
