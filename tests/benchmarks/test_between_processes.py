"""The benchmark of gate and doorbell runs, and says what it is to say. How fast anything is, no test can tell."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "between_processes.py"
PATIENCE = 100.0
"""Seconds."""


def between_processes(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "1", "--scale", "0.02", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("measure", "judged", "beside"),
    [
        ("gate", ["start"], ["start", "longest", "ran"]),
        ("doorbell", ["wake"], ["wake", "waiting"]),
        ("idle", ["idle"], []),
    ],
)
def test_what_is_done_stands_beside_another_way_to_do_it(
    tmp_path: Path, measure: str, judged: list[str], beside: list[str]
) -> None:
    done = between_processes("--only", measure, "--json", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in msgspec.json.decode(done.stdout)["figures"]}
    assert [name for name, figure in figures.items() if figure.get("at_most")] == judged
    assert [name for name, figure in figures.items() if figure.get("bare")] == beside
    assert all(len(figure["ours"]) == 1 for figure in figures.values())
    assert list(tmp_path.iterdir()) == []


def test_check_tells_by_the_exit_code_what_the_table_says(tmp_path: Path) -> None:
    done = between_processes("--only", "doorbell", "--check", "--folder", tmp_path)
    assert "otherwise" in done.stdout
    assert done.returncode == ("MISSED" in done.stdout), done.stderr
