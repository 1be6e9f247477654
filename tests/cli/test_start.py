import json
from pathlib import Path

import pytest

from milepost.cli.exits import Exit
from tests.cli import processes
from tests.cli.conftest import Command
from tests.cli.jobs import content
from tests.cli.processes import Server, Terminal, environment, spawn

NOBODY = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"


def test_in_a_pipe_the_id_stands_alone(milepost: Command, server: Server) -> None:
    outcome = milepost("start", "echo", "text=5", "number=5", "items=[1,2]", "anything:=null", "--title", "A title")
    assert (outcome.code, outcome.err) == (0, "")
    task_id = outcome.out.strip()
    record = server.wait(task_id)
    assert record["title"] == "A title"
    assert record["result"] == {
        "text": "5",
        "number": 5,
        "items": [1, 2],
        "mode": "fast",
        "size": 1,
        "anything": None,
    }


def test_on_a_terminal_it_says_how_to_go_on(server: Server) -> None:
    terminal = Terminal("start", "echo", url=server.url)
    assert terminal.end() == 0
    first, second = terminal.screen.splitlines()
    assert second == f"echo is queued. Follow it with `milepost watch {first}`."


def test_who_is_to_type_the_input_is_told_so(server: Server) -> None:
    terminal = Terminal("start", "echo", "--input", "-", url=server.url)
    terminal.read_until("Reading from the terminal; Ctrl-D on a line of its own ends it")
    terminal.type('{"text": "typed"}\n\x04')
    assert terminal.end() == 0
    assert "echo is queued." in terminal.screen


def test_json_is_the_record(milepost: Command) -> None:
    assert json.loads(milepost("start", "echo", "--json").out)["type"] == "echo"
    record = json.loads(milepost("start", "echo", "text=hi", "--json", "--wait").out)
    assert (record["state"], record["result"]["text"]) == ("succeeded", "hi")
    lines = milepost("start", "count", "to=20", "--json", "--watch").out.splitlines()
    records = [json.loads(line)["task"] for line in lines if line.startswith('{"task"')]
    entries = [json.loads(line)["log"] for line in lines if line.startswith('{"log"')]
    assert len(records) + len(entries) == len(lines)
    assert records[-1]["state"] == "succeeded"
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))


def test_all_that_can_be_said_of_a_task(milepost: Command, server: Server) -> None:
    first = server.start("spin")
    outcome = milepost(
        *("start", "echo", "--tenant", "1764", "--priority", "7", "--timeout", "1h30m", "--max-attempts", "3"),
        *("--unique-key", "only-one", "--run-at", "2999-01-01T12:00:00+02:00"),
        *("--start-by", "2999-01-02T12:00:00+02:00", "--description", "For the books", "--list-id", "accounts"),
        *("--assignee", "ada", "--metadata", '{"pages": [1]}'),
    )
    record = server.get(outcome.out.strip())
    assert record["state"] == "scheduled"
    for name, value in {
        "tenant": "1764",
        "priority": 7,
        "timeout": 5400,
        "max_attempts": 3,
        "unique_key": "only-one",
        "run_at": "2999-01-01T10:00:00.000000Z",
        "start_by": "2999-01-02T10:00:00.000000Z",
        "description": "For the books",
        "list_id": "accounts",
        "assignee": "ada",
        "metadata": {"pages": [1]},
    }.items():
        assert record[name] == value
    waits = ("--depends-on", first, "--on-dependency-failure", "stay")
    dependent = server.get(milepost("start", "echo", *waits).out.strip())
    assert (dependent["state"], dependent["blocked_by"]) == ("blocked", [first])
    assert dependent["on_dependency_failure"] == "stay"
    taken = milepost("start", "echo", "--tenant", "1764", "--unique-key", "only-one")
    assert taken.code == Exit.FAILED
    milepost("cancel", first, record["id"])


@pytest.mark.parametrize(
    ("words", "trigger"),
    [
        (["--every", "15m"], {"every": 900}),
        (
            ["--cron", "0 3 * * *", "--timezone", "Europe/Brussels"],
            {"cron": "0 3 * * *", "timezone": "Europe/Brussels"},
        ),
        (["--repeat", "weekly"], {"repeat": "weekly"}),
    ],
)
def test_repetitions(milepost: Command, server: Server, words: list[str], trigger: dict[str, object]) -> None:
    task_id = milepost("start", "echo", "--run-at", "2999-01-01T12:00", *words).out.strip()
    assert trigger.items() <= server.get(task_id)["trigger"].items()
    milepost("cancel", task_id)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "15m", "--cron", "* * * * *"], "--every and --cron: choose one."),
        (
            ["--every", "15m", "--timezone", "UTC"],
            "--timezone: says what --cron or --repeat is meant in; give one of them.",
        ),
        (["--run-at", "tomorrow"], "--run-at: not a time like 2026-05-01T09:00: 'tomorrow'."),
        (
            ["--run-at", "0001-01-01T00:00+23:59"],
            "--run-at: not a time like 2026-05-01T09:00: '0001-01-01T00:00+23:59'.",
        ),
        (["--start-by", "soon"], "--start-by: not a time like 2026-05-01T09:00: 'soon'."),
        (["--metadata", "[1]"], "--metadata: not a JSON object"),
        (["--on-dependency-failure", "hope"], "--on-dependency-failure: "),
        (["-o", "x"], "-o: the result can be saved only after --wait or --watch."),
        (["text"], "text: not in the form key=value."),
        (["--every", "soon"], "--every: "),
        (["--timeout", "-5"], "--timeout: "),
        (["--depends-on", "x"], "--depends-on: Not a task id."),
        (["number=five"], "number: "),
        (["numbr=5"], "numbr: "),
    ],
)
def test_what_is_wrong_is_named(milepost: Command, arguments: list[str], message: str) -> None:
    outcome = milepost("start", "echo", *arguments)
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err.startswith(f"milepost: {message}")
    assert outcome.err.count("\n") == 1


def test_a_type_that_is_not_there(milepost: Command) -> None:
    outcome = milepost("start", "no-such-type", "a=1")
    told = "milepost: TYPE: There is no task type 'no-such-type' here. `milepost types` lists them.\n"
    assert outcome == (Exit.USAGE, "", told)


def test_no_server(command: Command) -> None:
    outcome = command("start", "echo", "--url", "http://127.0.0.1:9")
    assert outcome.code == Exit.UNREACHABLE
    assert "Start one with `milepost serve FILE`" in outcome.err


def test_input_from_stdin_and_from_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"text": "from a file"}')
    for given, body, text in (
        ("-", b'{"text": "from stdin"}', "from stdin"),
        (f"@{tmp_path}/in.json", None, "from a file"),
    ):
        outcome = processes.milepost("start", "echo", "--input", given, "--wait", url=server.url, input=body)
        assert outcome.returncode == 0
        assert server.get(outcome.stdout.strip())["result"]["text"] == text
        assert f'"text":"{text}"' in outcome.stderr


def test_p9_the_same_key_is_the_same_task(milepost: Command) -> None:
    first, second = (milepost("start", "echo", "--idempotency-key", "monday") for _ in range(2))
    assert first.out == second.out
    other = milepost("start", "echo", "text=x", "--idempotency-key", "monday")
    assert other.code == Exit.USAGE
    assert milepost("start", "echo").out != milepost("start", "echo").out


def test_waiting_for_a_success(milepost: Command, tmp_path: Path) -> None:
    outcome = milepost("start", "blob", "size=1000", "--wait", "-o", tmp_path / "blob")
    assert outcome.code == 0
    assert (tmp_path / "blob").read_bytes() == content(1000)
    assert outcome.out.count("\n") == 1
    assert "Succeeded after " in outcome.err
    assert f"Saved {tmp_path}/blob" in outcome.err


def test_waiting_for_a_failure(milepost: Command, server: Server, tmp_path: Path) -> None:
    outcome = milepost("start", "fail", "why=no such\nindex", "--wait", "-o", tmp_path / "x")
    assert outcome.code == Exit.FAILED
    assert outcome.err == "milepost: The task failed: no such index (nothing_there)\n"
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_is_cancelled_meanwhile(server: Server) -> None:
    process = spawn("start", "spin", "--wait", "--url", server.url, env=environment())
    assert process.stdout is not None
    task_id = process.stdout.readline().strip()
    server.wait(task_id, "running")
    server.remote.request("POST", f"/v1/tasks/{task_id}/cancel")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (Exit.FAILED, "", "milepost: The task was cancelled.\n")
