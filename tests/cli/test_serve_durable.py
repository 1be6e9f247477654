"""Are tasks that were not to outlive their server cancelled when it is told to stop, in every dialect's words?"""

import signal
from pathlib import Path
from typing import Any

import httpx2

from tests.cli.processes import Server

VAULT = """
from milepost import Milepost
from milepost.http.dialects.metavault import Metavault
from milepost.http.dialects.native import Native

app = Milepost(dialects=[Native(), Metavault(durable=False)])


@app.task
async def deploy() -> str:
    return "deployed"
"""


def metavault(server: Server, task_id: str) -> Any:
    """A task in Metavault's words."""
    return httpx2.get(f"{server.url}/api/projects/default/tasks/{task_id}").json()


def test_a_server_that_is_stopped_cancels_what_was_not_to_outlive_it(tmp_path: Path) -> None:
    (tmp_path / "vault.py").write_text(VAULT)
    files = [tmp_path / "vault.py"]
    server = Server(tmp_path, "--no-worker", files=files)
    begun = httpx2.post(f"{server.url}/api/projects/default/deploy").json()["taskId"]
    fleeting = server.start("deploy", {"durable": False})
    durable = server.start("deploy")
    driven = server.start("deploy", {"durable": False, "runner": "external", "state": "running"})
    assert metavault(server, begun)["status"] == "Waiting"
    assert server.stop(signal.SIGTERM) == 0

    server = Server(tmp_path, "--no-worker", files=files)
    for task_id in (begun, fleeting):
        record = server.get(task_id)
        assert (record["state"], record["failure"], record["started_at"]) == ("cancelled", None, None)
        read = metavault(server, task_id)
        assert (read["status"], "error" in read) == ("Cancelled", False)
    assert (server.get(durable)["state"], metavault(server, durable)["status"]) == ("queued", "Waiting")
    assert server.get(driven)["state"] == "running"
    assert server.stop() == 0
    server = Server(tmp_path, files=files)
    assert server.wait(durable)["result"] == "deployed"
    assert server.get(begun)["state"] == "cancelled"
    assert server.stop() == 0


def test_what_could_run_has_run_and_stays_as_it_ended(tmp_path: Path) -> None:
    (tmp_path / "vault.py").write_text(VAULT)
    server = Server(tmp_path, files=[tmp_path / "vault.py"])
    begun = httpx2.post(f"{server.url}/api/projects/default/deploy").json()["taskId"]
    assert server.wait(begun)["state"] == "succeeded"
    assert server.stop() == 0
    server = Server(tmp_path, "--no-worker", files=[tmp_path / "vault.py"])
    assert metavault(server, begun)["status"] == "Success"
    assert server.stop() == 0


def test_one_that_is_killed_leaves_them_to_whoever_works_next(tmp_path: Path) -> None:
    (tmp_path / "vault.py").write_text(VAULT)
    files = [tmp_path / "vault.py"]
    server = Server(tmp_path, "--no-worker", files=files)
    begun = httpx2.post(f"{server.url}/api/projects/default/deploy").json()["taskId"]
    server.stop(signal.SIGKILL)
    server = Server(tmp_path, files=files)
    assert server.wait(begun)["state"] == "succeeded"
    assert server.stop() == 0
