"""Nothing that a caller or a task says reaches a terminal as more than text, whoever looks at it and by what."""

import json
import logging
import re
import socket
import sys
from pathlib import Path

import msgspec
import pytest
import structlog

from milepost.cli.logging import configure
from tests.cli.processes import JOBS, Server, Terminal

EVIL = "\x1b]0;OWNED\x07\x9b31m\x1b[2J\u202egnp.exe\u2066\x7f\r\u2028\x85"
FORGED = "\n2026-01-01T00:00:00.000000Z [error    ] FORGED"

_SEEN = re.compile(r"\x1b\[[0-9;]*m")
"""The colours of the log's own."""
_DRAWN = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[hl]|2K|[0-9]*A)")
"""The same with what draws a progress bar."""


def harmless(screen: str) -> str:
    """What a terminal was sent, without colours and bars; fails if there is anything else that acts."""
    text = _DRAWN.sub("", screen).replace("\r", "")
    odd = {c for c in text if not (c.isprintable() or c in "\n\t")}
    assert not odd, f"{odd} in {text!r}"
    return text


def raw(port: int, head: bytes) -> bytes:
    """What a server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def evil(server: Server) -> str:
    """A task that says and was given whatever acts on a terminal; its id."""
    task_id = server.start("fail", {"title": EVIL, "metadata": {EVIL: EVIL}, "list_id": "evil"}, why=f"{EVIL}{FORGED}")
    server.wait(task_id)
    return task_id


@pytest.fixture(scope="module")
def driven(server: Server) -> str:
    """The same of a task that a client drives, with a message and a log."""
    task_id = server.start("foreign", {"runner": "external", "title": EVIL, "state": "running", "list_id": "evil"})
    server.remote.request("PATCH", f"/v1/tasks/{task_id}", body={"message": EVIL, "counts": {"done": 1, "total": 2}})
    server.remote.request(
        "PATCH", f"/v1/tasks/{task_id}", body={"state": "failed", "failure": {"code": EVIL, "message": EVIL}}
    )
    return task_id


@pytest.mark.parametrize(
    "words",
    [
        ["get"],
        ["get", "--json"],
        ["logs"],
        ["logs", "--json"],
        ["logs", "-f"],
        ["watch"],
        ["watch", "--json"],
        ["cancel"],
        ["retry", "--json"],
        ["result"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("which", ["evil", "driven"])
def test_what_a_task_says_does_nothing_to_a_terminal(
    server: Server, which: str, words: list[str], request: pytest.FixtureRequest
) -> None:
    task_id = request.getfixturevalue(which)
    if words[0] == "retry":  # it changes the task
        task_id = "\x1b[2J\u202e"
    terminal = Terminal(words[0], task_id, *words[1:], url=server.url, columns=400)
    terminal.end()
    shown = harmless(terminal.screen)
    assert not re.search("^2026-01-01", shown, re.MULTILINE)
    if "--json" in words and words[0] == "get":
        assert msgspec.json.decode(shown) == server.get(task_id), "what is shown is the same JSON"


def test_nor_does_a_list_or_what_was_typed_wrong(server: Server, evil: str, driven: str) -> None:
    for words in (["list", "--list", "evil"], ["list", "--list", "evil", "--json"], ["list", "--state", EVIL], [EVIL]):
        terminal = Terminal(*words, url=server.url, columns=400)
        terminal.end()
        shown = harmless(terminal.screen)
        assert "OWNED" in shown


def test_json_for_programs_is_as_it_was_sent(server: Server, evil: str, milepost: object) -> None:
    assert callable(milepost)
    outcome = milepost("get", evil, "--json")
    assert json.loads(outcome.out)["title"] == EVIL
    assert json.loads(outcome.out)["metadata"] == {EVIL: EVIL}


def test_whatever_is_asked_of_a_server_is_but_text_in_its_log(tmp_path: Path) -> None:
    serve = Terminal(
        *(
            "serve",
            JOBS,
            "--store",
            tmp_path / "tasks.db",
            "--files-root",
            tmp_path,
            "--port",
            0,
            "--log-level",
            "debug",
        ),
        *("--trusted-proxy", "127.0.0.1"),
        columns=400,
    )
    port = int(re.search(r"127.0.0.1:([0-9]+)", serve.read_until(r"  try .*\n"))[1])  # type: ignore[index]
    asked = EVIL.encode()
    tail = b"host: localhost\r\nconnection: close\r\n"
    body = json.dumps({"type": "fail", "title": EVIL, "input": {"why": EVIL + FORGED}}).encode()
    for head in (
        b"GET /v1/tasks/%1b%5b2J%0d%0aFORGED?after=%1b%0a HTTP/1.1\r\n" + tail + b"\r\n",
        b"GET /v1/tasks/\x1b[2J HTTP/1.1\r\n" + tail + b"\r\n",
        b"GET /v1/tasks?\xc2\x9b31m HTTP/1.1\r\n" + tail + b"\r\n",
        b"GET /v1/tasks HTTP/1.1\r\nuser-agent: " + asked.replace(b"\r", b"") + b"\r\n" + tail + b"\r\n",
        b"GET /v1/tasks HTTP/1.1\r\nx-forwarded-for: \xc2\x9b31m\r\n" + tail + b"\r\n",
        b'GET /v1/tasks HTTP/1.1\r\nforwarded: for="\xe2\x80\xae"\r\n' + tail + b"\r\n",
        b"GE\x1bT /v1/tasks HTTP/1.1\r\n" + tail + b"\r\n",
        b"POST /v1/tasks?wait=5 HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        + tail
        + b"\r\n"
        + body,
    ):
        assert b" 500 " not in raw(port, head).partition(b"\r\n")[0]
    serve.read_until("POST /v1/tasks")
    serve.type("\x03")
    serve.end()
    shown = harmless(serve.screen)
    assert "/v1/tasks/%1B%5B2J%0D%0AFORGED" in shown
    assert not re.search("^(2026-01-01|FORGED)", shown, re.MULTILINE)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_whatever_is_logged_is_but_text(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    configure("debug")
    logging.getLogger("evil\x1b[2J").warning("said %s", EVIL + FORGED, extra={EVIL: EVIL, "items": [EVIL], "n": 5})
    structlog.get_logger("own").info(EVIL + FORGED, name=EVIL + FORGED, nothing=None)
    try:
        raise ValueError(EVIL + FORGED)
    except ValueError:
        logging.getLogger("evil").exception("It failed")
    printed = capsys.readouterr().err
    shown = harmless(printed)
    assert "FORGED" in shown
    if is_terminal:
        assert not re.search("^2026-01-01", _SEEN.sub("", printed), re.MULTILINE)
    else:
        said, own, failed = map(json.loads, printed.splitlines())
        assert said["event"] == f"said {EVIL}{FORGED}", "JSON is exact"
        assert own["name"] == EVIL + FORGED
        assert EVIL in failed["exception"]
