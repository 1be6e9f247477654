import logging
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from milepost.store.sqlite.connection import WAL_PAGES, WriteAheadLog, check_library, connect


@pytest.mark.parametrize("version", ["3.51.2", "3.40.1", "2.99.99"])
def test_an_old_library_is_refused(version: str) -> None:
    with pytest.raises(RuntimeError, match=rf"{version}.*3\.51\.3"):
        check_library(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "3.100.0", ""])
def test_a_recent_library_is_taken(version: str) -> None:
    check_library(version)


@pytest.fixture
def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def grow(connection: apsw.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (randomblob(?))", (4096 * WAL_PAGES,))


def test_the_log_is_shortened_once_it_is_long(path: Path, wal_of: Path) -> None:
    with closing(connect(path, busy_timeout=100)) as connection:
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE t (x)")
        wal = WriteAheadLog(connection)
        wal.shorten()
        grow(connection)
        length = wal_of.stat().st_size
        wal.shorten()
        # It is written from its beginning again.
        for _ in range(5):
            grow(connection)
            wal.shorten()
        assert wal_of.stat().st_size < 2 * length


def test_a_log_that_can_not_be_shortened_is_kept(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    connection = connect(path, busy_timeout=100)
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE t (x)")
    wal = WriteAheadLog(connection)
    grow(connection)
    # A checkpoint can't happen inside a transaction.
    connection.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
    with caplog.at_level(logging.WARNING):
        wal.shorten()
        wal.empty()
    assert len(caplog.records) == 2
    connection.execute("COMMIT")
    connection.close()


def test_emptying_cuts_the_log_to_nothing(path: Path, wal_of: Path) -> None:
    with closing(connect(path, busy_timeout=100)) as connection, closing(connect(path, busy_timeout=100)) as reader:
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE t (x)")
        wal = WriteAheadLog(connection)
        grow(connection)
        reader.execute("BEGIN; SELECT count(*) FROM t")
        grow(connection)
        wal.empty()  # In vain, and without waiting: somebody reads what was before.
        assert wal_of.stat().st_size > 0
        reader.execute("COMMIT")
        wal.empty()
        assert wal_of.stat().st_size == 0
