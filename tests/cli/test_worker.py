import os
import signal
import subprocess
from pathlib import Path

from milepost.access.principal import LOCAL
from milepost.app import Milepost
from milepost.cli.exits import Exit
from milepost.engine.source import load_file
from milepost.service import Service
from milepost.task import State
from milepost.times import SECOND
from tests.cli.conftest import Command
from tests.cli.processes import JOBS, environment, spawn, wait_for_line

PATIENCE = 60 * SECOND


def application(folder: Path) -> Milepost:
    app = Milepost(folder / "tasks.db", files_root=folder)
    app.include(load_file(JOBS).app)
    return app


def worker(folder: Path, *options: object) -> "subprocess.Popen[str]":
    return spawn("worker", JOBS, "--store", folder / "tasks.db", "--files-root", folder, *options, env=environment())


async def until(service: Service, task_id: str, *, message: str) -> None:
    """Wait until a task says something."""
    task = await service.get(LOCAL, task_id)
    while task.message != message:
        later = await service.wait(LOCAL, task_id, timeout=PATIENCE, version=task.version)
        assert later.version > task.version
        task = later


async def test_sigterm_parks_what_runs(tmp_path: Path) -> None:
    app = application(tmp_path)
    async with app.opened() as service:
        task = await app.start("spin")
        process = worker(tmp_path)
        await until(service, task.id, message="spinning")
        process.terminate()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        assert "Stopping" in err
        after = await service.get(LOCAL, task.id)
        assert (after.state, after.losses, after.attempt) == (State.QUEUED, 0, 1)


async def test_a_worker_that_is_stuck_makes_way(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    app = application(tmp_path)
    async with app.opened() as service:
        task = await app.start("stick", {"gate": "gate"})
        process = worker(tmp_path, "--concurrency", "1", "--grace", "0")
        ended = await service.wait(LOCAL, task.id, timeout=PATIENCE, until_end=True)
        assert ended.failure is not None
        assert ended.failure.code == "timeout"
        _, err = process.communicate(timeout=60)
        assert process.returncode == Exit.FAILED
        assert "makes way for a fresh one" in err


async def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    app = application(tmp_path)
    async with app.opened() as service:
        task = await app.start("meet", {"gate": "gate"})
        process = worker(tmp_path, "--grace", "600")
        await until(service, task.id, message="waiting")
        process.send_signal(signal.SIGINT)
        wait_for_line(process.stderr, "Stopping; Ctrl-C ends it at once")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == Exit.INTERRUPTED


def test_a_store_that_is_not_there_is_not_made(command: Command, tmp_path: Path) -> None:
    outcome = command("worker", JOBS, "--store", tmp_path / "task.db")
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err.startswith(f"milepost: --store: there is no store at {tmp_path}/task.db. ")
    assert list(tmp_path.iterdir()) == []
