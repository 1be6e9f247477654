"""What goes, when its time is over or somebody deletes it?"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from milepost import lifecycle
from milepost.lifecycle import IllegalChange
from milepost.store.protocol import Deleted, Deletion, Scope
from milepost.store.refusals import HasDependents, Missing, NotFinished, Refusal
from milepost.store.sqlite import dependencies, records, sight
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.transaction import Transaction
from milepost.task import FileResult, Task
from milepost.times import DAY

WORKERS_KEPT: Final = DAY
"""How long a worker is remembered whose lease has ended."""

# What a record consists of; its row in `task` goes last.
_PARTS: Final = (
    "inputs",
    "checkpoints",
    "results",
    "tracebacks",
    "delivered",
    "children",
    "logs",
    "edges",
    "callbacks",
    "tasks",
)


def delete(transaction: Transaction, items: Sequence[Deletion], *, now: int) -> list[Deleted | Refusal]:
    """See TaskStore.delete."""
    return transaction.each(items, lambda item: _delete(transaction, item, now), Refusal)


def _delete(transaction: Transaction, item: Deletion, now: int) -> Deleted:
    stored = records.find(transaction, item.id, item.scope, now)
    if stored is None:
        raise Missing
    doomed = {stored.row: stored.task}
    pending = [stored]
    while pending:
        _, task = pending.pop()
        if not (task.state.terminal or (item.unfinished and _can_be_discarded(task, now))):
            raise NotFinished(task.id)
        dependents = _dependents(transaction, task.id, item.scope, now)
        if dependents and not item.cascade:
            raise HasDependents(tuple(dependent.task.id for dependent in dependents))
        pending += [dependent for dependent in dependents if dependent.row not in doomed]
        doomed.update(dependents)
    for each in doomed.items():
        current = transaction.current(Stored(*each))
        if not current.task.state.terminal:  # nor ended by what it waited for
            dependencies.save(transaction, current, lifecycle.discard(current.task, now=now), now)
    deleted = _remove(transaction, doomed)
    dependencies.bereave(transaction, deleted.ids, now)
    return deleted


def _can_be_discarded(task: Task, now: int) -> bool:
    try:
        lifecycle.discard(task, now=now)
    except IllegalChange:
        return False
    return True


def _dependents(transaction: Transaction, task_id: str, scope: Scope, now: int) -> list[Stored]:
    parameters = {"dependency": task_id, "now": now, **sight.visibility(scope)}
    return transaction.readable(transaction.rows("visible_dependents", parameters))


def expire(transaction: Transaction, *, now: int, limit: int) -> Deleted:
    """See TaskStore.expire."""
    transaction.run("forget_idempotency_keys", (now, limit))
    transaction.run("forget_workers", (now - WORKERS_KEPT,))
    parameters = {"now": now, "limit": limit, "skipped": transaction.skipped.known}
    old = transaction.rows("expired_records", parameters)
    gone = _remove(transaction, dict(transaction.readable(old)))
    results = transaction.rows("expired_results", parameters)
    expired = [stored.task for stored, _ in transaction.apart(results, partial(_expire_result, transaction, now))]
    files = [*gone.file_keys, *_file_keys(expired)]
    return Deleted(gone.ids, _forgotten(transaction, files), more=limit in (len(old), len(results)))


def _expire_result(transaction: Transaction, now: int, stored: Stored) -> Task:
    return dependencies.save(transaction, stored, lifecycle.expire_result(stored.task), now)


def _remove(transaction: Transaction, doomed: dict[int, Task]) -> Deleted:
    parameter = (msgspec.json.encode(list(doomed)).decode(),)
    files = [*_file_keys(doomed.values()), *(key for (key,) in transaction.rows("files_of", parameter))]
    for part in _PARTS:
        transaction.run(f"delete_{part}", parameter)
    ids = tuple(task.id for task in doomed.values())
    transaction.changed.update(dict.fromkeys(ids))
    return Deleted(ids, _forgotten(transaction, files))


def _file_keys(tasks: Iterable[Task]) -> list[str]:
    return [task.result.key for task in tasks if isinstance(task.result, FileResult)]


def _forgotten(transaction: Transaction, keys: Sequence[str]) -> tuple[str, ...]:
    """Those of these files that no record points to any more."""
    if not keys:
        return ()
    known = {key for (key,) in transaction.rows("known_files", {"keys": msgspec.json.encode(keys).decode()})}
    return tuple(key for key in keys if key not in known)
