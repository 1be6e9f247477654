"""Is the ledger the same for everybody, and never seen half made?"""

import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.examples.running import EXAMPLES, example

ledger = example("ledger")


def content(path: Path) -> str:
    """A hash of every row of every table."""
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_schema order by name")]
        rows = {table: database.execute(f"select * from {table} order by id").fetchall() for table in tables}
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_is_the_same_everywhere(tmp_path: Path) -> None:
    ledger.ensure_ledger(tmp_path / "one.db", rows=3_000)
    assert content(tmp_path / "one.db") == "08b7e3dde15cd125d028ceb5938295cfe365c0c0a729dcb8f4b7e44459f6dbda"


def test_has_rows_that_an_export_must_cope_with(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger.ensure_ledger(path, rows=3_000)
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("select status, amount, note from wallet_ledger").fetchall()
    assert len(rows) == 3_000
    assert sum(status == "voided" for status, _, _ in rows) == 11
    assert sum(amount.endswith("O") for _, amount, _ in rows) == 3
    notes = {note for _, _, note in rows}
    assert any("," in note for note in notes)
    assert any('"' in note for note in notes)
    assert any("\n" in note for note in notes)
    assert any(not note.isascii() for note in notes)


def test_is_made_from_the_command_line_and_then_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.db"
    command = [sys.executable, str(EXAMPLES / "ledger.py"), str(path), "--rows", "100"]
    subprocess.run(command, check=True)
    made = path.stat()
    subprocess.run([*command[:-1], "200"], check=True)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_made_by_two_processes_at_once_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    command = [sys.executable, str(EXAMPLES / "ledger.py"), str(path), "--rows", "20000"]
    makers = [subprocess.Popen(command) for _ in range(2)]
    while any(maker.poll() is None for maker in makers):
        if path.exists():
            with closing(sqlite3.connect(path)) as database:
                assert database.execute("select count(*) from wallet_ledger").fetchone() == (20_000,)
                assert database.execute("select count(*) from product_variants").fetchone() == (2_000,)
    assert [maker.wait() for maker in makers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]
