"""The benchmark runs, and says what it is to say. How fast anything is, no test can tell."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

BASICS = Path(__file__).parents[2] / "benchmarks" / "basics.py"
PATIENCE = 100.0
"""Seconds."""


def basics(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, BASICS, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize(
    ("name", "unit", "has_bare"),
    [
        ("start", "/s", True),
        ("start-in-process", "/s", True),
        ("batch", "/s", True),
        ("drain", "/s", True),
        ("both", "/s", True),
        ("status", "/s", True),
        ("latency", "ms", True),
        ("memory", "MB", False),
        ("processor", "% of a core", False),
    ],
)
def test_a_measure_is_taken_beside_its_bare_limit(tmp_path: Path, name: str, unit: str, has_bare: bool) -> None:
    done = basics("--only", name, "--rounds", 1, "--scale", 0.01, "--json", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout)
    (figure,) = report["figures"]
    assert report["rounds"] == 1
    assert (figure["name"], figure["unit"]) == (name, unit)
    assert len(figure["ours"]) == 1
    assert figure["value"] == figure["ours"][0] >= 0
    assert len(figure.get("bare", [])) == has_bare
    assert (figure["ratio"] is not None) == (has_bare and unit == "/s")
    assert list(tmp_path.iterdir()) == []


def test_check_tells_by_the_exit_code_what_the_table_says(tmp_path: Path) -> None:
    done = basics("--only", "memory", "--rounds", 1, "--scale", 0.01, "--check", "--folder", tmp_path)
    assert "memory" in done.stdout
    assert done.returncode == ("MISSED" in done.stdout), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_ends_it_ends_the_processes_that_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(BASICS), "--only", "start", "--rounds", "1000", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stderr is not None
        assert benchmark.stderr.read(len("start: ")) == "start: "
        while benchmark.stderr.read(1) not in (".", ""):
            pass
        started = psutil.Process(benchmark.pid).children(recursive=True)
        assert started
        benchmark.send_signal(number)
        assert benchmark.wait(PATIENCE) == 128 + signal.SIGINT
        assert "Traceback" not in benchmark.stderr.read()
    assert psutil.wait_procs(started, PATIENCE)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_the_help_has_examples() -> None:
    done = basics("--help")
    assert done.returncode == 0
    assert "python benchmarks/basics.py --only drain" in done.stdout


def test_there_is_no_measure_of_an_unknown_name() -> None:
    done = basics("--only", "horsepower")
    assert done.returncode == 2
    assert "horsepower" in done.stderr
