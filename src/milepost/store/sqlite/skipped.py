"""Which records can't be read or changed, and are left alone, so that they stop no other?

Whoever damaged one: what is done for many records at once goes on without it, and says so once, not in every round.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from milepost.store.sqlite import rows
from milepost.store.sqlite.rows import Stored
from milepost.times import MINUTE, Clock, elapsed

_log = logging.getLogger(__name__)

RECALL: Final = MINUTE
"""After so many µs all that was met is tried again."""

_ID: Final = 1 + rows.FIELDS.index("id")
_VERSION: Final = 1 + rows.FIELDS.index("version")


class Skipped:
    """What one process has met of them. Only the writer's thread adds to it.

    A record that was changed is met anew, and so is every one after `RECALL`: somebody may have mended it. `timer` is a
    clock for durations, in µs.
    """

    def __init__(self, timer: Clock = elapsed) -> None:
        self._timer = timer
        self._told: set[tuple[str, int]] = set()
        self._met: _Met = _Met({}, "[]", timer())

    @property
    def known(self) -> str:
        """The parameter of the statement part `fit`: ids with the versions that they were met in, as JSON."""
        return self._recent().parameter

    def readable(self, found: Iterable[Sequence[Any]]) -> list[Stored]:
        """The records of rows, without those that can't be read or changed."""
        versions = self._recent().versions
        fit = found if not versions else [row for row in found if versions.get(row[_ID]) != row[_VERSION]]
        return rows.readable(fit, lambda row, error: self._add(row[_ID], row[_VERSION], "read", error))

    def add(self, stored: Stored, error: Exception) -> None:
        """A record can't be changed as it is to be."""
        self._add(stored.task.id, stored.task.version, "changed", error)

    def _add(self, id: str, version: int, how: str, error: Exception) -> None:
        met = self._recent()
        if met.versions.get(id) == version:
            return
        if (id, version) not in self._told:
            self._told.add((id, version))
            why = f"{type(error).__name__}: {error}"
            _log.error("The record of task %s can't be %s, it is left as it is: %s", id, how, why, exc_info=error)
        versions = met.versions | {id: version}
        self._met = _Met(versions, msgspec.json.encode(list(versions.items())).decode(), met.since)

    def _recent(self) -> "_Met":
        """What was met of late. Whole and never changed, as the event loop asks for it too."""
        if self._timer() - self._met.since >= RECALL:
            self._met = _Met({}, "[]", self._timer())
        return self._met


class _Met(NamedTuple):
    versions: dict[str, int]
    parameter: str
    since: int
