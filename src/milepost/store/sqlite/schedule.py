"""Which tasks are due, and which wait for a worker that there is none of?"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from milepost import lifecycle
from milepost.lifecycle import Step
from milepost.store.sqlite import dependencies, rows
from milepost.store.sqlite.leases import UNOFFERED
from milepost.store.sqlite.transaction import Transaction
from milepost.task import State, Task

NOTED_AT_ONCE: Final = 1000
"""How many tasks are told at once that nobody offers their type; the rest is told the next time."""

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
        changed += _change_all(transaction, transaction.rows(name, (now, limit - len(changed))), change, now)
    return changed


def _change_all(
    transaction: Transaction, found: Iterable[Sequence[Any]], change: Callable[..., Step], now: int
) -> list[str]:
    due = rows.readable(found)
    for stored in due:
        dependencies.save(transaction, stored, change(stored.task, now=now), now)
    return [stored.task.id for stored in due]


def note_unoffered(transaction: Transaction, found: Iterable[tuple[int, bool]], *, now: int) -> list[str]:
    """Say of queued tasks, by their rows, whether a worker offers their type; gives the ids of those that none does."""
    noted: list[str] = []
    for row, offered in found:
        current = transaction.row("get_row", (row,))
        # It was found before this transaction, and may have gone or changed since.
        if current is not None and _is_news((stored := rows.record(current)).task, offered):
            step = lifecycle.relabel(stored.task, now=now, message=None if offered else UNOFFERED)
            dependencies.save(transaction, stored, step, now)
            noted += [] if offered else [stored.task.id]
    return noted


def _is_news(task: Task, offered: bool) -> bool:
    # Only what it says of that: whatever the task itself said before stays once a worker is there.
    return task.state is State.QUEUED and (task.message == UNOFFERED) == offered
