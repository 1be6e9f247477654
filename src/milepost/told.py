"""How is what a store refused said to the caller?"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from milepost import errors
from milepost.lifecycle import IllegalChange
from milepost.store import refusals
from milepost.store.refusals import Refusal

T = TypeVar("T")

DISK_FULL: Final = "the disk of the store is full"
"""What a log says of it."""


def told(refusal: Refusal | IllegalChange) -> errors.ServiceError:
    """The error that tells a caller why it was refused; what is not its affair it is told as if there were nothing."""
    if isinstance(refusal, IllegalChange):
        return errors.Conflict(refusal.why, state=str(refusal.state))
    say = _SAID.get(type(refusal))
    return errors.NotFound("There is no such task.") if say is None else say(refusal)


def unavailable(error: refusals.StoreBusy | refusals.StoreFull) -> errors.Unavailable:
    """The error that tells a caller that the store could not be written just now."""
    why = "is busy" if isinstance(error, refusals.StoreBusy) else "has no room left"
    return errors.Unavailable(f"The store {why}; nothing was changed.")


def done(outcomes: Sequence[T | Refusal | IllegalChange]) -> T:
    """The outcome of a batch of one. Raises what tells a caller why it was refused."""
    outcome = outcomes[0]
    if isinstance(outcome, Refusal | IllegalChange):
        raise told(outcome) from outcome
    return outcome


def _in_dependencies(refusal: Any) -> errors.ServiceError:
    return errors.Invalid(errors.Fault(str(refusal), f"/depends_on/{refusal.index}"))


_SAID: Final[dict[type[Refusal], Callable[[Any], errors.ServiceError]]] = {
    refusals.UniqueKeyTaken: lambda it: errors.UniqueKeyConflict(
        str(it), **({} if it.task_id is None else {"task": it.task_id})
    ),
    refusals.DependencyMissing: _in_dependencies,
    refusals.DependencyCycle: _in_dependencies,
    refusals.LeaseLost: lambda _: errors.ParentLost("The task that is to start this one does not run any more."),
    refusals.ParentStops: lambda _: errors.ParentStopping("The task that is to start this one is to be cancelled."),
    refusals.KeyReused: lambda _: errors.KeyConflict("This Idempotency-Key was used for a request with another body."),
    refusals.KeyOutlived: lambda _: errors.Gone("The task that this Idempotency-Key stands for has been deleted."),
    refusals.ChildDiffers: lambda _: errors.KeyConflict("The task has started another one with this key."),
    refusals.VersionMismatch: lambda _: errors.PreconditionFailed(
        "The task has changed since the version that If-Match names."
    ),
    refusals.NotFinished: lambda it: errors.Conflict(str(it), task=it.task_id),
    refusals.HasDependents: lambda it: errors.DependentsConflict(str(it), dependents=list(it.dependents)),
}
