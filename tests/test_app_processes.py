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
STARTED = r"Started server process \[(\d+)\]"


class Uvicorn:
    """`uvicorn tests.shop:web`, on a free port."""

    def __init__(self, folder: Path, *options: str, grace: int = 25) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "tests.shop:web", "--port", "0", *options],
            cwd=ROOT,
            env=os.environ | {"SHOP_STORE": str(folder / "shop.db"), "SHOP_GRACE": str(grace)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        self._told: list[str] = []
        [port] = self.said(r"running on http://127\.0\.0\.1:(\d+)")
        # With several processes it says that it runs before the first of them listens.
        patient = httpx2.HTTPTransport(retries=8)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, transport=patient)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def said(self, pattern: str, times: int = 1) -> list[str]:
        """What this matches in its log, once it does so many times."""
        while len(found := re.findall(pattern, "".join(self._told))) < times:
            line = self._lines.get(timeout=PATIENCE)
            assert line is not None, f"{pattern!r} never came, but: {''.join(self._told)}"
            self._told.append(line)
        return found

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
def uvicorn(folder: Path, *options: str, grace: int = 25) -> Iterator[Uvicorn]:
    server = Uvicorn(folder, *options, grace=grace)
    try:
        yield server
    finally:
        server.stop()


def test_p2_of_several_processes_one_works_and_another_takes_over(tmp_path: Path) -> None:
    with uvicorn(tmp_path, "--workers", "2") as server:
        server.said("Application startup complete", times=2)
        [first] = server.workers()
        assert str(first) in server.said(STARTED, times=2)
        assert server.client.get("/operations/readyz").json()["workers"] == 1
        spinning = server.start("spin")
        server.until(spinning, message=f"in {first}")

        os.kill(first, signal.SIGKILL)
        server.said("Application startup complete", times=3)
        [second] = server.workers()
        assert second != first
        assert str(second) in server.said(STARTED, times=3)
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
            assert any(line.startswith("data:") for line in lines)
            server.process.send_signal(number)
            for _ in lines:
                pass  # to its end: one that is cut off raises
        assert server.process.wait(PATIENCE) in (0, -number)
    with uvicorn(tmp_path) as server:
        record = server.until(spinning, state="running", message=f"in {server.process.pid}")
        assert (record["losses"], record["attempt"]) == (0, 1)


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    with uvicorn(tmp_path, grace=3600) as server:
        server.until(server.start("hang"), message="hanging")
        server.process.send_signal(signal.SIGINT)
        server.said("Waiting for application shutdown")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) in (0, -signal.SIGINT)
