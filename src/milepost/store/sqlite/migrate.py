"""Which shape does the database have, and how does it get the one that this release needs?

`migrations/NNNN_*.sql` leads from version NNNN - 1 to NNNN; the version stands in SQLite's `user_version`, and its
`application_id` tells a store from other programs' databases.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import Final

import apsw

from milepost.store.refusals import SchemaTooNew, StoreBusy, StoreFull
from milepost.store.sqlite.connection import connect
from milepost.store.sqlite.gate import Gate
from milepost.store.sqlite.statements import SQL

APPLICATION_ID: Final = int.from_bytes(b"Mile")


class ForeignDatabase(Exception):
    """The file is not a store of Milepost, but something else's."""


def migrations() -> list[str]:
    """The scripts in order; the first leads from nothing to version 1."""
    folder = resources.files(__package__) / "migrations"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(folder / name).read_text("utf-8") for name in names]


def migrate(path: Path, *, busy_timeout: int, scripts: Sequence[str]) -> tuple[int, int]:
    """Make the store at `path`, or bring it up to date with `scripts`, while nobody else writes.

    Returns the versions before and after; 0 for a store that was not there.
    Raises SchemaTooNew, ForeignDatabase, StoreBusy, StoreFull, and OSError where there can be none: there is no folder
    for it, or something else than a file in its place.
    """
    if _is_there(path):
        # Most often there is nothing to do; and beside a file of somebody else's no lock files are made.
        with _connected(path, busy_timeout) as connection:
            if _version(connection, path, len(scripts)) == len(scripts):
                return len(scripts), len(scripts)
    else:
        _make(path)
    with closing(Gate(path)) as gate, gate, _connected(path, busy_timeout) as connection:
        version = _version(connection, path, len(scripts))
        connection.pragma("journal_mode", "wal")
        if version < len(scripts):
            _run(connection, scripts[version:], version=len(scripts))
    return version, len(scripts)


def _make(path: Path) -> None:
    """An empty file that nobody else on this machine may read: it has inputs, results and the store's secret.

    What SQLite keeps beside it is as open as it is. Who wants to share it makes the file first, or changes its mode.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR))


def _is_there(path: Path) -> bool:
    """Whether there is a file at `path`. Raises OSError where it is no file that a database can be in.

    Asked before SQLite opens it: that would wait at a pipe, and take a device for a disk that fails.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    for is_kind, kind in _NO_FILES:
        if is_kind(mode):
            raise OSError(errno.EINVAL, f"it is {kind}, and not a file that a database can be in")
    return True


_NO_FILES: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def _connected(path: Path, busy_timeout: int) -> Iterator[apsw.Connection]:
    try:
        with closing(connect(path, busy_timeout=busy_timeout)) as connection:
            yield connection
    except apsw.NotADBError as error:
        raise ForeignDatabase(f"{path} is not a SQLite database. Give the store another path.") from error
    except apsw.BusyError as error:
        raise StoreBusy(f"Another program has locked {path}.") from error
    except (apsw.FullError, apsw.IOError) as error:
        # Readers and writers share memory through a file, for which there may be no room either.
        if getattr(error, "extendedresult", 0) not in (apsw.SQLITE_FULL, apsw.SQLITE_IOERR_SHMSIZE):
            raise
        raise StoreFull(f"The disk of {path} is full.") from error


def _run(connection: apsw.Connection, scripts: Sequence[str], *, version: int) -> None:
    connection.execute(SQL["begin"])
    try:
        for script in scripts:
            connection.execute(script)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", version)
        connection.execute(SQL["commit"])
    except BaseException:
        if connection.in_transaction:
            connection.execute(SQL["rollback"])
        raise


def _version(connection: apsw.Connection, path: Path, newest: int) -> int:
    connection.execute(SQL["begin_reading"])  # of one moment: somebody else may be making the store just now
    try:
        application = connection.pragma("application_id")
        version = int(connection.pragma("user_version"))
        tables = connection.execute(SQL["count_tables"]).get
    finally:
        if connection.in_transaction:
            connection.execute(SQL["rollback"])
    if application != APPLICATION_ID and (application or version or tables):
        raise ForeignDatabase(f"{path} is another program's database. Give the store another path.")
    if version > newest:
        raise SchemaTooNew(
            f"{path} has version {version} of the schema, this Milepost knows {newest}: a newer release wrote it. "
            "Upgrade Milepost, or open another store."
        )
    return version
