"""How is the SQLite file opened, and its write-ahead log kept short?"""

import logging
from pathlib import Path
from typing import Final

import apsw

_log = logging.getLogger(__name__)

OLDEST_LIBRARY: Final = (3, 51, 3)
"""Before this release two connections that write or checkpoint at the same time could corrupt a WAL file."""
DatabaseFailure = apsw.Error
"""What SQLite raises, and with it whoever opens a store, where a disk fails."""
CACHE: Final = 16_384
"""KiB of pages that a connection keeps which writes."""
READING_CACHE: Final = 2_048
"""The same of one that reads: it has to forget all of them whenever another process has committed, and the system has
them too."""
WAL_PAGES: Final = 1000
"""Above so many pages the write-ahead log is carried over into the database."""


def check_library(version: str = "") -> None:
    """Raise RuntimeError where the SQLite library that apsw brings is older than `OLDEST_LIBRARY`."""
    version = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < OLDEST_LIBRARY:
        oldest = ".".join(map(str, OLDEST_LIBRARY))
        raise RuntimeError(
            f"SQLite {version} can corrupt a database that several connections write to; Milepost needs {oldest} or "
            "newer. Install a newer apsw."
        )


def connect(path: Path, *, busy_timeout: int, cache: int = CACHE) -> apsw.Connection:
    """A connection whose commits survive power loss, and which never checkpoints by itself.

    `busy_timeout` is how many milliseconds a statement waits for a lock: only a backstop, as writers meet at the gate.
    `cache`: KiB of pages that it keeps at most.
    """
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(busy_timeout)
    connection.wal_autocheckpoint(0)
    # Else SQLite prepares some statements anew for each set of parameters, at 40 times the cost of running them.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    # Statement journals and sorts are small here; a temporary file would cost more than what it holds.
    for name, value in (("synchronous", "full"), ("temp_store", "memory"), ("cache_size", -cache)):
        connection.pragma(name, value)
    return connection


class WriteAheadLog:
    """Knows how long the log is after each commit of a connection, and shortens it. Use it under the gate."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._pages = 0
        connection.set_wal_hook(self._committed)

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def shorten(self) -> None:
        """Carry the log over once it has grown long. What was committed stays so, whatever comes of this."""
        if self._pages <= WAL_PAGES:
            return
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            _log.warning("The write-ahead log could not be carried over; it will be tried again", exc_info=True)

    def empty(self) -> None:
        """Carry all of it over and cut the file to nothing, unless somebody else reads from it just now."""
        self._connection.set_busy_timeout(0)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return
        except apsw.Error:
            _log.warning("The write-ahead log could not be carried over; it will be when next opened", exc_info=True)
