"""Why does a store not do what it is asked?

An item of a batch that it does not carry out is answered with a `Refusal` in its place, which is not raised. What
concerns a call as a whole is raised instead; then nothing was changed.
"""


class Refusal(Exception):
    """Why a store did not do what an item of a batch asked. Returned in the item's place, not raised."""


class Missing(Refusal):
    """No such task, or none that the caller may see."""


class UniqueKeyTaken(Refusal):
    """An unfinished task of the same owner, tenant and type has the same unique key."""

    def __init__(self, task_id: str | None) -> None:
        """`task_id`: None where the caller does not see that task."""
        self.task_id = task_id
        super().__init__(f"{f'Task {task_id}' if task_id else 'Another task'} has this unique key and is not finished.")


class DependencyMissing(Refusal):
    """A task named in `depends_on` does not exist in the tenant, or not for the caller."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__("No such task.")


class DependencyCycle(Refusal):
    """An edge would make a task wait for itself."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__("The task would wait for itself.")


class ParentStops(Refusal):
    """A task is to be cancelled, and so starts no further ones."""


class KeyReused(Refusal):
    """The Idempotency-Key stands for a start with another body."""


class KeyOutlived(Refusal):
    """The Idempotency-Key stands for a task that has been deleted since."""


class ChildDiffers(Refusal):
    """A task has started another child under this key, with another start."""


class VersionMismatch(Refusal):
    """The record is not at the version that the caller expects any more."""


class TenantFull(Refusal):
    """A tenant has as many valid keys as it may."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        super().__init__(f"The tenant {tenant!r} has as many valid keys as it may.")


class LeaseLost(Refusal):
    """The worker's epoch of the task is over: what it sends changes nothing."""


class NotFinished(Refusal):
    """A task that is not finished can't be deleted."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"Task {task_id} is not finished.")


class HasDependents(Refusal):
    """Tasks that the caller can see depend on this one."""

    def __init__(self, dependents: tuple[str, ...]) -> None:
        self.dependents = dependents
        count = "Another task depends" if len(dependents) == 1 else f"{len(dependents)} other tasks depend"
        super().__init__(f"{count} on this one.")


class BadCursor(ValueError):
    """A list is to go on from a place that no list gave."""


class SchemaTooNew(Exception):
    """The store was written by a newer Milepost than this one."""


class NotStorable(Exception):
    """What was to be written can't be, however often it is tried; nothing was changed."""


class StoreBusy(Exception):
    """A write could not get its turn in reasonable time; nothing was changed."""


class StoreFull(Exception):
    """There is no room for what was to be written; nothing was changed."""
