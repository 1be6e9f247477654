"""A real server for the tests of the command line, and commands run against it in this process."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
import structlog

from milepost.cli.main import run
from tests.cli.processes import Server, none_left


class Outcome(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Command(Protocol):
    """Runs a command in this process."""

    def __call__(self, *arguments: object) -> Outcome: ...


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of whoever runs the tests is heeded, and what a command sets up for its process is taken down."""
    for name in [name for name in os.environ if name.startswith("MILEPOST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with none_left():
        yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that leave it running."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    assert server.stop() == 0


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One that a test may do anything to."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder, "--grace", "5")
    yield server
    server.stop()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs commands that need no server, or say where it is."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture
def milepost(server: Server, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs commands against the common server."""
    monkeypatch.setenv("MILEPOST_URL", server.url)
    return command
