"""What does a running task start, and in whose name?"""

from msgspec.structs import replace

from milepost.access.principal import Grant, Principal, Role
from milepost.dependency import Fate, fate
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import ChildKey, Scope
from milepost.task import Task


def owner_of(task: Task) -> Principal:
    """A task's owner, with the rights that its starter had in its tenant, and none beyond.

    What a task starts is its owner's as well, and works with the same rights.
    """
    return Principal(task.owner, task.owner, tuple(_grant(task.tenant, role) for role in task.roles))


def scope_of(task: Task) -> Scope:
    """What a task sees while it runs: what its owner does, with these rights. Not what another has let it depend on."""
    return owner_of(task).scope()


def _grant(tenant: str, role: str) -> Grant:
    """A role in one tenant; a service is an admin there."""
    return Grant(tenant, Role.ADMIN if role == Role.SERVICE else Role(role))


async def start_child(service: Service, parent: Task, start: Start, key: str | None) -> Task:
    """Start a task for one that runs: with its owner, its rights and its tenant.

    The same `key`, by default the same start, is the same child for all tries of a run, as long as that is there. One
    that has failed or was cancelled before the parent was retried begins again. Raises as `Service.start` does.
    """
    owner = owner_of(parent)
    start = replace(start, tenant=parent.tenant, owner=parent.owner, parent=parent.id)
    fingerprint = await service.starts.fingerprint(start)
    known_by = ChildKey(parent.id, parent.run, fingerprint.hex() if key is None else key, fingerprint)
    child = (await service.start(owner, start, origin=parent.origin, parent=parent, known_by=known_by)).task
    if fate(child) is Fate.FAILED and (child.finished_at or 0) < (parent.started_at or 0):
        return await service.retry(owner, child.id)
    return child
