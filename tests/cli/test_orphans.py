"""What is left of the programs that tasks have started, when those who run them end in any way: nothing."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from milepost.app import Milepost
from milepost.cli.supervisor import Supervisor
from milepost.engine.source import load_file
from milepost.store.protocol import EVERYTHING
from milepost.task import Task
from tests.cli.processes import COMMAND, Server
from tests.cli.test_serve import wait_for_end, watching
from tests.cli.test_supervisor import running
from tests.engine.processes import gone

FAMILIES = Path(__file__).with_name("families.py")
TYPES = ("elsewhere", "here")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One whose tasks start programs."""
    server = Server(tmp_path, "--grace", "1", files=[FAMILIES])
    yield server
    server.stop()


def family_of(worker: int, *messages: str | None) -> set[int]:
    """The worker and all that came of it, among which is what its tasks have told of."""
    family = {worker, *(process.pid for process in psutil.Process(worker).children(recursive=True))}
    told = {int(pid) for message in messages for pid in (message or "").split()}
    assert len(told) == 3 * len(messages)
    assert told <= family
    return family


def kill_the_worker(server: Server) -> None:
    os.kill(server.worker(), signal.SIGKILL)


def kill_the_server(server: Server) -> None:
    server.process.kill()


def stop(server: Server) -> None:
    server.process.terminate()


def stop_at_once(server: Server) -> None:
    server.process.send_signal(signal.SIGINT)
    server.process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("end", [kill_the_worker, kill_the_server, stop, stop_at_once])
def test_p2_no_program_outlives_the_worker_that_ran_its_task(server: Server, end: Callable[[Server], None]) -> None:
    records = [server.wait(server.start(name), "running") for name in TYPES]
    for number, record in enumerate(records):
        while not records[number]["message"]:
            query = {"wait": 20, "version": records[number]["version"]}
            records[number] = server.remote.get(f"/v1/tasks/{record['id']}", dict[str, Any], **query)
    family = family_of(server.worker(), *(record["message"] for record in records))
    with contextlib.ExitStack() as watched:
        descriptors = [watched.enter_context(watching(pid)) for pid in family]
        end(server)
        for descriptor in descriptors:
            wait_for_end(descriptor)


async def test_p2_no_program_outlives_a_worker_that_its_supervisor_kills(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "tasks.db")
    app.include(load_file(FAMILIES).app)
    async with app.opened() as service:
        store = ("--store", str(app.path), "--grace", "1", "--log-level", "error", "--lifeline")
        supervisor = Supervisor([*COMMAND, "worker", str(FAMILIES), *store], grace=1, silence=2)
        async with running(supervisor):
            tasks: list[Task] = []
            for name in TYPES:
                task = await app.start(name)
                while not (task.message or "").replace(" ", "").isdecimal():  # it may say first that there is no worker
                    await service.store.wait(task.id, version=task.version, timeout=20_000_000)
                    (found,) = await service.store.get([task.id], EVERYTHING, now=service.clock())
                    assert found is not None
                    task = found
                tasks.append(task)
            assert supervisor.pid is not None
            family = family_of(supervisor.pid, *(task.message for task in tasks))
            await app.start("hog")
            for pid in family:
                await gone(pid)
