import contextlib
import sqlite3
from pathlib import Path

import pytest

from milepost.cli.exits import Exit
from milepost.store.sqlite.migrate import migrations
from tests.cli.conftest import Command

NEWEST = len(migrations())


def test_a_store_is_made_only_when_told_so(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = f"milepost: --store: there is no store at {tmp_path}/task.db. --create makes one.\n"
    assert command("migrate", "--store", "task.db") == (Exit.USAGE, "", refused)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_made_and_then_left_as_it_is(command: Command, tmp_path: Path) -> None:
    store = tmp_path / "tasks.db"
    assert command("migrate", "--store", store, "--create") == (0, f"{store}: schema 0 -> {NEWEST}\n", "")
    assert command("migrate", "--store", f"sqlite:///{store}") == (0, f"{store}: schema {NEWEST}, nothing to do\n", "")


def test_a_newer_store_is_left_alone(command: Command, tmp_path: Path) -> None:
    store = tmp_path / "tasks.db"
    command("migrate", "--store", store, "--create")
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("pragma user_version = 999")
    outcome = command("migrate", "--store", store)
    assert outcome.code == Exit.FAILED
    assert outcome.err.startswith(f"milepost: --store: {store} has version 999 of the schema")


def test_stores_that_are_none(command: Command, tmp_path: Path) -> None:
    assert command("migrate", "--store", "mysql://x").code == Exit.USAGE
    (tmp_path / "text.db").write_text("not a database" * 100)
    outcome = command("migrate", "--store", tmp_path / "text.db")
    assert outcome.code == Exit.FAILED
    assert "is not a SQLite database" in outcome.err
    assert command("migrate", "--store", tmp_path / "no" / "x.db", "--create").code == Exit.FAILED


def test_what_no_database_can_be_in_is_told_in_one_line(command: Command, tmp_path: Path) -> None:
    outcome = command("migrate", "--store", str(tmp_path))
    assert outcome.code == Exit.FAILED
    assert outcome.err == f"milepost: --store: {tmp_path} can't be opened (it is no file that a database can be in).\n"
