"""A token is shown to who starts the task, and to nobody who reads a log."""

from pathlib import Path

import httpx2

from tests.cli.processes import Server

TASKS = """
from typing import Any

from milepost import Milepost
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.native import Native

app = Milepost(dialects=[Native(), Aparavi()])

@app.task
async def pipeline(*, components: list[dict[str, Any]]) -> None:
    raise ValueError("This pipeline fails.")
"""
KEY = f"mp_{'0' * 16}_{'f' * 64}"


def test_a_server_that_logs_everything_logs_no_token_and_no_key(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    server = Server(tmp_path, "--log-level", "debug", files=[tmp_path / "tasks.py"])
    tokens: list[str] = []
    try:
        with httpx2.Client(base_url=server.url, headers={"authorization": KEY}, timeout=30) as client:
            for provider in ("webhook", "file"):
                started = client.put("/task?name=n", json={"components": [{"provider": provider}]})
                query = started.json()["data"]
                tokens.append(query["token"])
                assert client.put("/webhook", params=query, content=b"x").status_code in (200, 409)
                assert client.get("/task", params=query).status_code == 200
                assert client.get("/task", params=[*query.items(), *query.items()]).status_code == 422
                assert client.post("/task", params=query).status_code == 405
                assert client.delete("/task", params=query).status_code == 200
            identity = client.get("/task", params={"token": tokens[0]}).json()["data"]["id"]
            assert client.get("/task", params={"token": identity}).status_code == 200
    finally:
        assert server.stop() == 0
    log = server.log.read_text()
    assert log.count("/task?token=hidden&type=cpu HTTP") == 6
    assert "/webhook?token=hidden" in log
    for secret in (*tokens, identity, KEY, "f" * 64):
        assert secret not in log
