"""What does a change of one task do to those that depend on it?

Edges lead from a dependent to its dependency. A dependency is *met* by its first success; it has *failed* when it
ended otherwise and will not run again. All of this happens in the transaction of the change that causes it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

from msgspec.structs import replace

from milepost import lifecycle
from milepost.lifecycle import Step
from milepost.store.protocol import DependencyCycle, DependencyMissing, Scope, UniqueKeyTaken
from milepost.store.sqlite import records, rows
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.transaction import Transaction
from milepost.task import State, Task


class Fate(Enum):
    """What a task is to those that depend on it."""

    OPEN = "open"
    MET = "met"
    FAILED = "failed"


def fate(task: Task) -> Fate:
    """What the task is to its dependents. A failed run is not yet the end of a task that repeats."""
    if task.has_succeeded:
        return Fate.MET
    return Fate.FAILED if task.state.terminal and task.next_run_at is None else Fate.OPEN


def find(transaction: Transaction, tenant: str, depends_on: Sequence[str], scope: Scope, now: int) -> list[Stored]:
    """The tasks that one of this tenant may depend on. Raises DependencyMissing for one that the caller can't see."""
    found = []
    for index, task_id in enumerate(depends_on):
        row = transaction.row(
            "find_dependency", {"id": task_id, "tenant": tenant, "now": now, **records.visibility(scope)}
        )
        if row is None:
            raise DependencyMissing(index)
        found.append(rows.record(row))
    return found


def awaited(task: Task, dependencies: Iterable[Stored]) -> tuple[str, ...]:
    """The ids of those among its dependencies that a task has to wait for."""
    return tuple(dict.fromkeys(dependency.id for _, dependency in dependencies if not _meets(task, dependency)))


def _meets(task: Task, dependency: Task) -> bool:
    its = fate(dependency)
    return its is Fate.MET or (its is Fate.FAILED and task.on_dependency_failure == "run")


def link(transaction: Transaction, dependent: Stored, dependencies: Iterable[Stored]) -> None:
    """Write the edges of a task that has none."""
    for row, dependency in dict(dependencies).items():
        transaction.run("insert_edge", (dependent.row, row, _meets(dependent.task, dependency)))


def relink(
    transaction: Transaction, dependent: Stored, depends_on: Sequence[str], scope: Scope, now: int
) -> tuple[str, ...]:
    """Replace the edges of a task, and give the ids of those that it now has to wait for.

    Raises DependencyMissing, and DependencyCycle for an edge that would make it wait for itself.
    """
    dependencies = find(transaction, dependent.task.tenant, depends_on, scope, now)
    for index, (row, _) in enumerate(dependencies):
        if transaction.row("waits_for", {"dependent": row, "dependency": dependent.row}) is not None:
            raise DependencyCycle(index)
    transaction.run("drop_edges_from", (dependent.row,))
    link(transaction, dependent, dependencies)
    return awaited(dependent.task, dependencies)


def unmet(transaction: Transaction, stored: Stored) -> tuple[str, ...]:
    """The ids of those that a task still waits for, in the order in which it names them."""
    if not stored.task.depends_on:
        return ()
    waited_for = {task_id for (task_id,) in transaction.rows("unmet", (stored.row,))}
    return tuple(task_id for task_id in dict.fromkeys(stored.task.depends_on) if task_id in waited_for)


def save(transaction: Transaction, stored: Stored, step: Step, now: int, *, relinked: bool = False) -> Task:
    """Write a change of a record and settle what hangs on it; gives the record after all of that.

    Raises UniqueKeyTaken.
    """
    after = _write(transaction, stored, step)
    return settle(transaction, stored.task, Stored(stored.row, after), now, relinked=relinked)


def settle(transaction: Transaction, before: Task | None, stored: Stored, now: int, *, relinked: bool = False) -> Task:
    """Settle what hangs on a record that was just written; `before` is None for a new one."""
    row, after = stored
    if after.state is State.BLOCKED and (relinked or before is None or before.state is not State.BLOCKED):
        after = _judge(transaction, stored, now)
    if before is not None and fate(before) is not fate(after):
        _spread(transaction, deque([Stored(row, after)]), now)
    return after


def bereave(transaction: Transaction, dependency: Stored, now: int) -> None:
    """Fail those that still wait for a task, as it is deleted."""
    moved: deque[Stored] = deque()
    for row in transaction.rows("waiting_dependents", (dependency.row,)):
        dependent = rows.record(row)
        step = lifecycle.fail_dependency(dependent.task, now=now, dependency=dependency.task.id, why="deleted")
        moved.append(Stored(dependent.row, _write(transaction, dependent, step)))
    _spread(transaction, moved, now)


def reasoned(step: Step) -> Step:
    """The step, with a record that says why it is blocked if it is."""
    task = step.task
    if task.state is State.BLOCKED and task.blocked_reason is None:
        return step._replace(task=replace(task, blocked_reason=_waiting_for(task.blocked_by)))
    return step


def _waiting_for(ids: Sequence[str]) -> str:
    if not ids:
        return "Waits until somebody frees it."
    return f"Waits for task {ids[0]}." if len(ids) == 1 else f"Waits for {len(ids)} tasks."


_ENDED: Final = {State.FAILED: "failed", State.CANCELLED: "was cancelled"}


def _write(transaction: Transaction, stored: Stored, step: Step) -> Task:
    before = stored.task
    after = records.write(transaction, stored, reasoned(step))
    if before.failure is not None and before.failure.code == "dependency_failed" and after.failure is None:
        transaction.run("forgive_edges", (stored.row,))
    return after


def _spread(transaction: Transaction, moved: deque[Stored], now: int) -> None:
    """Let every task whose fate has changed change its dependents, and so on."""
    while moved:
        dependency = moved.popleft()
        for dependent in _concerned(transaction, dependency):
            after = _react(transaction, dependent, dependency, now)
            if fate(after) is not fate(dependent.task):
                moved.append(Stored(dependent.row, after))


def _concerned(transaction: Transaction, dependency: Stored) -> list[Stored]:
    if transaction.row("has_dependents", (dependency.row,)) is None:
        return []
    found = transaction.rows("waiting_dependents", (dependency.row,))
    match fate(dependency.task):
        case Fate.MET:
            transaction.run("meet_edges", (dependency.row,))
        case Fate.OPEN:
            found += transaction.rows("failed_dependents", (dependency.row,))
    return [rows.record(row) for row in found]


def _react(transaction: Transaction, dependent: Stored, dependency: Stored, now: int) -> Task:
    match fate(dependency.task):
        case Fate.MET:
            return _wait_less(transaction, dependent, now)
        case Fate.FAILED:
            return _suffer(transaction, dependent, dependency, now)
    if dependent.task.state is State.FAILED:
        return _revive(transaction, dependent, now)
    return _explain(transaction, dependent, now)


def _judge(transaction: Transaction, stored: Stored, now: int) -> Task:
    """Let a task that begins to wait suffer from those that have failed already."""
    row, task = stored
    for dependency in _failed(transaction, row):
        task = _suffer(transaction, Stored(row, task), dependency, now)
        if task.state is not State.BLOCKED:
            break
    return task


def _failed(transaction: Transaction, row: int) -> list[Stored]:
    finished = [rows.record(found) for found in transaction.rows("unmet_finished", (row,))]
    return [stored for stored in finished if fate(stored.task) is Fate.FAILED]


def _suffer(transaction: Transaction, dependent: Stored, dependency: Stored, now: int) -> Task:
    """A task that it waits for has failed: what that means, the dependent has said itself."""
    match dependent.task.on_dependency_failure:
        case "run":
            transaction.run("meet_edge", (dependent.row, dependency.row))
            return _wait_less(transaction, dependent, now)
        case "stay":
            return _explain(transaction, dependent, now)
    transaction.run("blame_edge", (dependent.row, dependency.row))
    why = str(dependency.task.state)
    step = lifecycle.fail_dependency(dependent.task, now=now, dependency=dependency.task.id, why=why)
    return _write(transaction, dependent, step)


def _wait_less(transaction: Transaction, dependent: Stored, now: int) -> Task:
    task = dependent.task
    left = unmet(transaction, dependent)
    if left or task.held:
        reason = task.blocked_reason if task.held else _reason(transaction, dependent, left)
        step = lifecycle.block(task, now=now, blocked_by=left, reason=reason, held=task.held)
    else:
        step = lifecycle.unblock(task, now=now)
    return _write(transaction, dependent, step)


def _explain(transaction: Transaction, dependent: Stored, now: int) -> Task:
    """Say anew what a task waits for that stays blocked."""
    task = dependent.task
    reason = _reason(transaction, dependent, task.blocked_by)
    if reason == task.blocked_reason:
        return task
    step = lifecycle.block(task, now=now, blocked_by=task.blocked_by, reason=reason, held=task.held)
    return _write(transaction, dependent, step)


def _reason(transaction: Transaction, dependent: Stored, ids: Sequence[str]) -> str:
    for _, dependency in _failed(transaction, dependent.row):
        return f"Task {dependency.id}, which this one waits for, {_ENDED[dependency.state]}."
    return _waiting_for(ids)


def _revive(transaction: Transaction, dependent: Stored, now: int) -> Task:
    """A task that failed because of another waits for it once more, as that one begins again."""
    step = lifecycle.retry(dependent.task, now=now, unmet=unmet(transaction, dependent))
    try:
        after = _write(transaction, dependent, step)
    except UniqueKeyTaken:
        return dependent.task  # Another one has taken its place meanwhile.
    return _judge(transaction, Stored(dependent.row, after), now)
