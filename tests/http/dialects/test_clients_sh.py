"""Does scripts/clients.sh see to it that there are the clients that tests drive, or say what is missing?"""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "clients.sh"
DEBIAN = {"node": "nodejs", "curl": "curl", "jq": "jq", "go": "golang-go"}
"""Each command, and the package that brings it."""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with all the programs that there are, for the script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in DEBIAN:
        program(folder, name, "exit 1")
    return folder


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def sourced(programs: Path) -> "subprocess.CompletedProcess[str]":
    """What comes of the part that Debian brings."""
    beginning = SCRIPT.read_text().partition("debian go golang-go\n")
    return subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail; {beginning[0]}{beginning[1]}echo on"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_clients_that_are_there_are_taken(programs: Path) -> None:
    done = sourced(programs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")


@pytest.mark.parametrize("missing", DEBIAN)
def test_one_that_is_not_is_installed(programs: Path, tmp_path: Path, missing: str) -> None:
    (programs / missing).unlink()
    program(programs, "apt-get", f'echo "$@" >> {tmp_path}/asked; echo much')
    done = sourced(programs)
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith(f"--no-install-recommends {DEBIAN[missing]}")


def test_if_it_can_t_be_that_is_said_and_the_others_are_seen_to(programs: Path, tmp_path: Path) -> None:
    (programs / "curl").unlink()
    (programs / "go").unlink()
    program(programs, "apt-get", f'echo "$@" >> {tmp_path}/asked; echo "are you root?" >&2; exit 100')
    done = sourced(programs)
    assert (done.returncode, done.stdout) == (0, "on\n")
    for package in ("curl", "golang-go"):
        assert f"tests that need it are skipped: apt-get install {package}, as root" in done.stderr
    assert (tmp_path / "asked").read_text().count("update") == 2
