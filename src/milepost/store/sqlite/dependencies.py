"""Which tasks hang on one that changes, and how are they changed along with it?

Edges lead from a dependent to its dependency, which they name by id: one that was never met is remembered when its
record is gone. What the fate of a dependency means is `milepost.dependency`'s to say; all of it happens in the
transaction of the change that causes it. So does what a cancel means to the tasks that a task has started, and what
these add to its counts.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial

from milepost import delivery, dependency, lifecycle
from milepost.dependency import Dependency, Fate, fate
from milepost.lifecycle import Step
from milepost.store.protocol import Scope
from milepost.store.refusals import DependencyCycle, DependencyMissing, UniqueKeyTaken
from milepost.store.sqlite import records, rows, sight
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.transaction import Transaction
from milepost.task import State, Task


def find(transaction: Transaction, tenant: str, depends_on: Sequence[str], scope: Scope, now: int) -> list[Dependency]:
    """The tasks that one of this tenant may depend on. Raises DependencyMissing for one that the caller can't see."""
    found = []
    for index, task_id in enumerate(depends_on):
        row = transaction.row(
            "find_dependency", {"id": task_id, "tenant": tenant, "now": now, **sight.visibility(scope)}
        )
        if row is None:
            raise DependencyMissing(index)
        found.append(dependency.of(rows.record(row).task))
    return found


def link(transaction: Transaction, row: int, dependencies: Iterable[Dependency]) -> None:
    """Write the edges of a task that has none."""
    for task_id, met in {each.id: each.fate is Fate.MET for each in dependencies}.items():
        transaction.run("insert_edge", (row, task_id, met))


def relink(
    transaction: Transaction, dependent: Stored, depends_on: Sequence[str], scope: Scope, now: int
) -> list[Dependency]:
    """Replace the edges of a task, and give what it depends on now.

    Raises DependencyMissing, and DependencyCycle for an edge that would make it wait for itself.
    """
    row, task = dependent
    dependencies = find(transaction, task.tenant, depends_on, scope, now)
    for index, each in enumerate(dependencies):
        if transaction.row("waits_for", {"dependent": each.id, "dependency": task.id}) is not None:
            raise DependencyCycle(index)
    transaction.run("drop_edges", (row,))
    link(transaction, row, dependencies)
    return dependencies


def unmet(transaction: Transaction, stored: Stored) -> list[Dependency]:
    """What a task depends on that has not succeeded so far."""
    if not stored.task.depends_on and not stored.task.blocked_by:
        return []
    return [
        Dependency(task_id, None if state is None else State(state), has_succeeded == 1, next_run_at, any_end == 1)
        for task_id, state, has_succeeded, next_run_at, any_end in transaction.rows("unmet", (stored.row,))
    ]


def awaited(transaction: Transaction, stored: Stored) -> tuple[str, ...]:
    """The ids of those that a task still has to wait for."""
    return dependency.awaited(stored.task, unmet(transaction, stored))


def save(
    transaction: Transaction,
    stored: Stored,
    step: Step,
    now: int,
    *,
    relinked: bool = False,
    revives: bool = True,
) -> Task:
    """Write a change of a record and settle what hangs on it; gives the record after all of that.

    `relinked`: it may wait for others than before. `revives`: tasks that failed because of it begin again with it.
    Raises UniqueKeyTaken.
    """
    after = _write(transaction, stored, _waiting(transaction, stored, step, now))
    return settle(transaction, stored.task, Stored(stored.row, after), now, relinked=relinked, revives=revives)


def settle(
    transaction: Transaction,
    before: Task | None,
    stored: Stored,
    now: int,
    *,
    relinked: bool = False,
    revives: bool = True,
) -> Task:
    """Settle what hangs on a record that was just written; `before` is None for a new one."""
    after = stored.task
    if before is None:
        _count(transaction, None, after)
    if after.state is State.BLOCKED and (relinked or before is None or before.state is not State.BLOCKED):
        after = _review(transaction, stored, now)
    if before is not None:
        if fate(before) is not fate(after):
            _spread(transaction, after, now, revives=revives)
        if lifecycle.reaches_children(before, after):
            _cancel_children(transaction, after, now)
            after = transaction.current(Stored(stored.row, after)).task  # it may count them
    return after


def bereave(transaction: Transaction, ids: Iterable[str], now: int) -> None:
    """Let those that still wait for tasks which are gone take note of that; then tell those that wait for these.

    Not before, so that those that wait for each other all note by themselves what they waited for.
    """
    for task_id in ids:
        waiting = transaction.rows("waiting_dependents", (task_id,))
        for _, after in transaction.apart(waiting, partial(_review, transaction, now=now)):
            _spread(transaction, after, now)


def _write(transaction: Transaction, stored: Stored, step: Step) -> Task:
    before = stored.task
    after = records.write(transaction, stored, dependency.reasoned(step))
    if before.failure is not None and before.failure.code == lifecycle.DEPENDENCY_FAILED and after.failure is None:
        transaction.run("forgive_edges", (stored.row,))
    if dependency.ends_waits(before, after):
        transaction.run("drop_waits", (stored.row,))
    _count(transaction, before, after)
    return after


def _count(transaction: Transaction, before: Task | None, child: Task) -> None:
    """Let a child's change add up on the task that has started it."""
    more = delivery.counted(before, child)
    if child.parent is None or more == delivery.NOTHING_MORE:
        return
    for row, parent in rows.readable(transaction.rows("external_parent", (child.parent,))):
        step = delivery.count(parent, child, more, now=child.updated_at)
        if step is not None:
            records.write(transaction, Stored(row, parent), step)


def _waiting(transaction: Transaction, stored: Stored, step: Step, now: int) -> Step:
    """The step, once what it lets a running task wait for is written; where that closes a circle, one that says so."""
    for task_id in dependency.begun_waits(stored.task, step.task):
        if transaction.row("waits_for", {"dependent": task_id, "dependency": stored.task.id}) is not None:
            return dependency.closes_circle(stored.task, task_id, now=now)
        transaction.run("insert_wait", (stored.row, task_id))
    return step


def _cancel_children(transaction: Transaction, task: Task, now: int) -> None:
    """Cancel what a task has started, what that has started, and so on; then tell those that wait for any of these.

    Not before, so that children that wait for each other are all cancelled.
    """
    asked = deque([task.id])
    moved: list[Task] = []
    while asked:
        children = transaction.rows("unfinished_children", (asked.popleft(),))
        for child, after in transaction.apart(children, partial(_cancel, transaction, now=now)):
            if after.version == child.task.version:
                continue  # it was asked before, and has passed it on
            if fate(child.task) is not fate(after):
                moved.append(after)
            asked.append(after.id)
    for after in moved:
        _spread(transaction, after, now)


def _cancel(transaction: Transaction, child: Stored, now: int) -> Task:
    step = lifecycle.cancel(child.task, now=now)
    return child.task if step.task.version == child.task.version else _write(transaction, child, step)


def _spread(transaction: Transaction, task: Task, now: int, *, revives: bool = True) -> None:
    """Let a task whose fate has changed change its dependents, they theirs, and so on."""
    moved = deque([task])
    while moved:
        for dependent, after in _react(transaction, moved.popleft(), now, revives=revives):
            if fate(after) is not fate(dependent.task):
                moved.append(after)


def _react(transaction: Transaction, task: Task, now: int, *, revives: bool) -> Iterable[tuple[Stored, Task]]:
    """What becomes of the dependents of a task: each as it was, and after that."""
    if transaction.row("has_dependents", (task.id,)) is None:
        return
    waiting = transaction.rows("waiting_dependents", (task.id,))
    its = fate(task)
    if its is Fate.MET:
        transaction.run("meet_edges", (task.id,))
    yield from transaction.apart(waiting, partial(_review, transaction, now=now))
    if its is Fate.OPEN and revives:
        failed = transaction.rows("failed_dependents", (task.id,))
        yield from transaction.apart(failed, partial(_revive, transaction, now=now))


def _review(transaction: Transaction, dependent: Stored, now: int) -> Task:
    """Judge a blocked task anew, as something about those that it waits for has changed."""
    step, blames = dependency.review(dependent.task, unmet(transaction, dependent), now=now)
    if blames is not None:
        transaction.run("blame_edge", (dependent.row, blames))
    return dependent.task if step is None else _write(transaction, dependent, step)


def _revive(transaction: Transaction, dependent: Stored, now: int) -> Task:
    """A task that failed because of another waits for it once more, as that one begins again."""
    step = lifecycle.retry(dependent.task, now=now, unmet=awaited(transaction, dependent))
    try:
        after = _write(transaction, dependent, step)
    except UniqueKeyTaken:
        return dependent.task  # Another one has taken its place meanwhile.
    return _review(transaction, Stored(dependent.row, after), now)
