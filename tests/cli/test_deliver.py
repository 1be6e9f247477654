import json
import os
from pathlib import Path

import pytest

from milepost.cli.exits import Exit
from tests.cli.conftest import Command
from tests.cli.processes import Server


@pytest.fixture
def standing(milepost: Command, server: Server) -> str:
    outcome = milepost("start", "intake", "label=in", "--standing")
    assert (outcome.code, outcome.err) == (0, "")
    task_id = outcome.out.strip()
    assert server.get(task_id)["state"] == "running"
    return task_id


def test_an_input_starts_a_task(milepost: Command, server: Server, standing: str) -> None:
    child = milepost("deliver", standing, "number=7").out.strip()
    assert server.wait(child)["result"] == ["in", 7]
    over = json.loads(milepost("deliver", standing, "--input", '{"label": "7"}', "--json").out)
    assert over["parent"] == standing
    assert server.wait(over["id"])["result"] == ["7", 0]
    assert server.get(standing)["counts"] == {"done": 2, "total": 2, "failed": 0, "skipped": 0}


def test_each_file_starts_a_task(milepost: Command, server: Server, standing: str, tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "über uns;.txt"]
    for number, path in enumerate(paths):
        path.write_text(str(number))
    ids = milepost("deliver", standing, "--file", paths[0], "--file", paths[1]).out.split()
    results = [server.wait(task_id)["result"] for task_id in ids]
    assert results == [["in", 0, ["a.txt", "0"]], ["in", 0, ["über uns;.txt", "1"]]]


def test_a_key_stands_for_one_delivery(milepost: Command, standing: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    given = ("deliver", standing, "--file", tmp_path / "a.txt", "--idempotency-key", "k")
    assert milepost(*given).out == milepost(*given).out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--file", "a", "x=1"), Exit.USAGE, "without an input"),
        (("--file", "a", "--input", "{}"), Exit.USAGE, "without an input"),
        (("--file", "a", "--file", "b", "--idempotency-key", "k"), Exit.USAGE, "not for several files"),
        (("--file", "absent"), Exit.USAGE, "absent can't be read (No such file or directory)."),
        (("number=x",), Exit.USAGE, "number: "),
    ],
)
def test_what_is_wrong_is_said(milepost: Command, standing: str, words: tuple[str, ...], code: Exit, said: str) -> None:
    outcome = milepost("deliver", standing, *words)
    assert outcome.code == code
    assert said in outcome.err


def test_what_is_no_regular_file_is_refused_before_anything_is_sent(
    milepost: Command, server: Server, standing: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    os.mkfifo(tmp_path / "pipe")
    before = server.get(standing)["counts"]
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        outcome = milepost("deliver", standing, "--file", tmp_path / "a.txt", "--file", path)
        assert outcome.code == Exit.USAGE
        assert f"{path} is no regular file." in outcome.err
    assert server.get(standing)["counts"] == before


def test_other_tasks_take_nothing(milepost: Command, server: Server) -> None:
    outcome = milepost("deliver", server.start("spin"))
    assert outcome.code == Exit.FAILED
    assert "standing task" in outcome.err
    assert milepost("deliver", "0" * 32).code == Exit.NOT_FOUND


def test_a_file_for_no_server_is_unreachable(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    outcome = command("deliver", "0" * 32, "--file", tmp_path / "a", "--url", "http://127.0.0.1:1")
    assert outcome.code == Exit.UNREACHABLE
