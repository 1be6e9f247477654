"""Which records can't be read or changed, and are left alone, so that they stop no other?

Whoever damaged one: what is done for many records at once goes on without it, and says so once, not in every round.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from milepost.store.sqlite import rows
from milepost.store.sqlite.rows import Stored

_log = logging.getLogger(__name__)

_ID: Final = 1 + rows.FIELDS.index("id")
_VERSION: Final = 1 + rows.FIELDS.index("version")


class Skipped:
    """What one process has met of them. Only the writer's thread adds to it; a record that was changed is met anew."""

    def __init__(self) -> None:
        self._versions: dict[int, int] = {}
        self.known = "[]"
        """The parameter of the statement part `fit`: rows with the versions that they were met in, as JSON."""

    def readable(self, found: Iterable[Sequence[Any]]) -> list[Stored]:
        """The records of rows, without those that can't be read or changed."""
        fit = found if not self._versions else [row for row in found if self._versions.get(row[0]) != row[_VERSION]]
        return rows.readable(fit, lambda row, error: self._add(row[0], row[_ID], row[_VERSION], "read", error))

    def add(self, stored: Stored, error: Exception) -> None:
        """A record can't be changed as it is to be."""
        self._add(stored.row, stored.task.id, stored.task.version, "changed", error)

    def _add(self, row: int, id: str, version: int, how: str, error: Exception) -> None:
        if self._versions.get(row) == version:
            return
        why = f"{type(error).__name__}: {error}"
        _log.error("The record of task %s can't be %s, it is left as it is: %s", id, how, why, exc_info=error)
        self._versions[row] = version
        self.known = msgspec.json.encode(list(self._versions.items())).decode()
