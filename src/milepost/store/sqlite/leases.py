"""Who may run tasks, and which of them does?"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from milepost import lifecycle
from milepost.store.protocol import Claimed, LeaseLost, Pulse, TypeInfo, Wanted, WorkerInfo
from milepost.store.sqlite import dependencies, rows
from milepost.store.sqlite.transaction import Transaction
from milepost.task import Task

UNOFFERED = "No worker that is alive offers this type of task."


def enlist(transaction: Transaction, worker: WorkerInfo) -> None:
    """See TaskStore.enlist."""
    transaction.run("enlist", (worker.id, msgspec.json.encode(worker).decode()))


def publish_types(transaction: Transaction, types: Sequence[TypeInfo]) -> None:
    """See TaskStore.publish_types."""
    for info in types:
        transaction.run("put_type", (info.name, msgspec.json.encode(info).decode()))


def dismiss(transaction: Transaction, worker: str, *, now: int) -> list[str]:
    """See TaskStore.dismiss."""
    transaction.run("end_lease", (now, worker))
    return _lose_all(transaction, transaction.rows("held_by", (worker,)), now)


def rescue(transaction: Transaction, silent: Iterable[Pulse], *, now: int) -> list[str]:
    """See TaskStore.rescue."""
    for pulse in silent:
        transaction.run("end_silent_lease", (now, pulse.worker.id, pulse.beats))
    return _lose_all(transaction, transaction.rows("without_lease", {"now": now}), now)


def _lose_all(transaction: Transaction, found: Iterable[Sequence[Any]], now: int) -> list[str]:
    lost = rows.readable(found)
    for stored in lost:
        dependencies.save(transaction, stored, lifecycle.lose(stored.task, now=now), now)
    return [stored.task.id for stored in lost]


def claim(
    transaction: Transaction, worker: str, wanted: Sequence[Wanted], *, limit: int, now: int
) -> list[Claimed] | LeaseLost:
    """See TaskStore.claim."""
    if transaction.row("lease_holds", (worker,)) is None:
        return LeaseLost()
    claimed: list[Claimed] = []
    seen: set[int] = set()
    while len(claimed) < limit and (chosen := _choose(transaction, wanted, limit - len(claimed), seen)):
        for row in chosen:
            *cells, given, checkpoint, files = transaction.rows("get_row_with_cold", (row,))[0]
            for stored in rows.readable([cells]):
                if _missed_its_start(stored.task, now):
                    dependencies.save(transaction, stored, lifecycle.miss_start(stored.task, now=now), now)
                    continue
                task = dependencies.save(transaction, stored, _claim(stored.task, worker, now), now)
                claimed.append(Claimed(task, given, checkpoint, rows.files(files)))
        seen.update(chosen)
    return claimed


def _choose(transaction: Transaction, wanted: Sequence[Wanted], limit: int, seen: Collection[int]) -> list[int]:
    """The rows of the queued tasks to take first, at most `limit` and as many of each type as may run at once.

    `seen` were chosen before; those of them that are still queued can't be read.
    """
    limit += len(seen)
    candidates: set[tuple[int, int]] = set()
    for want in wanted:
        room = limit
        if want.concurrency is not None:
            ((running,),) = transaction.rows("count_running", (want.type,))
            room = min(room, want.concurrency - running)
        if room > 0:
            candidates.update(transaction.rows("claimable", (want.type, room)))
    return [row for _, row in sorted(candidates)[:limit] if row not in seen]


def _missed_its_start(task: Task, now: int) -> bool:
    return task.start_by is not None and task.start_by <= now and task.started_at is None


def _claim(task: Task, worker: str, now: int) -> lifecycle.Step:
    if task.message == UNOFFERED:
        task = replace(task, message=None)
    return lifecycle.claim(task, now=now, worker=worker)
