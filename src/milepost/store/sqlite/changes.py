"""How are tasks made, and changed by callers and workers?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

from msgspec.structs import replace

from milepost import dependency, lifecycle
from milepost.lifecycle import IllegalChange
from milepost.store.protocol import ChildKey, Created, Creation, Edit, LeasedEdit, StartKey
from milepost.store.refusals import (
    LeaseLost,
    Missing,
    NotStorable,
    ParentStops,
    Refusal,
    UniqueKeyTaken,
    VersionMismatch,
)
from milepost.store.sqlite import dependencies, keys, records, sight
from milepost.store.sqlite.keys import Whose
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.transaction import Transaction
from milepost.task import Task
from milepost.tenant import FIRST_GIVEN, own_number

_REFUSALS: Final[tuple[type[Refusal | IllegalChange], ...]] = (Refusal, IllegalChange)


def create(transaction: Transaction, items: Sequence[Creation], *, now: int) -> list[Created | Refusal]:
    """See TaskStore.create."""
    return transaction.each(items, lambda item: _shown_as_made(transaction, item, now), Refusal)


def stands_alone(item: Creation) -> bool:
    """Whether a new task can be made without a look at any other: nothing refuses it, and it moves none.

    It is queued or scheduled then.
    """
    draft = item.draft
    hangs_on_others = item.key or item.files or item.sealed or item.parent_epoch is not None
    is_watched = draft.parent or draft.unique_key or draft.depends_on
    return not (hangs_on_others or is_watched or draft.held or draft.runner == "external")


def create_alone(transaction: Transaction, items: Sequence[Creation]) -> list[Created | Refusal]:
    """As `create`, of tasks that stand alone: in about half the time, where there are several."""
    begun = [
        (item.begin(replace(item.draft, number=number)), item.input)
        for item, number in zip(items, _next_numbers(transaction, items), strict=True)
    ]
    return [Created(stored.task) for stored in records.insert_all(transaction, begun)]


def recall(transaction: Transaction, *, whose: Whose, key: StartKey, now: int) -> Created | Refusal | None:
    """See TaskStore.recall."""
    try:
        known = keys.find(transaction, whose, key, now)
    except Refusal as refusal:
        return refusal.with_traceback(None)
    return None if known is None else Created(known, replayed=True)


def change(transaction: Transaction, items: Sequence[Edit], *, now: int) -> list[Task | Refusal | IllegalChange]:
    """See TaskStore.change."""
    return transaction.each(items, lambda item: _shown_as_changed(transaction, item, now), *_REFUSALS)


def change_leased(transaction: Transaction, items: Sequence[LeasedEdit], *, now: int) -> list[Task | LeaseLost]:
    """See TaskStore.change_leased."""
    try:
        return [_change_leased(transaction, item, now) for item in items]
    except Exception as error:
        if transaction.concerns_all(error):
            raise
        raise NotStorable(f"{type(error).__name__}: {error}") from error


def _shown_as_made(transaction: Transaction, item: Creation, now: int) -> Created:
    return sight.made(transaction.rows, _create(transaction, item, now), item.scope, now)


def _create(transaction: Transaction, item: Creation, now: int) -> Created:
    draft, key = item.draft, item.key
    known = None if key is None else keys.find(transaction, (draft.tenant, draft.owner, draft.type), key, now)
    # What is known already a caller is told in any case, but not a function whose lease is over.
    if item.parent_epoch is not None and (known is None or isinstance(key, ChildKey)):
        _check_parent(transaction, draft.parent or "", item.parent_epoch)
    if known is not None:
        return Created(known, replayed=True)
    found = dependencies.find(transaction, draft.tenant, draft.depends_on, item.scope, now)
    (number,) = _next_numbers(transaction, [item])
    blocked_by = dict.fromkeys((*dependency.awaited(draft, found), *draft.blocked_by))
    draft = replace(draft, number=number, blocked_by=tuple(blocked_by))
    step = item.begin(draft)
    stored = records.insert(transaction, dependency.reasoned(step), item.input, item.files, item.sealed)
    dependencies.link(transaction, stored.row, found)
    if key is not None:
        keys.remember(transaction, stored, key)
    return Created(dependencies.settle(transaction, None, stored, now))


def _check_parent(transaction: Transaction, parent: str, epoch: int) -> None:
    """A child comes of a parent that runs, and is to go on. Raises LeaseLost, ParentStops."""
    stored = records.find_leased(transaction, parent, epoch)
    if stored is None:
        raise LeaseLost
    if stored.task.cancel_requested:
        raise ParentStops


def _next_numbers(transaction: Transaction, items: Sequence[Creation]) -> Iterator[int]:
    """The numbers that follow in their tenants, for tasks in their order."""
    tenants = [item.draft.tenant for item in items]
    following = {}
    for tenant, many in Counter(tenants).items():
        last, known_as = transaction.rows("take_numbers", (tenant, many))[0]
        if known_as is None and own_number(tenant) is None:
            transaction.run("number_tenant", {"first_given": FIRST_GIVEN, "name": tenant})
        following[tenant] = count(last - many + 1)
    return (next(following[tenant]) for tenant in tenants)


def _shown_as_changed(transaction: Transaction, item: Edit, now: int) -> Task:
    try:
        return sight.shown(transaction.rows, _change(transaction, item, now), item.scope, now)
    except UniqueKeyTaken as taken:
        if records.find(transaction, taken.task_id or "", item.scope, now) is None:
            raise UniqueKeyTaken(None) from None
        raise


def _change(transaction: Transaction, item: Edit, now: int) -> Task:
    stored = records.find(transaction, item.id, item.scope, now)
    if stored is None:
        raise Missing
    task = lifecycle.as_of(stored.task, now)
    if item.if_version not in (None, task.version):
        raise VersionMismatch
    if (
        item.depends_on is not None
        and item.depends_on != sight.shown(transaction.rows, task, item.scope, now).depends_on
    ):
        return _relink(transaction, stored, item, replace(task, depends_on=item.depends_on), now)
    step = item.apply(task, dependencies.awaited(transaction, stored))
    if step.task.version == task.version:
        return task
    return dependencies.save(transaction, stored, step, now, revives=item.revives)


def _relink(transaction: Transaction, stored: Stored, item: Edit, task: Task, now: int) -> Task:
    now_depends_on = dependencies.relink(transaction, stored, task.depends_on, item.scope, now)
    step = item.apply(task, dependency.awaited(task, now_depends_on))
    if step.task.version == task.version:
        step = lifecycle.relabel(step.task, now=now)  # That it depends on others now is a change too.
    return dependencies.save(transaction, stored, step, now, relinked=True)


def _change_leased(transaction: Transaction, item: LeasedEdit, now: int) -> Task | LeaseLost:
    stored = records.find_leased(transaction, item.id, item.epoch)
    if stored is None:
        return LeaseLost()
    step = item.apply(stored.task)
    if step.task.version == stored.task.version:
        return stored.task
    return dependencies.save(transaction, stored, step, now)
