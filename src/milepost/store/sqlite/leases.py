"""Who may run tasks, and which of them does?"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from milepost import lifecycle, notice
from milepost.store.refusals import LeaseLost
from milepost.store.sqlite import dependencies, rows
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.transaction import Damaged, Transaction
from milepost.store.workers import Claimed, Pulse, Unopened, Wanted, WorkerInfo
from milepost.task import Task
from milepost.turns import Line, Turns, Waiting, between_tenants

_FIRST_BUNCH: Final = 4
_LARGEST_BUNCH: Final = 64
"""So many tasks of one tenant are looked for at once."""
_MOST_UNOPENED: Final = 100_000
"""Tasks that a worker can't open, of which that is kept in mind."""


def enlist(transaction: Transaction, worker: WorkerInfo) -> None:
    """See TaskStore.enlist."""
    transaction.run("enlist", (worker.id, msgspec.json.encode(worker).decode()))


def dismiss(transaction: Transaction, worker: str, *, now: int) -> list[str]:
    """See TaskStore.dismiss."""
    transaction.run("end_lease", (now, worker))
    return _lose_all(transaction, transaction.rows("held_by", (worker,)), now)


def rescue(transaction: Transaction, silent: Iterable[Pulse], *, now: int) -> list[str]:
    """See TaskStore.rescue."""
    for pulse in silent:
        transaction.run("end_silent_lease", (now, pulse.worker.id, pulse.beats))
    found = transaction.rows("without_lease", {"now": now, "skipped": transaction.skipped.known})
    return _lose_all(transaction, found, now)


def _lose_all(transaction: Transaction, found: Iterable[Sequence[Any]], now: int) -> list[str]:
    found = list(found)
    together = Counter(map(rows.worker, found))

    def lose(stored: Stored) -> Task:
        in_company = together[stored.task.worker] > 1
        return dependencies.save(transaction, stored, lifecycle.lose(stored.task, now=now, in_company=in_company), now)

    return [stored.task.id for stored, _ in transaction.apart(found, lose)]


class Claimer(NamedTuple):
    """Who claims, when, and what it can't open."""

    worker: str
    now: int
    unopened: Unopened | None = None

    def leaves(self, task_id: str, sealed: bytes | None) -> bool:
        """Whether it has no key for a task's secrets."""
        return sealed is not None and self.unopened is not None and not self.unopened.opens(sealed, task_id)

    def knows(self, waiting: Waiting) -> bool:
        """Whether that was found of what waits here."""
        return self.unopened is not None and (waiting.row, waiting.due) in self.unopened.known

    def note(self, waiting: Waiting) -> None:
        """It need not be looked at again. A row may be another task's one day, which is due at another time."""
        if self.unopened is not None:
            if len(self.unopened.known) >= _MOST_UNOPENED:
                self.unopened.known.clear()
            self.unopened.known.add((waiting.row, waiting.due))


def claim(
    transaction: Transaction, claimer: Claimer, wanted: Sequence[Wanted], *, turns: Turns, limit: int
) -> list[Claimed] | LeaseLost:
    """See TaskStore.claim. To be all that a call does."""
    while True:
        try:
            return _claim(transaction, claimer, wanted, turns, limit)
        except Damaged:
            transaction.run("undo_call")  # and now without it: a savepoint for each task would cost a fifth of a claim


def _claim(
    transaction: Transaction, claimer: Claimer, wanted: Sequence[Wanted], turns: Turns, limit: int
) -> list[Claimed] | LeaseLost:
    if transaction.row("lease_holds", (claimer.worker,)) is None:
        return LeaseLost()
    if limit < 1:
        return []
    room = _room(transaction, wanted, limit)
    can_run_apart = {want.type: want.can_run_apart for want in wanted}
    claimed: list[Claimed] = []
    for name, waiting in turns.between_types(_lines(transaction, turns, room)):
        if claimer.knows(waiting):
            continue
        task = _take(transaction, waiting, claimer, can_run_apart=can_run_apart[name])
        if task is not None:
            claimed.append(task)
            room[name] -= 1
            if len(claimed) == limit:
                break
    return claimed


def _room(transaction: Transaction, wanted: Sequence[Wanted], limit: int) -> dict[str, int]:
    """How many tasks of each type may be taken; types of which none may be are not among them."""
    room: dict[str, int] = {}
    for want in wanted:
        room[want.type] = limit
        if want.concurrency is not None:
            ((running,),) = transaction.rows("count_running", (want.type,))
            room[want.type] = want.concurrency - running
    return {name: left for name, left in room.items() if left > 0}


def _lines(transaction: Transaction, turns: Turns, room: Mapping[str, int]) -> dict[str, Line]:
    """What waits of each type that is not paused."""
    names = msgspec.json.encode(list(room)).decode()
    firsts = {name: Waiting(*first) for name, *first in transaction.rows("first_of_types", (names,))}
    return {name: Line(first.priority, _line(transaction, name, first, turns, room)) for name, first in firsts.items()}


def _line(
    transaction: Transaction, name: str, first: Waiting, turns: Turns, room: Mapping[str, int]
) -> Iterator[Waiting]:
    """What waits of a type, in the order in which to take it, while there is room for more of it."""
    while True:
        tenants = _tenants(transaction, name, first, turns.last(name, first.priority))
        for waiting in between_tenants(_lane(transaction, name, ahead) for ahead in tenants):
            yield waiting
            if room[name] <= 0:
                return
        found = transaction.row("first_below", (name, first.priority))
        if found is None:
            return
        first = Waiting(*found)


def _tenants(transaction: Transaction, name: str, first: Waiting, last: str) -> Iterator[Waiting]:
    """The first of each tenant on the level of a type that begins with `first`, from the tenant behind `last` on."""
    if first.tenant > last:
        yield first
        yield from _following(transaction, name, first)
        return
    yield from _following(transaction, name, first._replace(tenant=last))
    yield first
    for ahead in _following(transaction, name, first):
        if ahead.tenant > last:
            return
        yield ahead


def _following(transaction: Transaction, name: str, before: Waiting) -> Iterator[Waiting]:
    """The first of each tenant that follows the one of `before` on its level."""
    priority, tenant = before.priority, before.tenant
    while (found := transaction.row("next_tenant", (name, priority, tenant))) is not None:
        tenant, row, due = found
        yield Waiting(priority, tenant, row, due)


def _lane(transaction: Transaction, name: str, first: Waiting) -> Iterator[Waiting]:
    """What waits of a tenant on a level of a type, by when it was due; looked for in growing bunches."""
    yield first
    last, bunch = first, _FIRST_BUNCH
    while found := transaction.rows("next_of_tenant", {"type": name, "limit": bunch, **last._asdict()}):
        for row, due in found:
            last = first._replace(row=row, due=due)
            yield last
        bunch = min(2 * bunch, _LARGEST_BUNCH)


def _take(transaction: Transaction, waiting: Waiting, claimer: Claimer, *, can_run_apart: bool) -> Claimed | None:
    """Put a queued task under the lease; None where it missed its start, or can't be read or opened. Raises Damaged."""
    *cells, given, checkpoint, files, sealed = transaction.rows("get_row_with_cold", (waiting.row,))[0]
    now = claimer.now
    for stored in transaction.readable([cells]):
        try:
            if lifecycle.missed_start(stored.task, now):
                dependencies.save(transaction, stored, lifecycle.miss_start(stored.task, now=now), now)
                return None
            if claimer.leaves(stored.task.id, sealed):
                _leave(transaction, stored, waiting, claimer)
                return None
            task = notice.taken_down(stored.task)
            step = lifecycle.claim(task, now=now, worker=claimer.worker, can_run_apart=can_run_apart)
            after = dependencies.save(transaction, stored, step, now)
            return Claimed(after, given, checkpoint, rows.files(files), sealed)
        except Exception as error:
            transaction.skip(stored, error)
            raise Damaged from error
    return None


def _leave(transaction: Transaction, stored: Stored, waiting: Waiting, claimer: Claimer) -> None:
    """Leave a task to others; if it has waited for them for a while, let it say so."""
    if claimer.now - waiting.due < notice.PATIENCE:
        return
    step = notice.note_unopened(stored.task, now=claimer.now)
    if step is not None:
        dependencies.save(transaction, stored, step, claimer.now)
    claimer.note(waiting)
