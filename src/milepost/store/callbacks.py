"""What does a store keep of callbacks: what is told of the ends of tasks, by calls of the URLs that they name?"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from milepost.task import Task

CallbackState = Literal["pending", "delivered", "failed"]


class Callback(msgspec.Struct, frozen=True):
    """One end of a task that is told to `url`; written in the transaction of that end. Times in µs since the epoch."""

    id: str
    task: str
    tenant: str
    url: str
    ended_at: int
    attempts: int = 0
    """Tries that have begun."""
    next_try_at: int | None = None
    """When it is tried again; None once that is over."""
    delivered_at: int | None = None
    status: int | None = None
    """The HTTP status that the last try was answered with; None where there was no answer."""
    error: str | None = None
    """Why the last try did not succeed."""

    @property
    def state(self) -> CallbackState:
        """How far it is."""
        if self.delivered_at is not None:
            return "delivered"
        return "failed" if self.next_try_at is None else "pending"


class DueCallback(msgspec.Struct, frozen=True):
    """One that is to be tried now, and the record at that end, as readers got it."""

    callback: Callback
    record: Task


class Tried(msgspec.Struct, frozen=True):
    """What came of a try, the so manyth (`attempts`). With no `next_try_at` there is none after it."""

    id: str
    attempts: int
    status: int | None = None
    error: str | None = None
    delivered_at: int | None = None
    next_try_at: int | None = None


class WebhookSecret(msgspec.Struct, frozen=True):
    """What a tenant's callbacks are signed with. `previous`, the one before it, counts until `previous_until` (µs).

    Secrets are what a store is given, as they are or sealed; see `milepost.signing`.
    """

    tenant: str
    secret: bytes
    created_at: int
    previous: bytes | None = None
    previous_until: int | None = None


class CallbackStore(Protocol):
    """The part of a `TaskStore` that keeps callbacks; it writes each as the task's end is written."""

    async def of(self, task_ids: Sequence[str]) -> list[list[Callback]]:
        """Read what was told of tasks, and is still to be, of each in the order of its ends."""
        ...

    async def next_due(self, *, but: Sequence[str] = ()) -> int | None:
        """When the first is to be tried, those of some tenants aside; None for never. Cheap: asked at each commit."""
        ...

    async def claim(self, *, now: int, until: int, limit: int, but: Sequence[str] = ()) -> list[DueCallback]:
        """Take up to `limit` that are due, the longest due first, those of some tenants aside; begins a try of each.

        Nobody else gets them before `until`, when they are due again unless `settle` was called.
        """
        ...

    async def settle(self, tried: Sequence[Tried]) -> None:
        """Note what came of tries. One after which another try has begun changes nothing, unless it was the delivery.

        What is over is forgotten at once if its task is gone, else along with that.
        """
        ...

    async def secrets(self, tenants: Sequence[str]) -> list[WebhookSecret | None]:
        """Read what tenants' callbacks are signed with; None where there is nothing yet."""
        ...

    async def add_secrets(self, secrets: Sequence[WebhookSecret]) -> list[WebhookSecret]:
        """Give tenants their first secrets. Who has one keeps it; returned are those that hold."""
        ...

    async def rotate_secrets(self, secrets: Sequence[WebhookSecret], *, until: int) -> list[WebhookSecret]:
        """Give tenants other secrets, or first ones; those before count until then. Returned are those that hold."""
        ...

    async def known_secrets(self, tenants: Sequence[str] | None) -> list[WebhookSecret]:
        """Read what there is of these tenants, or of all (None), by tenant."""
        ...

    async def remove_secrets(
        self, tenants: Sequence[str], *, of: Sequence[str] | None = None
    ) -> list[WebhookSecret | None]:
        """Forget what tenants' callbacks are signed with, of some tenants alone (None: of all); gives what there was.

        For a tenant that is none of these the same is done as for one that has nothing.
        """
        ...

    async def exchange_secrets(self, changes: Sequence[tuple[WebhookSecret, WebhookSecret]]) -> None:
        """Write secrets otherwise, each unless its row is no longer as it was (the first of the two)."""
        ...
