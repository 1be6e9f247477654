"""The benchmark of many waits runs, and says what it is to say. How soon anybody is told, no test can tell."""

import subprocess
import sys
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "waits.py"
PATIENCE = 100.0
"""Seconds."""


def test_all_that_wait_are_told_by_whichever_process_changes_their_tasks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "1", "--scale", "0.005", "--json", "--folder", tmp_path],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in msgspec.json.decode(done.stdout)["figures"]}
    assert list(figures) == ["patch", "patch-after", "process", "process-after", "memory", "times"]
    assert [name for name, figure in figures.items() if figure.get("at_most")] == ["patch", "process", "times"]
    assert figures["memory"]["bare"][0] < figures["memory"]["ours"][0]
    assert list(tmp_path.iterdir()) == []
