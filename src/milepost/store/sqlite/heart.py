"""How does a worker extend its lease from a thread of its own?"""

from pathlib import Path

import apsw

from milepost.store.refusals import StoreBusy
from milepost.store.sqlite.connection import WriteAheadLog, connect
from milepost.store.sqlite.gate import Gate
from milepost.store.sqlite.statements import SQL


class SqliteHeart:
    """See Heart. `busy_timeout` is in milliseconds."""

    def __init__(self, path: Path, *, busy_timeout: int) -> None:
        # In this order: a connection that can't be made leaves no open files behind.
        self._connection = connect(path, busy_timeout=busy_timeout)
        self._gate = Gate(path)
        self._wal = WriteAheadLog(self._connection)

    def beat(self, worker: str) -> bool:
        """See Heart. A beat that comes late, but before anybody has ended the lease, still counts."""
        try:
            with self._gate:
                self._connection.execute(SQL["beat"], (worker,))
                alive = self._connection.changes() == 1
                self._wal.shorten()
                return alive
        except apsw.BusyError as error:
            raise StoreBusy("Another process has held the store's write lock for too long.") from error

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
        self._gate.close()
