"""What does one write transaction know while its calls are carried out?"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import apsw

from milepost.store.sqlite import rows
from milepost.store.sqlite.log import LogCap
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.skipped import Skipped
from milepost.store.sqlite.statements import SQL

Changed: TypeAlias = dict[str, int | None]
"""What a commit changed: the new version of each record by its id, None where it is gone."""

Item = TypeVar("Item")
Value = TypeVar("Value")
Refused = TypeVar("Refused", bound=Exception)

OF_A_RECORD: Final = (apsw.ConstraintError, apsw.TooBigError)
"""SQLite's errors that come of what is written; its others concern everybody, as a full disk does."""


class Damaged(Exception):
    """A record can't be changed; that was logged, and it is skipped from now on."""


class Transaction:
    """Runs statements by name, and remembers which records they changed.

    `log_cap` is the cap of a task's log.
    """

    def __init__(self, connection: apsw.Connection, *, log_cap: LogCap, skipped: Skipped) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._row_count = connection.changes
        self._execute_all = connection.executemany
        self.changed: Changed = {}
        self.log_cap = log_cap
        self.skipped = skipped
        self.readable = skipped.readable

    def run(self, name: str, values: Any = None) -> apsw.Cursor:
        """Run the statement of that name; the cursor gives its rows."""
        return self._execute(SQL[name], values)

    def run_all(self, name: str, many: Iterable[Sequence[Any]]) -> None:
        """Run the statement of that name, which gives no rows, with each of these values."""
        self._execute_all(SQL[name], many)

    def rows(self, name: str, values: Any = None) -> list[tuple[Any, ...]]:
        """All rows of the statement of that name. Read before anything is written that it could see."""
        return self._execute(SQL[name], values).fetchall()

    def row(self, name: str, values: Any = None) -> tuple[Any, ...] | None:
        """The only row of the statement of that name, if there is one."""
        found = self._execute(SQL[name], values).fetchall()
        return found[0] if found else None

    def set(self, statement: str, values: Sequence[Any]) -> None:
        """Run an UPDATE that has to meet exactly one row."""
        self._execute(statement, values)
        if self._row_count() != 1:
            raise RuntimeError("A record changed while this transaction held the write lock.")

    def current(self, stored: Stored) -> Stored:
        """The record as it stands, should this transaction have changed it since it was read."""
        if self.changed.get(stored.task.id, stored.task.version) == stored.task.version:
            return stored
        return rows.record(self.rows("get_row", (stored.row,))[0])

    def each(
        self, items: Sequence[Item], carry_out: Callable[[Item], Value], *refusals: type[Refused]
    ) -> list[Value | Refused]:
        """The outcome of each item; one that is refused has changed nothing. To be all that a call does."""
        outcomes: list[Value | Refused] = []
        # The only item of a call is undone by the call's own savepoint: another one costs a tenth of a small change.
        alone = len(items) == 1
        for item in items:
            if not alone:
                self.run("savepoint_item")
            try:
                outcomes.append(carry_out(item))
            except refusals as refusal:
                self.run("undo_call" if alone else "undo_item")
                # Without the traceback, which would keep everything alive that its frames know.
                outcomes.append(refusal.with_traceback(None))
            if not alone:
                self.run("release_item")
        return outcomes

    def apart(self, found: Iterable[Sequence[Any]], change: Callable[[Stored], Value]) -> list[tuple[Stored, Value]]:
        """Change the records of rows, each by itself: each as it was at its turn, with what its change gave.

        Those before it may have changed it. One that can't be read or changed is logged and left as it is: it must not
        stop all others.
        """
        records = self.readable(found)
        try:
            return self._change(records, change)  # a savepoint each would cost several times what most changes do
        except Damaged:
            # All the others are to be changed all the same, and those that are damaged are few.
            return [changed for stored in records for changed in self._change_alone(stored, change)]

    def skip(self, stored: Stored, error: Exception) -> None:
        """Leave a record alone from now on, as its change raised this; raises it where that was no fault of its own.

        Whatever the change has done is still to be undone.
        """
        if self.concerns_all(error):
            raise error
        self.skipped.add(stored, error)

    def concerns_all(self, error: Exception) -> bool:
        """Whether an error is the store's, and none that comes of what is written."""
        is_of_the_store = isinstance(error, apsw.Error) and not isinstance(error, OF_A_RECORD)
        return is_of_the_store or not self._connection.in_transaction

    def _change_alone(self, stored: Stored, change: Callable[[Stored], Value]) -> list[tuple[Stored, Value]]:
        try:
            return self._change([stored], change)
        except Damaged:
            return []

    def _change(self, records: Iterable[Stored], change: Callable[[Stored], Value]) -> list[tuple[Stored, Value]]:
        """Change all of these records, or none. Raises Damaged."""
        changed: list[tuple[Stored, Value]] = []
        self.run("savepoint_item")
        for stored in records:
            try:
                current = self.current(stored)
                changed.append((current, change(current)))
            except Exception as error:
                self.skip(stored, error)
                self.run("undo_item")
                self.run("release_item")
                raise Damaged from error
        self.run("release_item")
        return changed
