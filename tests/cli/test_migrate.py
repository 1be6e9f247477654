import contextlib
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from milepost.cli.exits import CommandError, Exit
from milepost.cli.storing import _explained
from milepost.store.sqlite.migrate import migrations
from tests.cli.conftest import Command
from tests.cli.processes import JOBS

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


def no_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """What is there, but no file, and what it is."""
    yield Path("/dev/null"), "a device"
    yield folder, "a folder"
    os.mkfifo(folder / "pipe")
    yield folder / "pipe", "a pipe"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket"))
        yield folder / "socket", "a socket"


def test_what_no_database_can_be_in_is_told_in_one_line(command: Command, tmp_path: Path) -> None:
    for path, kind in no_files(tmp_path):
        why = f"it is {kind}, and not a file that a database can be in"
        told = f"milepost: --store: {path} can't be opened ({why}).\n"
        for words in (["migrate"], ["worker", JOBS], ["serve", JOBS, "--port", "0"]):
            assert command(*words, "--store", path) == (Exit.FAILED, "", told)
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "socket"}


def test_a_name_that_no_file_can_have(command: Command, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    told = f"milepost: --store: {path} can't be opened (File name too long).\n"
    assert command("worker", JOBS, "--store", path) == command("migrate", "--store", path) == (Exit.FAILED, "", told)


def test_an_empty_name_is_not_the_default_one(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = "milepost: --store: '' names no store: write a path, or sqlite:///path.\n"
    for words in (["migrate", "--create"], ["worker", JOBS], ["serve", JOBS, "--port", "0"]):
        assert command(*words, "--store", "") == (Exit.USAGE, "", told)
    monkeypatch.setenv("MILEPOST_STORE", "")
    outcome = command("migrate", "--create")
    assert (outcome.code, outcome.err.startswith("milepost: --store: MILEPOST_STORE is empty")) == (Exit.USAGE, True)
    monkeypatch.setenv("MILEPOST_STORE", "/dev/null")
    assert command("migrate").err.startswith("milepost: --store: /dev/null can't be opened (it is a device")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught, _explained(tmp_path / "x.db"):
        raise apsw.IOError("disk I/O error")
    assert (caught.value.code, str(caught.value)) == (
        Exit.FAILED,
        f"--store: {tmp_path}/x.db can't be opened (disk I/O error).",
    )
