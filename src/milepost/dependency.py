"""What do the ends of other tasks mean to one that waits for them?

A dependency is *met* by its first success. It has *failed* when it ended otherwise and will not run again, or is gone
without having been met. What a failed one means the dependent has said itself (`on_dependency_failure`): it fails too,
runs all the same, or stays blocked, as long as the other is there to be retried. A task that waits for those that it
started itself carries on at their end, whatever it is. Everything here is pure; stores keep the edges and ask.
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from msgspec.structs import replace

from milepost import lifecycle
from milepost.lifecycle import Step
from milepost.task import TERMINAL, Failure, State, Task


class Fate(Enum):
    """What a task is to those that depend on it."""

    OPEN = "open"
    MET = "met"
    FAILED = "failed"


class Dependency(NamedTuple):
    """A task that another depends on, as far as that matters to it; a state of None means that it is gone."""

    id: str
    state: State | None
    has_succeeded: bool = False
    next_run_at: int | None = None
    any_end: bool = False
    """Its end is all that is waited for, success or not."""

    @property
    def fate(self) -> Fate:
        """What it is to its dependents. A failed run is not yet the end of a task that repeats."""
        if self.has_succeeded:
            return Fate.MET
        ended = self.state is None or (self.state in TERMINAL and self.next_run_at is None)
        return Fate.FAILED if ended else Fate.OPEN

    @property
    def end(self) -> str:
        """How one that failed came to its end, for people."""
        return "is gone" if self.state is None else _ENDS.get(self.state, "ended")


_ENDS: Final = {State.FAILED: "failed", State.CANCELLED: "was cancelled"}


def of(task: Task) -> Dependency:
    """A task as a dependency of others."""
    return Dependency(task.id, task.state, task.has_succeeded, task.next_run_at)


def fate(task: Task) -> Fate:
    """What a task is to its dependents."""
    return of(task).fate


def meets(task: Task, dependency: Dependency) -> bool:
    """Whether the task need not wait for this one, or not any more."""
    its = dependency.fate
    return its is Fate.MET or (its is Fate.FAILED and (dependency.any_end or task.on_dependency_failure == "run"))


def awaited(task: Task, dependencies: Iterable[Dependency]) -> tuple[str, ...]:
    """The ids of those that a task has to wait for, in the order in which it names them."""
    ids = {dependency.id for dependency in dependencies if not meets(task, dependency)}
    return tuple(task_id for task_id in dict.fromkeys((*task.depends_on, *task.blocked_by)) if task_id in ids)


def named(task: Task, dependencies: Iterable[Dependency]) -> tuple[str, ...]:
    """The ids that who holds a task has named as what blocks it, beside those that it depends on."""
    known = {*task.depends_on, *(dependency.id for dependency in dependencies)}
    return tuple(task_id for task_id in task.blocked_by if task_id not in known) if task.held else ()


def begun_waits(before: Task, after: Task) -> tuple[str, ...]:
    """The ids of the tasks whose ends a change lets one wait for that was running. Who holds it only names some."""
    if before.state is not State.RUNNING or after.state is not State.BLOCKED or after.held:
        return ()
    return tuple(task_id for task_id in after.blocked_by if task_id not in after.depends_on)


def ends_waits(before: Task, after: Task) -> bool:
    """Whether a change ends such waits."""
    return before.state is State.BLOCKED is not after.state and not set(before.blocked_by) <= set(before.depends_on)


def closes_circle(task: Task, other: str, *, now: int) -> Step:
    """A running task can't wait for another that waits for it."""
    message = f"It can't wait for task {other}, which waits for this one."
    return lifecycle.fail(task, now=now, failure=Failure("dependency_cycle", message))


class Review(NamedTuple):
    """What a blocked task makes of its dependencies."""

    step: Step | None
    """The change that this brings; None where it waits on as it did."""
    blames: str | None = None
    """The id of the one that it fails because of."""


def review(task: Task, unmet: Sequence[Dependency], *, now: int) -> Review:
    """Judge a blocked task anew. `unmet` are those that it depends on and was not freed from so far.

    Those that it started itself are among them as long as it waits for any of these.
    """
    waits_for = awaited(task, unmet)
    failed = [each for each in unmet if each.fate is Fate.FAILED and each.id in waits_for]
    for each in failed:
        if task.on_dependency_failure == "fail" or each.state is None:
            return Review(lifecycle.fail_dependency(task, now=now, reason=_ended(each)), each.id)
    if not waits_for and not task.held:
        return Review(lifecycle.unblock(task, now=now))
    reason = task.blocked_reason if task.held else _reason(waits_for, failed)
    waits_for += named(task, unmet)
    if (waits_for, reason) == (task.blocked_by, task.blocked_reason):
        return Review(None)
    return Review(lifecycle.block(task, now=now, blocked_by=waits_for, reason=reason, held=task.held))


def reasoned(step: Step) -> Step:
    """The step, with a record that says why it is blocked if it is."""
    task = step.task
    if task.state is State.BLOCKED and task.blocked_reason is None:
        return step._replace(task=replace(task, blocked_reason=_reason(task.blocked_by, ())))
    return step


def _reason(waits_for: Sequence[str], failed: Sequence[Dependency]) -> str:
    if failed:
        return _ended(failed[0])
    if not waits_for:
        return "Waits until somebody frees it."
    return f"Waits for task {waits_for[0]}." if len(waits_for) == 1 else f"Waits for {len(waits_for)} tasks."


def retold(reason: str, seen: Sequence[str]) -> str:
    """Why a task is blocked, for who sees these of what it waits for: how many there are is not told."""
    return _reason(seen, ()) if _COUNTED.fullmatch(reason) else reason


_COUNTED: Final = re.compile(r"Waits for [0-9]+ tasks\.")


def _ended(failed: Dependency) -> str:
    return f"Task {failed.id}, which this one waits for, {failed.end}."
