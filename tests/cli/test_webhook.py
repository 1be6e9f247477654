import base64
import re
from pathlib import Path

import pytest

from milepost.cli.exits import Exit
from milepost.store.refusals import StoreBusy
from milepost.store.sqlite.callback_store import SqliteCallbacks
from tests.cli.conftest import Command

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=\n")
PLAIN = "It lies in the store as it is, for whoever can read that: with MILEPOST_SECRET_KEY it would be sealed.\n"
ONE, TWO = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.fixture
def store(command: Command, tmp_path: Path) -> Path:
    """A store without anything in it."""
    path = tmp_path / "tasks.db"
    assert command("migrate", "--store", path, "--create").code == 0
    return path


def test_a_secret_is_printed_alone_and_the_same_again(command: Command, store: Path) -> None:
    first = command("webhook", "secret", "acme", "--store", store)
    assert (first.code, first.err) == (0, PLAIN)
    assert SECRET.fullmatch(first.out)
    assert command("webhook", "secret", "acme", "--store", store) == first
    assert command("webhook", "secret", "beta", "--store", store).out != first.out


def test_another_one_takes_its_place(command: Command, store: Path) -> None:
    first = command("webhook", "secret", "acme", "--store", store)
    second = command("webhook", "secret", "acme", "--rotate", "--store", store)
    assert (second.code, second.err) == (
        0,
        "For a day calls are signed with this secret and with the one before it.\n" + PLAIN,
    )
    assert SECRET.fullmatch(second.out)
    assert command("webhook", "secret", "acme", "--store", store).out == second.out != first.out


def test_with_a_key_it_is_sealed_and_without_that_key_not_shown(
    command: Command, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = command("webhook", "secret", "acme", "--store", store)
    monkeypatch.setenv("MILEPOST_SECRET_KEY", ONE)
    assert command("webhook", "secret", "acme", "--store", store) == (0, plain.out, "")
    monkeypatch.setenv("MILEPOST_SECRET_KEY", TWO)
    refused = command("webhook", "secret", "acme", "--store", store)
    assert (refused.code, refused.out) == (Exit.FAILED, "")
    assert refused.err.startswith("milepost: acme: its secret can't be opened (another key). Set MILEPOST_SECRET_KEY")
    another = command("webhook", "secret", "acme", "--rotate", "--store", store)
    assert command("webhook", "secret", "acme", "--store", store).out == another.out != plain.out


def test_what_names_no_tenant_is_refused(command: Command, store: Path) -> None:
    outcome = command("webhook", "secret", "", "--store", store)
    assert outcome == (Exit.USAGE, "", "milepost: TENANT: From 1 to 200 characters.\n")


def test_a_store_that_is_not_there_is_not_made(command: Command, tmp_path: Path) -> None:
    outcome = command("webhook", "secret", "acme", "--store", tmp_path / "no.db")
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert "`milepost migrate --create` makes one." in outcome.err
    assert not (tmp_path / "no.db").exists()


def test_a_store_that_can_not_be_written_is_told(
    command: Command, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise StoreBusy("Another process writes.")

    monkeypatch.setattr(SqliteCallbacks, "add_secrets", busy)
    outcome = command("webhook", "secret", "acme", "--store", store)
    assert outcome == (Exit.FAILED, "", "milepost: --store: Another process writes.\n")
