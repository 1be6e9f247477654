import json
import signal
import threading
from pathlib import Path

import pytest

from milepost.cli.exits import Exit
from tests.cli.conftest import Command
from tests.cli.foreign import Canned, serving
from tests.cli.processes import Server, Terminal, environment, spawn, wait_for_line
from tests.cli.proxy import Proxy
from tests.cli.test_watch import meeting

NOBODY = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"


@pytest.fixture(scope="module")
def counted(server: Server) -> str:
    """A finished task with a long log."""
    task_id = server.start("count", {"title": "A\ttitle"}, to=500, by=1)
    server.wait(task_id)
    return task_id


def test_a_record(milepost: Command, counted: str) -> None:
    outcome = milepost("get", counted)
    fields = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert fields["id"] == counted
    assert (fields["state"], fields["title"], fields["attempt"]) == ("succeeded", "A title", "1 of 1")
    assert fields["progress"] == "100 % 500 of 500"
    assert fields["result"] == '{"counted":500,"from":0}'
    assert "failure" not in fields
    assert json.loads(milepost("get", counted, "--json").out)["id"] == counted
    assert milepost("get", counted.replace("-", "").upper()).out == outcome.out


def test_a_record_that_failed(milepost: Command, server: Server) -> None:
    task_id = server.start("fail")
    server.wait(task_id)
    assert "failure" in milepost("get", task_id).out


def test_states_can_stand_between_commas(milepost: Command, counted: str) -> None:
    one = milepost("list", "--state", "succeeded", "--type", "count").out
    assert counted in one
    assert milepost("list", "--state", "paused,succeeded", "--type", "count").out == one
    assert milepost("list", "--state", "paused", "--state", "succeeded", "--type", "count").out == one
    outcome = milepost("list", "--state", "paused,runing")
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith("milepost: Invalid value for '--state': 'runing' is no state; there are scheduled, ")


@pytest.mark.parametrize(
    "words",
    [
        *(["get", "x"], ["list"], ["types"], ["logs", "x"], ["logs", "x", "-f"], ["watch", "x"], ["result", "x"]),
        *(["cancel", "x"], ["rm", "-y", "x"], ["start", "x", "--wait"]),
    ],
)
def test_ctrl_c_ends_whatever_waits(words: list[str]) -> None:
    answering = threading.Event()
    with serving(Canned(200), once=answering) as server:
        process = spawn(*words, "--url", server.url, env=environment())
        server.asked.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        answering.set()
    assert (process.returncode, out) == (Exit.INTERRUPTED, "")
    assert "Traceback" not in err
    if words[0] == "start":
        assert "it may have been started. The same command with --idempotency-key " in err


@pytest.mark.parametrize("task_id", [NOBODY, "nonsense", "a/../b", "ä b?c#d"])
def test_no_such_task(milepost: Command, task_id: str) -> None:
    for name in ("get", "watch", "logs", "result", "cancel"):
        assert milepost(name, task_id) == (Exit.NOT_FOUND, "", "milepost: There is no such task.\n")


def test_on_a_terminal_json_is_indented_and_lists_have_heads(server: Server, counted: str) -> None:
    terminal = Terminal("get", counted, "--json", url=server.url)
    assert terminal.end() == 0
    assert f'{{\r\n  "id": "{counted}",\r\n' in terminal.screen
    terminal = Terminal("list", "--type", "count", url=server.url, columns=150)
    assert terminal.end() == 0
    head, *rows = terminal.screen.splitlines()
    assert [word.strip() for word in ("ID", "TYPE", "STATE", "PROGRESS", "CREATED", "TITLE") if word in head]
    assert any(row.startswith(counted) and "A title" in row for row in rows)
    terminal = Terminal("list", "--type", "count", url=server.url, columns=40)
    assert terminal.end() == 0


def test_lists_in_pipes(milepost: Command, counted: str) -> None:
    rows = [line.split("\t") for line in milepost("list", "--state", "succeeded", "--type", "count").out.splitlines()]
    assert [counted, "count", "succeeded", "100 % 500 of 500"] in [row[:4] for row in rows]
    assert all(row[1:3] == ["count", "succeeded"] for row in rows)
    assert milepost("list", "--owner", "nobody") == (0, "", "")
    assert milepost("list", "--tenant", "nobody", "--list", "none", "--parent", NOBODY).out == ""


def test_long_lists(own_server: Server, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_URL", own_server.url)
    ids = [own_server.start("echo", {"run_at": "2999-01-01T00:00:00Z"}) for _ in range(205)]
    newest = ids[::-1]
    few = command("list", "--limit", "3")
    assert [line.split("\t")[0] for line in few.out.splitlines()] == newest[:3]
    assert few.err == "These are the newest 3; --limit or --all shows more.\n"
    for how in (("--all",), ("--limit", "1000"), ("--limit", "205")):
        outcome = command("list", *how)
        assert [line.split("\t")[0] for line in outcome.out.splitlines()] == newest
    found = json.loads(command("list", "--limit", "202", "--json").out)
    assert [task["id"] for task in found["tasks"]] == newest[:202]
    assert found["next"] is not None
    assert json.loads(command("list", "--all", "--json").out)["next"] is None


def test_a_log(milepost: Command, server: Server, counted: str) -> None:
    lines = milepost("logs", counted).out.splitlines()
    assert len(lines) == len(server.entries(counted)) == 504
    assert lines[0].endswith("  info      queued")
    assert lines[1].endswith("  info      queued -> running  attempt 1")
    assert milepost("logs", counted, "--after", "500").out.splitlines() == lines[500:]
    assert milepost("logs", counted, "--level", "warning").out == ""
    entries = [json.loads(line) for line in milepost("logs", counted, "--json").out.splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(1, 505))
    assert milepost("logs", counted, "-f").out.splitlines() == lines
    assert milepost("logs", counted, "--level", "loud") == (
        Exit.USAGE,
        "",
        "milepost: --level: choose one of debug, info, warning, error, critical.\n",
    )


def test_a_log_is_followed_to_its_end(server: Server) -> None:
    task_id, gate = meeting(server, "followed")
    with Proxy(server.port) as proxy:
        process = spawn("logs", task_id, "-f", "--json", "--url", proxy.url, env=environment())
        first = [json.loads(wait_for_line(process.stdout, "waiting"))["seq"]]
        proxy.wait_for(b"text/event-stream")
        gate.write_text("on")
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    seqs = first + [json.loads(line)["seq"] for line in out.splitlines()]
    assert seqs == [entry["seq"] for entry in server.entries(task_id)][first[0] - 1 :]


def test_ctrl_c_ends_following_and_not_the_task(server: Server) -> None:
    task_id, gate = meeting(server, "unfollowed")
    process = spawn("logs", task_id, "-f", "--url", server.url, env=environment())
    wait_for_line(process.stdout, "waiting")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert f"See its log with `milepost logs {task_id}`." in err
    gate.write_text("")
    server.wait(task_id)


def test_types(milepost: Command, server: Server) -> None:
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in milepost("types").out.splitlines()}
    assert rows["count"] == ["to=TO [by=10]", "Counts, and logs every so manieth number."]
    assert rows["echo"][0] == "[text=null] [number=null] [items=ITEMS] [mode=fast] [size=1] [anything=null]"
    found = json.loads(milepost("types", "--json").out)["types"]
    assert sorted(rows) == sorted(one["name"] for one in found)
    terminal = Terminal("types", url=server.url)
    assert terminal.end() == 0
    assert terminal.screen.startswith("\x1b[1mTYPE") or "TYPE" in terminal.screen


def test_a_text_result_on_a_terminal_does_nothing_to_it(server: Server, tmp_path: Path) -> None:
    task_id = server.start("note", text="a,b\r\n1,\x1b[2J2\r\n")
    server.wait(task_id)
    terminal = Terminal("result", task_id, url=server.url)
    assert terminal.end() == 0
    assert terminal.screen == "a,b\r\n1,\\x1b[2J2\r\n"
    task_id = server.start("note", text="no line break")
    server.wait(task_id)
    terminal = Terminal("result", task_id, url=server.url)
    assert terminal.end() == 0
    assert terminal.screen == "no line break\r\n"


def test_bytes_are_not_for_a_terminal(server: Server, tmp_path: Path) -> None:
    task_id = server.start("blob", size=9_000_000)
    server.wait(task_id)
    terminal = Terminal("result", task_id, url=server.url, columns=200)
    assert terminal.end() == Exit.USAGE
    assert "The result is no text (application/octet-stream); save it with `-o blob.bin`" in terminal.screen
    terminal = Terminal("result", task_id, "-o", tmp_path, url=server.url)
    assert terminal.end() == 0
    assert (tmp_path / "blob.bin").stat().st_size == 9_000_000
    assert f"Saved {tmp_path}/blob.bin" in terminal.screen.replace("\r\n", "")
