"""Milepost in somebody's application, before a real uvicorn with several processes."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

PATIENCE = 60.0
ROOT = Path(__file__).parents[1]


class Uvicorn:
    """`uvicorn tests.shop:web`, on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "tests.shop:web", "--port", "0", *options],
            cwd=ROOT,
            env=os.environ | {"SHOP_STORE": str(folder / "shop.db")},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        self._told: list[str] = []
        port = self.said(r"running on http://127\.0\.0\.1:(\d+)")[1]
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def said(self, pattern: str) -> re.Match[str]:
        """The next line of its log with this in it."""
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            self._told.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern!r} never came, but: {''.join(self._told)}")

    def until(self, task_id: str, **wanted: Any) -> dict[str, Any]:
        """The record of a task once it is as wanted."""
        record = self.get(task_id)
        while any(record[name] != value for name, value in wanted.items()):
            later = self.get(task_id, wait=20, version=record["version"])
            assert later["version"] > record["version"], f"nothing happened: {record}"
            record = later
        return record

    def get(self, task_id: str, **query: Any) -> dict[str, Any]:
        record: dict[str, Any] = self.client.get(f"/operations/v1/tasks/{task_id}", params=query).json()
        return record

    def start(self, type: str) -> str:
        return str(self.client.post("/operations/v1/tasks", json={"type": type}).json()["id"])

    def workers(self) -> set[int]:
        """In which processes a few tasks run."""
        tasks = [self.client.post("/orders").json() for _ in range(20)]
        return {self.until(task, state="succeeded")["result"] for task in tasks}

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.client.close()
        return code


@contextlib.contextmanager
def uvicorn(folder: Path, *options: str) -> Iterator[Uvicorn]:
    server = Uvicorn(folder, *options)
    try:
        yield server
    finally:
        server.stop()


def test_p2_of_several_processes_one_works_and_another_takes_over(tmp_path: Path) -> None:
    with uvicorn(tmp_path, "--workers", "2") as server:
        started = {int(server.said(r"Started server process \[(\d+)\]")[1]) for _ in range(2)}
        for _ in range(2):
            server.said("Application startup complete")
        [first] = server.workers()
        assert first in started
        assert server.client.get("/operations/readyz").json()["workers"] == 1
        spinning = server.start("spin")
        server.until(spinning, message=f"in {first}")

        os.kill(first, signal.SIGKILL)
        started.add(int(server.said(r"Started server process \[(\d+)\]")[1]))
        server.said("Application startup complete")
        assert len(started) == 3
        [second] = server.workers()
        assert second in started - {first}
        # Once the dead one's lease is over its task goes on, and nobody else is there who works.
        assert server.until(spinning, losses=1, state="running")["attempt"] == 1
        assert server.client.get("/operations/readyz").json()["workers"] == 1
        server.client.post(f"/operations/v1/tasks/{spinning}/cancel")
        server.until(spinning, state="cancelled")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_streams_end_with_the_server_and_tasks_are_parked(tmp_path: Path, number: signal.Signals) -> None:
    with uvicorn(tmp_path) as server:
        spinning = server.start("spin")
        server.until(spinning, message=f"in {server.process.pid}")
        scheduled = server.client.post(
            "/operations/v1/tasks", json={"type": "where", "run_at": "2100-01-01T00:00:00Z"}
        ).json()["id"]
        with server.client.stream("GET", f"/operations/v1/tasks/{scheduled}/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            server.process.send_signal(number)
            assert any(line.startswith("data:") for line in lines), "and then it ended"
        assert server.process.wait(PATIENCE) in (0, -number)
    with uvicorn(tmp_path) as server:
        record = server.until(spinning, state="running", message=f"in {server.process.pid}")
        assert (record["losses"], record["attempt"]) == (0, 1)
