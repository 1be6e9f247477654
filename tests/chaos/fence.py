"""Which late writes does the store itself refuse? What a worker gives up of its own accord never comes to the store."""

import os
import time
from collections.abc import Sequence
from functools import cache

from milepost.store.protocol import LeasedEdit
from milepost.store.refusals import LeaseLost
from milepost.store.sqlite.store import SqliteStore
from milepost.task import Task
from tests.chaos.traces import Mark, append


@cache
def watch() -> None:
    """From now on, note what the store refuses this process because a lease is over. It does and answers the same."""
    change_leased = SqliteStore.change_leased

    async def watched(self: SqliteStore, items: Sequence[LeasedEdit], *, now: int) -> list[Task | LeaseLost]:
        at = time.monotonic_ns()
        outcomes = await change_leased(self, items, now=now)
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, LeaseLost):
                append(Mark(item.id, item.epoch, "fenced", at, pid=os.getpid()))
        return outcomes

    SqliteStore.change_leased = watched  # type: ignore[method-assign]
