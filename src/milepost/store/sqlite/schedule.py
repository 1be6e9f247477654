"""Which tasks are due, and which say what keeps them from running?"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from milepost import lifecycle
from milepost import notice as notices
from milepost.lifecycle import IllegalChange, Step
from milepost.store.sqlite import dependencies
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.transaction import Transaction
from milepost.task import Task

NOTED_AT_ONCE: Final = 1000
"""About how many tasks are told at once that they can't run, or can again; the rest is told the next time."""

# Missed starts come first: a scheduled task can be due and have missed its start at once.
_DUE: Final[tuple[tuple[str, Callable[..., Step]], ...]] = (
    ("missed_starts", lifecycle.miss_start),
    ("due_starts", lifecycle.enqueue),
    ("due_runs", lifecycle.next_run),
)


def enqueue_due(transaction: Transaction, *, now: int, limit: int) -> list[str]:
    """See TaskStore.enqueue_due."""
    changed: list[str] = []
    for name, change in _DUE:
        parameters = {"now": now, "limit": limit - len(changed), "skipped": transaction.skipped.known}
        changed += _change_all(transaction, transaction.rows(name, parameters), change, now)
    return changed


def _change_all(
    transaction: Transaction, found: Iterable[Sequence[Any]], change: Callable[..., Step], now: int
) -> list[str]:
    def carry_out(stored: Stored) -> Task | None:
        try:
            step = change(stored.task, now=now)
        except IllegalChange:
            return None  # It waited for one of those before it, and has failed with that.
        return dependencies.save(transaction, stored, step, now)

    return [stored.task.id for stored, after in transaction.apart(found, carry_out) if after is not None]


def note_obstacles(transaction: Transaction, found: Iterable[tuple[int, str | None]], *, now: int) -> list[str]:
    """Let queued tasks, by their rows, say what keeps them, or nothing of it; gives the ids of those that say it."""
    due = dict(found)
    # What has gone since it was found is not among these. A look and a savepoint for each would cost a quarter more.
    current = transaction.rows("get_rows", (msgspec.json.encode(list(due)).decode(),))
    noted = transaction.apart(current, lambda stored: _note(transaction, due[stored.row], now, stored))
    return [stored.task.id for stored, is_news in noted if is_news and due[stored.row] is not None]


def _note(transaction: Transaction, notice: str | None, now: int, stored: Stored) -> bool:
    step = notices.note(stored.task, notice, now=now)
    if step is not None:
        dependencies.save(transaction, stored, step, now)
    return step is not None
