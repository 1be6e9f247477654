"""What would it cost just to write the rows, by a loop that knows them beforehand?

    python benchmarks/bare_store.py starts STORE COUNT
    python benchmarks/bare_store.py cycles STORE

The first makes so many tasks, the second takes every queued task through claim and success. Both write what Milepost
writes of these, into its tables, through its connection, `BATCH` tasks a commit; neither decides anything, reads
anything back or tells anybody. The seconds that it took are printed.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import uuid_utils

from milepost.store.sqlite.connection import WriteAheadLog, connect
from milepost.store.sqlite.migrate import migrate, migrations
from milepost.store.sqlite.rows import values
from milepost.store.sqlite.statements import SQL
from milepost.task import State, Task

BATCH: Final = 100
BUSY_TIMEOUT: Final = 10_000
"""Milliseconds."""

_CLAIM: Final = """
UPDATE task SET state = 'running', attempt = 1, epoch = 1, worker = ?, started_at = ?, updated_at = ?, version = 2,
    log_seq = 2, log_bytes = log_bytes + ?
WHERE row = ? AND version = 1 AND epoch = 0
"""
_SETTLE: Final = """
UPDATE task SET state = 'succeeded', progress = 1.0, has_succeeded = 1, finished_at = ?, result_expires_at = ?,
    expires_at = ?, updated_at = ?, worker = NULL, result = ?, version = 3, log_seq = 4, log_bytes = log_bytes + ?
WHERE row = ? AND version = 2 AND epoch = 1
"""
_BEGUN: Final = '[{"time":1764000000000000,"kind":"state","attempt":0,"target":"queued"}]'
_CLAIMED: Final = '[{"time":1764000000000000,"kind":"state","attempt":1,"source":"queued","target":"running"}]'
_SETTLED: Final = (
    '[{"time":1764000000000000,"kind":"outcome","attempt":1,"message":"success","fields":{"done":0,"total":null,'
    '"failed":0,"skipped":0}},{"time":1764000000000000,"kind":"state","attempt":1,"source":"running",'
    '"target":"succeeded"}]'
)


def starts(connection: apsw.Connection, count: int) -> float:
    """Make so many tasks."""
    wal = WriteAheadLog(connection)
    now = time.time_ns() // 1000
    began = time.perf_counter()
    for batch in _batches(range(count)):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SQL["take_numbers"], ("default", len(batch))).fetchall()
        tasks = [
            Task(str(uuid_utils.uuid7()), "default", "local", "add_one", now, now, number, state=State.QUEUED)
            for number in batch
        ]
        ((last,),) = connection.execute(SQL["last_row"])
        connection.executemany(SQL["insert_task"], [(row, *values(task)) for row, task in enumerate(tasks, last + 1)])
        inputs = [(row, b'{"number":%d}' % task.number) for row, task in enumerate(tasks, last + 1)]
        connection.executemany(SQL["put_input"], inputs)
        connection.executemany(SQL["insert_log"], [(row, 1, 1, 1, _BEGUN, True) for row, _ in inputs])
        connection.execute("COMMIT")
        wal.shorten()
    return time.perf_counter() - began


def cycles(connection: apsw.Connection) -> float:
    """Take all tasks to their end: a commit for the claims of a batch, and one for its successes."""
    wal = WriteAheadLog(connection)
    queued = [row for (row,) in connection.execute("SELECT row FROM task WHERE state = 'queued' ORDER BY row")]
    now, week = time.time_ns() // 1000, 7 * 86_400 * 1_000_000
    worker = str(uuid_utils.uuid7())
    began = time.perf_counter()
    for batch in _batches(queued):
        connection.execute("BEGIN IMMEDIATE")
        for row in batch:
            connection.execute(_CLAIM, (worker, now, now, len(_CLAIMED), row))
            connection.execute(SQL["insert_log"], (row, 2, 2, 2, _CLAIMED, True))
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        for row in batch:
            result = '{"type":"json","size":4,"value":null}'
            connection.execute(_SETTLE, (now, now + week, now + 4 * week, now, result, len(_SETTLED), row))
            connection.execute(SQL["insert_log"], (row, 3, 4, 3, _SETTLED, True))
            connection.execute(SQL["put_result"], (row, b"1000"))
        connection.execute("COMMIT")
        wal.shorten()
    return time.perf_counter() - began


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def main() -> None:
    """Do what the arguments say."""
    what, path = sys.argv[1], Path(sys.argv[2])
    migrate(path, busy_timeout=BUSY_TIMEOUT, scripts=migrations())
    connection = connect(path, busy_timeout=BUSY_TIMEOUT)
    print(starts(connection, int(sys.argv[3])) if what == "starts" else cycles(connection))
    connection.close()


if __name__ == "__main__":
    main()
