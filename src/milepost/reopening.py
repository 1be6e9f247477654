"""Is there room in its tenant for a task that a caller's change lets begin again?

Whatever is unfinished counts, and a change shows only in the store, under its lock, whether it lets a task that had
ended begin again. So it is refused there at first, the tenant's limit asked, and the change made anew; any other change
costs nothing more.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from milepost.lifecycle import IllegalChange, Step
from milepost.store.protocol import Edit, TaskStore
from milepost.store.refusals import Refusal
from milepost.task import Task


class _Reopens(IllegalChange):
    """A task of this tenant would be unfinished again."""

    def __init__(self, task: Task) -> None:
        super().__init__("reopen", task)
        self.tenant = task.tenant


async def changed(
    store: TaskStore, edit: Edit, admit: Callable[[str], Awaitable[None]], *, now: int
) -> Task | Refusal | IllegalChange:
    """The outcome of a caller's change. `admit` counts one more unfinished task of a tenant, or raises TooMany.

    Tasks that begin again along with it, because they failed with it, are not asked about: they count from then on.
    """
    (outcome,) = await store.change([replace(edit, apply=_held_back(edit.apply))], now=now)
    if isinstance(outcome, _Reopens):
        await admit(outcome.tenant)
        (outcome,) = await store.change([edit], now=now)
    return outcome


def _held_back(apply: Callable[[Task, tuple[str, ...]], Step]) -> Callable[[Task, tuple[str, ...]], Step]:
    """The same change, which raises _Reopens where it does that."""

    def checked(task: Task, unmet: tuple[str, ...]) -> Step:
        step = apply(task, unmet)
        if task.finished_at is not None and step.task.finished_at is None:
            raise _Reopens(task)
        return step

    return checked
