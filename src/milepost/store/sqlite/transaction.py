"""What does one write transaction know while its calls are carried out?"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import apsw

from milepost.store.sqlite.statements import SQL

Changed: TypeAlias = dict[str, int | None]
"""What a commit changed: the new version of each record by its id, None where it is gone."""

Item = TypeVar("Item")
Value = TypeVar("Value")
Refused = TypeVar("Refused", bound=Exception)


class Transaction:
    """Runs statements by name, and remembers which records they changed.

    `max_log_bytes` is the cap of a task's log.
    """

    def __init__(self, connection: apsw.Connection, *, max_log_bytes: int) -> None:
        self._execute = connection.execute
        self._row_count = connection.changes
        self.last_row = connection.last_insert_rowid
        self.changed: Changed = {}
        self.max_log_bytes = max_log_bytes

    def run(self, name: str, values: Any = None) -> apsw.Cursor:
        """Run the statement of that name; the cursor gives its rows."""
        return self._execute(SQL[name], values)

    def rows(self, name: str, values: Any = None) -> list[tuple[Any, ...]]:
        """All rows of the statement of that name. Read before anything is written that it could see."""
        return self._execute(SQL[name], values).fetchall()

    def row(self, name: str, values: Any = None) -> tuple[Any, ...] | None:
        """The only row of the statement of that name, if there is one."""
        rows = self._execute(SQL[name], values).fetchall()
        return rows[0] if rows else None

    def set(self, statement: str, values: Sequence[Any]) -> None:
        """Run an UPDATE that has to meet exactly one row."""
        self._execute(statement, values)
        if self._row_count() != 1:
            raise RuntimeError("A record changed while this transaction held the write lock.")

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
