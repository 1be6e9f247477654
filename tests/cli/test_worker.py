import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

from milepost.access.principal import LOCAL
from milepost.app import Milepost
from milepost.cli.exits import Exit
from milepost.engine.source import load_file
from milepost.service import Service
from milepost.task import State
from milepost.times import SECOND
from tests.cli.processes import JOBS, environment, milepost, spawn, wait_for_line

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


def test_a_store_that_is_broken_is_told_in_the_log(tmp_path: Path) -> None:
    store = tmp_path / "tasks.db"
    assert milepost("migrate", "--store", store).returncode == 0
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("alter table worker rename to lost")
    outcome = milepost("worker", JOBS, "--store", store)
    assert outcome.returncode == Exit.FAILED
    last = json.loads(outcome.stderr.splitlines()[-1])
    assert last["event"] == "The worker can't go on"
    assert "no such table" in last["exception"]


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
