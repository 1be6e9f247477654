"""Does scripts/browser.sh see to it that there is a browser, or say what is missing?"""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "browser.sh"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with all the programs that there are, for the script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def sourced(programs: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail; . {SCRIPT}; echo on"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_browser_that_is_there_is_taken(programs: Path) -> None:
    program(programs, "chromium", "exit 1")
    done = sourced(programs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")


def test_one_that_is_not_is_installed(programs: Path, tmp_path: Path) -> None:
    program(programs, "apt-get", f'echo "$@" >> {tmp_path}/asked; echo much')
    done = sourced(programs)
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith("--no-install-recommends chromium")


def test_if_it_can_t_be_that_is_said(programs: Path) -> None:
    program(programs, "apt-get", "echo 'are you root?' >&2; exit 100")
    done = sourced(programs)
    assert (done.returncode, done.stdout) == (1, "")
    assert "tests/browser needs it: apt-get install chromium, as root" in done.stderr
