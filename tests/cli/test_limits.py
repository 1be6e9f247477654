from pathlib import Path

import httpx2
import pytest

from milepost.access.limits import Limits
from milepost.app import Milepost
from milepost.cli.exits import CommandError, Exit
from milepost.cli.limits import limit
from milepost.cli.sources import load

from .conftest import Command
from .processes import JOBS, Server

FILE = """
from milepost import Milepost
from milepost.access.limits import Limits
app = Milepost(limits=Limits(body={body}))
"""


def write(folder: Path, name: str, body: int) -> Path:
    path = folder / f"{name}.py"
    path.write_text(FILE.format(body=body))
    return path


def test_options_go_over_what_the_files_say(tmp_path: Path) -> None:
    store = str(tmp_path / "x.db")
    app = load([write(tmp_path, "one", 77), JOBS], store=store)
    limit(app, None)
    assert app.limits == Limits(body=77)
    limit(app, ["wait=5", "body=2KiB"])
    assert app.limits == Limits(body=2048, wait=5)
    limit(app, ["wait=6"])
    assert app.limits == Limits(body=2048, wait=6)


def test_two_files_may_agree_but_not_differ(tmp_path: Path) -> None:
    one, two, other = write(tmp_path, "one", 77), write(tmp_path, "two", 77), write(tmp_path, "other", 78)
    store = str(tmp_path / "x.db")
    assert load([one, two], store=store).limits == Limits(body=77)
    with pytest.raises(CommandError, match="set different limits; let one of them do it"):
        load([one, other], store=store)


def test_what_is_no_limit(tmp_path: Path, command: Command) -> None:
    with pytest.raises(CommandError) as caught:
        limit(Milepost(tmp_path / "x.db"), ["speed=5"])
    assert caught.value.code is Exit.USAGE
    outcome = command("worker", JOBS, "--store", tmp_path / "x.db", "--limit", "depth=1000")
    assert outcome.err == "milepost: --limit: depth is a whole number from 1 to 100, not 1000.\n"


def test_server_and_worker_keep_to_them(tmp_path: Path) -> None:
    options = ("--limit", "body=200", "--limit", "result=50", "--limit", "result-file=1KiB", "--limit", "log_lines=9")
    server = Server(tmp_path, *options, "--limit", "burst=60", "--limit", "requests=1")
    try:
        refused = httpx2.post(f"{server.url}/v1/tasks", json={"type": "echo", "title": "x" * 200})
        assert (refused.status_code, refused.json()["detail"]) == (413, "The body may have up to 200 bytes.")
        value = server.wait(server.start("echo", text="x" * 80))
        assert value["failure"]["code"] == "result_too_large"
        file = server.wait(server.start("blob", size=2000))
        assert file["failure"]["message"].endswith("more than 1024.")
        counting = server.start("count", to=40, by=1)
        server.wait(counting)
        lines = [entry["message"] for entry in server.entries(counting) if entry["kind"] == "log"]
        assert lines[-1] == "The log is full (9 lines): further lines are dropped."
        statuses = [httpx2.get(f"{server.url}/v1/types").status_code for _ in range(80)]
        assert statuses[-1] == 429
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
    finally:
        assert server.stop() == 0
