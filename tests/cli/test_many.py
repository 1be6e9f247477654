import json
import sys
from pathlib import Path
from typing import Any

import pytest

from milepost.cli.exits import Exit
from milepost.cli.many import AT_ONCE
from tests.cli.conftest import Command
from tests.cli.foreign import Canned, serving
from tests.cli.processes import Server, Terminal
from tests.cli.proxy import Proxy

LATER = ("--run-at", "2999-01-01T12:00:00+00:00")


def file(folder: Path, *lines: object) -> str:
    path = folder / "lines.ndjson"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return f"@{path}"


def test_each_line_is_a_task(milepost: Command, server: Server, tmp_path: Path) -> None:
    lines = file(tmp_path, {"text": "one"}, "", {"text": "two", "number": 2})
    outcome = milepost("start", "echo", "--input-lines", lines, "size=7", "--title", "Many", *LATER)
    assert (outcome.code, outcome.err) == (0, "2 tasks started.\n")
    first, second = (
        server.remote.get(f"/v1/tasks/{task_id}", dict[str, Any], include="input") for task_id in outcome.out.split()
    )
    assert (first["input"], second["input"]) == (
        {"text": "one", "size": 7},
        {"text": "two", "number": 2, "size": 7},
    )
    assert (first["title"], first["state"], second["title"]) == ("Many", "scheduled", "Many")


def test_refused_lines_are_named_and_fail_alone(milepost: Command, tmp_path: Path) -> None:
    lines = file(tmp_path, {"text": "one"}, {"number": "x"}, "", "[1]", "nonsense", {"text": "two"})
    outcome = milepost("start", "echo", "--input-lines", lines, *LATER)
    assert outcome.code == Exit.FAILED
    assert len(outcome.out.split()) == 2
    *named, last = outcome.err.splitlines()
    assert [line.split(": ")[1] for line in named] == ["line 4", "line 5", "line 2"]
    assert "line 2: number: " in named[2]
    assert last == "milepost: Not all lines: 2 tasks started, 3 refused."


def test_json_is_what_the_server_says_of_each(milepost: Command, tmp_path: Path) -> None:
    lines = file(tmp_path, {"text": "one"}, {"number": "x"})
    outcomes = [
        json.loads(line)
        for line in milepost("start", "echo", "--input-lines", lines, "--json", *LATER).out.splitlines()
    ]
    assert [outcome["status"] for outcome in outcomes] == [202, 422]


def test_more_lines_than_one_request_takes(milepost: Command, tmp_path: Path) -> None:
    lines = file(tmp_path, *[{"number": number} for number in range(AT_ONCE + 1)])
    outcome = milepost("start", "echo", "--input-lines", lines, *LATER)
    assert (outcome.code, outcome.err) == (0, f"{AT_ONCE + 1:,} tasks started.\n")
    assert len(set(outcome.out.split())) == AT_ONCE + 1


def test_p9_the_same_key_starts_none_twice(milepost: Command, tmp_path: Path) -> None:
    some, more = [{"text": "one"}, {"text": "two"}], {"text": "three"}
    command = ("start", "echo", *LATER, "--idempotency-key", "import-1", "--input-lines")
    first = milepost(*command, file(tmp_path, *some)).out.split()
    again = milepost(*command, file(tmp_path, *some, more)).out.split()
    assert again[:2] == first
    assert len(again) == 3


def test_p9_a_connection_that_breaks_makes_no_task_twice(server: Server, command: Command, tmp_path: Path) -> None:
    with Proxy(server.port, cuts=(100,)) as proxy:
        outcome = command(
            "start", "note", "--input-lines", file(tmp_path, {"text": "broken"}), "--url", proxy.url, *LATER
        )
        assert proxy.connections == 2
    assert (outcome.code, len(outcome.out.split())) == (0, 1)
    found = server.remote.get("/v1/tasks", dict[str, Any], type="note", state="scheduled")
    assert len(found["tasks"]) == 1


def test_lines_come_from_stdin_too(milepost: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = Path(file(tmp_path, {"text": "one"}).removeprefix("@"))
    with path.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert milepost("start", "echo", "--input-lines", "-", *LATER).err == "1 task started.\n"


def test_on_a_terminal_there_is_a_bar(server: Server, tmp_path: Path) -> None:
    lines = file(tmp_path, *[{"number": number} for number in range(3)])
    terminal = Terminal("start", "echo", "--input-lines", lines, *LATER, url=server.url)
    assert terminal.end() == 0
    assert "100%" in terminal.screen
    assert terminal.screen.rstrip().endswith("3 tasks started.")


def test_a_server_that_stops_is_told_how_to_go_on(command: Command, tmp_path: Path) -> None:
    told = b'{"line":1,"status":202,"task":{"id":"a"}}\n{"line":2,"status":503,"problem":{"title":"Later"}}\n'
    with serving(Canned(200, told, "application/x-ndjson")) as foreign:
        lines = file(tmp_path, {}, {}, {})
        outcome = command("start", "echo", "--input-lines", lines, "--idempotency-key", "k", "--url", foreign.url)
    assert (outcome.code, outcome.out) == (Exit.UNREACHABLE, "a\n")
    assert outcome.err.splitlines() == [
        "milepost: line 2: Later",
        "1 task started, 1 refused. The same command with --idempotency-key k starts the rest.",
        "milepost: The server stopped before line 3.",
    ]


@pytest.mark.parametrize("options", [("--wait",), ("--watch",), ("--input", "{}")])
def test_what_does_not_go_together(command: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    outcome = command("start", "echo", "--input-lines", file(tmp_path, {}), *options)
    assert (outcome.code, outcome.err.count("\n")) == (Exit.USAGE, 1)


def test_a_file_that_is_not_there(milepost: Command) -> None:
    outcome = milepost("start", "echo", "--input-lines", "@absent.ndjson")
    assert outcome.code == Exit.USAGE
    assert "absent.ndjson can't be read" in outcome.err
