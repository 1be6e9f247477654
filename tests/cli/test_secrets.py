"""Secrets that a command is given otherwise than on its command line, and keys for secrets."""

import base64
import io
from pathlib import Path

import pytest

from milepost.cli import secrets
from milepost.cli.arguments import read_input
from milepost.cli.exits import CommandError, Exit
from tests.cli.conftest import Command
from tests.cli.processes import Server, milepost

KEY = base64.b64encode(bytes(range(32))).decode()
TASKS = """
from milepost import Milepost, Secret

app = Milepost()


@app.task
async def check(*, password: Secret[str]) -> None: ...
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "password": {"type": "string", "writeOnly": True},
        "pin": {"type": "integer", "writeOnly": True},
        "name": {"type": "string"},
    },
}
SEEN = "on a command line can be read in the list of processes, and in the shell's history"


class Stdin(io.TextIOWrapper):
    """What comes in."""

    def __init__(self, body: bytes) -> None:
        super().__init__(io.BytesIO(body))

    def isatty(self) -> bool:
        return False


def test_a_secret_is_read_from_a_file_or_a_line_of_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_bytes("pass wörd \r\n".encode())
    monkeypatch.setattr("sys.stdin", Stdin(b"1234\nthe rest"))
    words = [f"password=@{tmp_path}/password", "pin=-", "name=@ada"]
    assert read_input(words, None, SCHEMA) == {"password": "pass wörd ", "pin": 1234, "name": "@ada"}
    assert capsys.readouterr().err == ""


def test_at_a_terminal_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(secrets, "getpass", lambda prompt: f"said at {prompt}")
    assert secrets.read("password", "-") == "said at password: "


@pytest.mark.parametrize("word", ["password=hush-hush", 'password:="hush-hush"'])
def test_one_that_is_written_out_is_taken_with_a_warning(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_input([word], None, SCHEMA) == {"password": "hush-hush"}
    told = f"milepost: password: a secret {SEEN}; write password=@FILE, or password=- for stdin.\n"
    assert capsys.readouterr() == ("", told)


def test_one_that_is_no_json_is_not_quoted() -> None:
    with pytest.raises(CommandError, match=r"password: not JSON \(.*\); for text write password=\*\*\*$"):
        read_input(["password:=hush-hush"], None, SCHEMA)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("@", "password: the name of a file is missing after the @; - reads stdin."),
        ("@absent", "password: absent can't be read (No such file or directory)."),
        ("@empty", "password: there is nothing in empty."),
        ("@binary", "password: not text in UTF-8."),
        ("-", "password: there is nothing in stdin."),
    ],
)
def test_what_can_not_be_read_is_named(value: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", Stdin(b""))
    Path("empty").write_text("\n")
    Path("binary").write_bytes(b"hush\xff")
    with pytest.raises(CommandError) as refused:
        secrets.read("password", value)
    assert (str(refused.value), refused.value.code) == (why, Exit.USAGE)


def test_a_key_is_read_where_it_is_and_warned_of_where_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """Nobody answers here; a key that can't be one is refused before that."""
    url, wrong = "http://127.0.0.1:1", "wrong \u00e9"
    (tmp_path / "key").write_text(f"{wrong}\n")
    refused = "milepost: --key: a key has printable ASCII characters alone; this one has others.\n"
    assert command("list", "--url", url, "--key", f"@{tmp_path}/key").err == refused
    monkeypatch.setattr("sys.stdin", Stdin(wrong.encode()))
    assert command("list", "--url", url, "--key", "-").err == refused
    warning = f"milepost: --key: a key {SEEN}; set MILEPOST_KEY, or write --key @FILE, or --key - for stdin.\n"
    assert command("list", "--url", url, "--key", wrong).err == warning + refused
    for value in (wrong, f"@{tmp_path}/key"):
        monkeypatch.setenv("MILEPOST_KEY", value)
        assert command("list", "--url", url).err == refused


def test_a_password_in_a_url_is_not_told(command: Command, tmp_path: Path) -> None:
    shown = command("list", "--url", "http://ada:hush-hush@127.0.0.1:1").err
    assert shown.startswith("milepost: No Milepost server answers at http://***@127.0.0.1:1 (")
    shown += command("list", "--url", "ftp://ada:hush-hush@127.0.0.1:1").err
    shown += command("key", "list", "--store", "postgres://ada:hush-hush@127.0.0.1/tasks").err
    assert shown.count("***@127.0.0.1") == 3
    assert "hush" not in shown


def test_a_start_where_there_is_no_key_is_refused(tmp_path: Path) -> None:
    folder, tasks = tmp_path / "run", tmp_path / "tasks.py"
    folder.mkdir()
    tasks.write_text(TASKS)
    server = Server(folder, files=(tasks,))
    try:
        outcome = milepost("start", "check", "password=planted", url=server.url)
        assert outcome.returncode == Exit.USAGE
        assert "MILEPOST_SECRET_KEY" in outcome.stderr
        assert "planted" not in outcome.stderr
    finally:
        assert server.stop() == 0


def test_what_is_no_key_is_told_before_anything_else(tmp_path: Path) -> None:
    for arguments in (("serve", tmp_path / "absent.py"), ("key", "list"), ("webhook", "secret", "acme")):
        outcome = milepost(*arguments, MILEPOST_SECRET_KEY="planted")
        assert (outcome.returncode, outcome.stdout) == (Exit.USAGE, "")
        assert outcome.stderr.startswith("milepost: MILEPOST_SECRET_KEY: a key is 32 random bytes in Base64")
        assert "planted" not in outcome.stderr
