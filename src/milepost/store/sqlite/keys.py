"""By which keys is a start known again, and which task has it made?"""

from typing import TypeAlias

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING, ChildKey, IdempotencyKey, StartKey
from milepost.store.refusals import ChildDiffers, KeyOutlived, KeyReused
from milepost.store.sqlite import records
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.transaction import Transaction
from milepost.task import Task

Whose: TypeAlias = tuple[str, str, str]
"""The tenant, owner and type of a start."""


def find(transaction: Transaction, whose: Whose, key: StartKey, now: int) -> Task | None:
    """The task that a key stands for; None when it stands for none. Raises KeyReused, KeyOutlived, ChildDiffers."""
    match key:
        case IdempotencyKey():
            return _of_caller(transaction, whose, key, now)
        case ChildKey():
            return _of_parent(transaction, whose, key, now)


def remember(transaction: Transaction, made: Stored, key: StartKey) -> None:
    """Let a key stand for a task that was just made."""
    row, task = made
    match key:
        case IdempotencyKey():
            given = (key.parent or "", key.key, key.fingerprint, task.id, key.expires_at)
            transaction.run("put_idempotency_key", (task.tenant, task.owner, task.type, *given))
        case ChildKey():
            transaction.run("put_child", (row, key.parent, key.run, task.type, key.key, key.fingerprint))


def _of_caller(transaction: Transaction, whose: Whose, key: IdempotencyKey, now: int) -> Task | None:
    row = transaction.row("find_idempotency_key", (*whose, key.parent or "", key.key))
    if row is None:
        return None
    fingerprint, task_id, expires_at = row
    if expires_at <= now:
        return None
    if fingerprint != key.fingerprint:
        raise KeyReused
    found = _task(transaction, task_id, now)
    if found is None:
        raise KeyOutlived
    return found


def _of_parent(transaction: Transaction, whose: Whose, key: ChildKey, now: int) -> Task | None:
    *_, type_name = whose
    row = transaction.row("find_child", (key.parent, key.run, type_name, key.key))
    if row is None:
        return None
    fingerprint, task_id = row
    found = _task(transaction, task_id, now)
    if found is not None and fingerprint != key.fingerprint:
        raise ChildDiffers
    return found


def _task(transaction: Transaction, task_id: str, now: int) -> Task | None:
    stored = records.find(transaction, task_id, EVERYTHING, now)
    return None if stored is None else lifecycle.as_of(stored.task, now)
