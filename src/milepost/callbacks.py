"""What has been told of a task's ends, and with what can a receiver check that it comes from here?"""

from collections.abc import Sequence
from typing import NamedTuple

from milepost import webhook
from milepost.access.principal import Principal
from milepost.errors import Fault, Invalid, NotFound
from milepost.sealing import Sealing
from milepost.signing import Signing
from milepost.start import MAX_NAME
from milepost.store.callbacks import Callback as Callback  # who renders them takes it from here
from milepost.store.protocol import TaskStore
from milepost.task import parse_id
from milepost.times import Clock


class Called(NamedTuple):
    """The URL that is told of a task's ends, if one is, and what was told, oldest first."""

    url: str | None
    callbacks: Sequence[Callback]


class Callbacks:
    """The callbacks of a store's tasks; see `milepost.service.Service.callbacks`."""

    def __init__(self, store: TaskStore, clock: Clock, sealing: Sealing) -> None:
        self._store = store
        self._clock = clock
        self.signing = Signing(store, sealing, clock)

    async def of(self, principal: Principal, task_id: str) -> Called:
        """What was told of a task, and is still to be. Raises NotFound."""
        (task,) = await self._store.get([parse_id(task_id) or ""], principal.scope(), now=self._clock())
        if task is None:
            raise NotFound("There is no such task.")
        (told,) = await self._store.callbacks.of([task.id])
        return Called(task.callback, told)

    async def secret(self, tenant: str) -> str:
        """What the calls for a tenant's tasks are signed with, made if there is none yet. For operators.

        Raises Invalid for what names no tenant, and milepost.sealing.Unsealable.
        """
        return webhook.shown(await self.signing.secret(named(tenant)))

    async def rotate_secret(self, tenant: str) -> str:
        """Give a tenant another secret. For a day calls are signed with both, as their receivers are still to learn it.

        Raises Invalid for what names no tenant.
        """
        _, secret = await self.signing.rotate(named(tenant))
        return webhook.shown(secret)


def named(tenant: str) -> str:
    """The name of a tenant. Raises Invalid for what is none."""
    if not (0 < len(tenant) <= MAX_NAME and "\0" not in tenant):
        raise Invalid(Fault(f"From 1 to {MAX_NAME} characters.", "/tenant"))
    return tenant
