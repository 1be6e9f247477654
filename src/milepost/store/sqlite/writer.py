"""How do concurrent writes share a commit?

One thread writes. It takes whatever calls have arrived, carries them out in one transaction, each in a savepoint of
its own so that one that fails fails alone, commits once, and then answers them all with one wake-up of the event loop.
Calls that are alike share a savepoint and their statements, and are carried out one by one only where that fails.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import apsw

from milepost.store.refusals import StoreBusy, StoreFull
from milepost.store.sqlite.connection import WriteAheadLog, connect
from milepost.store.sqlite.gate import Gate
from milepost.store.sqlite.log import LogCap
from milepost.store.sqlite.skipped import Skipped
from milepost.store.sqlite.statements import SQL
from milepost.store.sqlite.transaction import Changed, Transaction

_log = logging.getLogger(__name__)

MAX_CALLS: Final = 1000
"""Calls that share a commit at most, so that the first of them need not wait too long for the last."""

Item = TypeVar("Item")
T = TypeVar("T")


class Call(NamedTuple):
    """What a caller asked for, and where its outcome goes."""

    run: Callable[..., Any]
    future: asyncio.Future[Any]
    items: Sequence[Any] | None = None
    """What `run` is carried out for, besides the transaction: calls in a row of the same `run` become one."""


class Outcome(NamedTuple):
    """What became of a call: a value, or an error to raise."""

    value: Any
    error: BaseException | None = None


class Writer:
    """Writes for one event loop, the one that it is made in.

    `on_commit` is called in that loop with what changed, before the callers hear of their outcomes; `ring` in the
    writer's own thread with the same, after a commit that wrote anything. `busy_timeout` is in milliseconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout: int,
        log_cap: LogCap,
        skipped: Skipped,
        on_commit: Callable[[Changed], None],
        ring: Callable[[Changed], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # In this order: a connection that can't be made leaves no open files behind.
        self._connection = connect(path, busy_timeout=busy_timeout)
        self._gate = Gate(path)
        self._wal = WriteAheadLog(self._connection)
        self._patience = busy_timeout / 1000
        self._log_cap = log_cap
        self._skipped = skipped
        self._on_commit = on_commit
        self._ring = ring
        self._arrival = threading.Condition()
        # All guarded by `_arrival`: what has arrived, what waits for the lock, since when, and whether this is the end.
        self._arrived: list[Call] = []
        self._waiting: list[Call] = []
        self._waiting_since = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="milepost-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Have `run` carried out in a transaction; the future is done once that is committed."""
        return self._submitted(run, None)

    def submit_items(
        self, run: Callable[[Transaction, Sequence[Item]], list[T]], items: Sequence[Item]
    ) -> "asyncio.Future[list[T]]":
        """As `submit`, for items that are all alike and need not be told apart from those of other calls.

        What arrives together is carried out as one call: `run` gets the items of all of them, and gives one outcome an
        item. Should that fail, each call is carried out by itself.
        """
        return self._submitted(run, items)

    def _submitted(self, run: Callable[..., Any], items: Sequence[Any] | None) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._arrival:
            self._arrived.append(Call(run, future, items))
            self._arrival.notify()
        return future

    async def close(self) -> None:
        """Carry out what was submitted, then end the thread. Whoever still can't have the lock gets StoreBusy."""
        with self._arrival:
            self._closing = True
            self._arrival.notify()
        await asyncio.to_thread(self._thread.join, 2 * self._patience)
        self.give_up()

    def give_up(self) -> None:
        """Answer with StoreBusy whoever waits while another process holds the lock for too long. Nothing was changed.

        To be called now and then: the writer itself can't, as it waits in the kernel.
        """
        with self._arrival:
            if not self._waiting_since or time.monotonic() - self._waiting_since < self._patience:
                return
            calls = self._waiting + self._arrived
            self._waiting, self._arrived = [], []
        self._answer(calls, [Outcome(None, _busy()) for _ in calls])

    def _run(self) -> None:
        while self._take():
            changed = self._write()
            if changed is not None:
                self._ring(changed)
        with self._gate:
            self._wal.empty()
            self._connection.close()
        self._gate.close()

    def _take(self) -> bool:
        """Wait for calls; False when there will be none any more."""
        with self._arrival:
            while not (self._arrived or self._closing):
                self._arrival.wait()
            self._waiting, self._arrived = self._arrived[:MAX_CALLS], self._arrived[MAX_CALLS:]
            self._waiting_since = time.monotonic()
            return bool(self._waiting)

    def _begun(self) -> list[Call]:
        """The calls that nobody gave up on; from now on nobody can."""
        with self._arrival:
            calls, self._waiting, self._waiting_since = self._waiting, [], 0.0
            return calls

    def _write(self) -> Changed | None:
        """Carry out the calls that wait, and answer them; what that changed, None where it wrote nothing."""
        try:
            with self._gate:
                self._connection.execute(SQL["begin"])
                return self._commit(self._begun())
        except (apsw.Error, OSError) as error:
            calls = self._begun()
            refusal = _busy() if isinstance(error, apsw.BusyError) else error
            self._answer_later(calls, [Outcome(None, refusal) for _ in calls])
            return None

    def _commit(self, calls: list[Call]) -> Changed | None:
        before = self._connection.total_changes()
        transaction = Transaction(self._connection, log_cap=self._log_cap, skipped=self._skipped)
        outcomes, committed = self._carry_out(transaction, calls)
        wrote = committed and self._connection.total_changes() != before
        changed = transaction.changed if wrote else None
        self._answer_later(calls, outcomes, changed)
        if wrote:
            self._wal.shorten()
        return changed

    def _carry_out(self, transaction: Transaction, calls: list[Call]) -> tuple[list[Outcome], bool]:
        try:
            outcomes = [
                outcome
                for _, alike in groupby(calls, _in_common)
                for outcome in self._attempt_alike(transaction, list(alike))
            ]
            transaction.run("commit")
        except BaseException as error:
            # The disk is full, or worse. Whatever these calls asked for has not happened. Only if all processes die
            # before the next commit, whoever opens the store then may find it: the disk took it, and failed to say so.
            if self._connection.in_transaction:
                with suppress(apsw.Error):
                    transaction.run("rollback")
            return [Outcome(None, error) for _ in calls], False
        return outcomes, True

    def _attempt_alike(self, transaction: Transaction, calls: list[Call]) -> list[Outcome]:
        """The outcomes of calls that have all in common but their items, or else nothing."""
        if len(calls) > 1 and calls[0].items is not None:
            items = [item for call in calls for item in call.items or ()]
            outcome = self._attempt(transaction, calls[0].run, items)
            if outcome.error is None:
                values = iter(outcome.value)
                return [Outcome(list(islice(values, len(call.items or ())))) for call in calls]
        return [self._attempt(transaction, call.run, call.items) for call in calls]

    def _attempt(self, transaction: Transaction, run: Callable[..., Any], items: Sequence[Any] | None) -> Outcome:
        transaction.run("savepoint_call")
        try:
            outcome = Outcome(run(transaction) if items is None else run(transaction, items))
        except BaseException as error:
            if not self._connection.in_transaction:
                raise  # SQLite undid all of the transaction, not only this call.
            transaction.run("undo_call")
            outcome = Outcome(None, error)
        transaction.run("release_call")
        return outcome

    def _answer_later(self, calls: list[Call], outcomes: list[Outcome], changed: Changed | None = None) -> None:
        # An event loop that ended without closing its store has nobody left to answer.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answer, calls, outcomes, changed)

    def _answer(self, calls: list[Call], outcomes: list[Outcome], changed: Changed | None = None) -> None:
        if changed is not None:
            self._on_commit(changed)
        for call, (value, error) in zip(calls, outcomes, strict=True):
            future = call.future
            if future.done():
                continue  # Its caller was cancelled meanwhile.
            if error is None:
                future.set_result(value)
            elif isinstance(error, apsw.FullError):
                future.set_exception(StoreFull("The disk of the store is full; nothing was changed."))
            else:
                future.set_exception(error)


def _in_common(call: Call) -> Callable[..., Any] | None:
    """What a call may share with those beside it, if anything."""
    return None if call.items is None else call.run


def _busy() -> StoreBusy:
    return StoreBusy("Another process has held the store's write lock for too long; nothing was changed.")
