import contextlib
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import structlog

from milepost import __version__, times
from milepost.app import Milepost
from milepost.cli.exits import Exit
from milepost.cli.remote import Remote
from milepost.cli.server import end_lease
from milepost.engine.outbound import UNREACHED
from milepost.store.workers import WorkerInfo
from tests.cli import processes
from tests.cli.conftest import Command
from tests.cli.foreign import Canned, serving
from tests.cli.planting import Written, receiving
from tests.cli.processes import JOBS, Server, Terminal, environment, spawn, wait_for_line
from tests.cli.test_watch import meeting


@contextlib.contextmanager
def watching(pid: int) -> Iterator[int]:
    """A descriptor that becomes readable when a process, not a child of this one, has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def wait_for_end(descriptor: int) -> None:
    assert select.select([descriptor], [], [], 60)[0], "it lives"


def test_an_end_is_told_to_whom_its_start_names_where_that_is_allowed(tmp_path: Path, command: Command) -> None:
    with serving(Canned(204)) as told, serving(Canned(204)) as other:
        server = Server(tmp_path, "--callback-allow", "127.0.0.1/32", "--callback-allow", "10.0.0.0/8")
        try:
            outcome = command(
                "start", "echo", "text=hi", "--callback", f"{told.url}/ends", "--url", server.url, "--wait"
            )
            assert outcome.code == 0, outcome.err
            assert told.asked.wait(60)
            refused = server.start("echo", {"callback": f"http://[::1]:{other.server_port}/"})
            server.wait(refused)
            while (one := _callback(server, refused))["attempts"] == 0 or one["error"] is None:
                pass
        finally:
            assert server.stop() == 0
        [(method, path, headers)] = told.requests
        assert (method, path, headers["webhook-id"].split("_")[0]) == ("POST", "/ends", outcome.out.strip())
        assert one["error"] == UNREACHED
        assert not other.requests


def test_what_is_told_of_an_end_leads_to_where_clients_find_the_server(tmp_path: Path) -> None:
    public = ("--public-url", "https://example.com/ops/")
    where = ("--store", tmp_path / "x.db", "--port", "0", "--callback-allow", "127.0.0.1", *public)
    written = Written()
    with receiving(written) as receiver:
        process = spawn("serve", JOBS, *where, env=environment())
        own = wait_for_line(process.stdout, "  api").split()[-1]
        body = {"type": "note", "input": {"text": "hi"}, "callback": receiver.url}
        task_id = httpx2.post(f"{own}/v1/tasks", json=body).json()["id"]
        assert receiver.ends.acquire(timeout=60)
        workers = [child.cmdline() for child in psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        process.communicate()
    assert f'"url":"https://example.com/ops/v1/tasks/{task_id}/result"'.encode() in written.bodies["callbacks"]
    assert [words[words.index("--public-url") + 1] for words in workers if "worker" in words] == [public[1]]


def _callback(server: Server, task_id: str) -> dict[str, Any]:
    (one,) = server.remote.get(f"/v1/tasks/{task_id}/callbacks", dict[str, Any])["callbacks"]
    return dict(one)


def test_it_says_what_there_is(tmp_path: Path) -> None:
    process = spawn("serve", JOBS, "--port", "0", "--store", tmp_path / "x.db", env=environment())
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
    finally:
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert lines[0] == f"Milepost {__version__} is ready. Ctrl-C stops it.\n"
    fields = dict(line.strip().split(maxsplit=1) for line in lines[1:])
    first, second = fields["api"].split()
    port = first.rpartition(":")[2]
    assert fields == {
        "api": f"http://127.0.0.1:{port}  http://[::1]:{port}",
        "docs": f"http://127.0.0.1:{port}/docs",
        "speaks": "native, metavault, services, aparavi, cloudcoin, quant",
        "store": f"{tmp_path}/x.db",
        "types": "blob, cling, count, crash, echo, fail, hog, intake, leave, meet, note, nothing, spin, stick",
        "access": "open, no key was made yet: everybody on this machine may do everything",
        "try": f"milepost start blob size=SIZE --watch --url http://127.0.0.1:{port}",
    }
    assert second.startswith("http://[::1]:")
    assert out == ""
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert sorted(events) == [
        "No key is asked for: everybody on this machine may do everything",
        "Stopping; Ctrl-C ends it at once",
        "The worker has started",
    ]


def test_it_says_that_there_is_nothing_to_start(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("from milepost import Milepost\napp = Milepost()\n")
    process = spawn("serve", tmp_path / "bare.py", "--port", "0", "--no-worker", "--store", tmp_path / "x.db")
    try:
        line = wait_for_line(process.stdout, "  types")
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert line.split(maxsplit=1)[1] == "none: no function of these files is under `@app.task`"


def test_both_families_answer(server: Server) -> None:
    for host in ("127.0.0.1", "[::1]", "localhost"):
        with Remote(f"http://{host}:{server.port}") as remote:
            assert remote.get("/readyz", dict[str, Any])["ready"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_ends_waits_and_streams_at_once_and_parks_tasks(own_server: Server, number: signal.Signals) -> None:
    task_id = own_server.start("spin")
    own_server.wait(task_id, "running")
    blocked = own_server.start("echo", {"depends_on": [task_id]})
    ended: list[str] = []

    def wait() -> None:
        with Remote(own_server.url) as remote:
            answer = remote.get(f"/v1/tasks/{blocked}", dict[str, Any], wait=60)
            ended.append(answer["state"])

    def follow() -> None:
        with Remote(own_server.url) as remote, remote.stream(f"/v1/tasks/{blocked}/events") as response:
            following.set()
            for _ in response.iter_raw():
                following.set()
            ended.append("stream")

    following = threading.Event()
    threads = [threading.Thread(target=work) for work in (wait, follow)]
    for thread in threads:
        thread.start()
    assert following.wait(30)
    assert own_server.stop(number) == 0
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == ["blocked", "stream"]
    again = Server(own_server.folder)
    try:
        record = again.wait(task_id, "running")
        assert (record["attempt"], record["losses"]) == (1, 0)
        assert record["counts"]["done"] > 0
    finally:
        assert again.stop() == 0


def test_the_api_answers_until_the_worker_has_ended(tmp_path: Path) -> None:
    server = Server(tmp_path, "--grace", "20")
    told: list[str] = []
    following = threading.Event()

    def follow(task_id: str) -> None:
        with Remote(server.url) as remote, remote.stream(f"/v1/tasks/{task_id}/events") as response:
            for line in response.iter_lines():
                following.set()
                told.append(line)

    try:
        task_id, gate = meeting(server, "gate")
        running = server.get(task_id)
        thread = threading.Thread(target=follow, args=(task_id,))
        thread.start()
        assert following.wait(30)
        server.process.send_signal(signal.SIGTERM)
        with server.log.open() as log:
            follow_until(log.fileno(), b"Stopping")
        ready = httpx2.get(f"{server.url}/readyz")
        assert (ready.status_code, ready.json()["detail"]) == (503, "The server is stopping.")
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
        assert server.get(task_id) == running
        later = server.start("echo", text="after that")
        assert server.get(later)["state"] == "queued"
        gate.write_text("through")
        thread.join(30)
        last = json.loads([line for line in told if line.startswith("data:")][-1].removeprefix("data:"))
        assert (last["state"], last["result"]) == ("succeeded", "through")
    finally:
        assert server.stop() == 0
    again = Server(tmp_path)
    try:
        assert again.wait(later)["result"]["text"] == "after that"
    finally:
        assert again.stop() == 0


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    server = Server(tmp_path, "--grace", "600")
    _, gate = meeting(server, "gate")
    with watching(server.worker()) as worker:
        server.process.send_signal(signal.SIGINT)
        with server.log.open() as log:
            follow_until(log.fileno(), b"Stopping")
        assert server.stop(signal.SIGINT) == Exit.INTERRUPTED
        wait_for_end(worker)
    assert gate.exists()


def follow_until(descriptor: int, text: bytes) -> None:
    """Read a file that grows until `text` is in it."""
    watch = subprocess.Popen(
        ["tail", "-c", "+1", "-f", f"/proc/self/fd/{descriptor}"], stdout=subprocess.PIPE, pass_fds=[descriptor]
    )
    assert watch.stdout is not None
    try:
        for line in watch.stdout:
            if text in line:
                return
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_a_second_ctrl_c_ends_requests_too(tmp_path: Path) -> None:
    server = Server(tmp_path, "--grace", "600", "--no-worker")
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        client.sendall(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        server.process.send_signal(signal.SIGINT)
        with server.log.open() as log:
            follow_until(log.fileno(), b"Stopping")
        server.process.send_signal(signal.SIGTERM)
        assert server.stop(signal.SIGINT) == Exit.INTERRUPTED


async def test_only_the_lease_of_the_worker_that_ended_is_ended(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "tasks.db")
    here = socket.gethostname()
    async with app.opened() as service:
        for name, host, pid in (("a", here, 1), ("b", here, 2), ("c", "elsewhere", 2)):
            await service.store.enlist(WorkerInfo(name, host, pid, 1, ()))
        await end_lease(service, 2)
        assert sorted(worker.id for worker in await service.workers()) == ["a", "c"]
    with structlog.testing.capture_logs() as logs:
        await end_lease(service, 1)
    assert [line["event"] for line in logs] == [
        "The lease of a worker that ended could not be ended; it runs out by itself"
    ]


def test_p2_kill_9_of_the_worker_costs_ten_seconds_at_most(own_server: Server) -> None:
    task_id = own_server.start("spin")
    before = own_server.wait(task_id, "running")
    worker = own_server.worker()
    os.kill(worker, signal.SIGKILL)
    record = own_server.get(task_id)
    while record["losses"] == 0 or record["state"] != "running":
        record = own_server.remote.get(f"/v1/tasks/{task_id}", dict[str, Any], wait=15, version=record["version"])
    [lost] = [entry for entry in own_server.entries(task_id) if entry["message"] == "worker lost"]
    again = [entry for entry in own_server.entries(task_id) if entry["to"] == "running"]
    assert record["attempt"] == before["attempt"] == 1
    assert len(again) == 2
    assert own_server.worker() != worker
    [killed] = [line for line in own_server.logged() if line["event"].startswith("The worker ended")]
    assert killed["how"] == "killed by SIGKILL"
    # Its lease was ended for it, before another worker was thought of.
    assert moment(lost["time"]) <= moment(killed["timestamp"])
    seconds = (moment(again[1]["time"]) - moment(killed["timestamp"])).total_seconds()
    assert seconds < 10
    assert lost["level"] == "warning"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_worker_that_is_stuck_is_followed_by_a_fresh_one(tmp_path: Path) -> None:
    server = Server(tmp_path, "--concurrency", "1", "--grace", "0")
    try:
        stuck = server.start("cling")
        server.wait(stuck, "running")  # types take turns: the other could come first
        neighbour = server.start("echo", text="hi")
        assert server.wait(stuck)["failure"]["code"] == "timeout"
        first = server.worker()
        assert server.wait(neighbour)["losses"] == 0
        assert server.worker() != first
        events = [line["event"] for line in server.logged() if line["level"] == "error"]
        assert [event.partition(";")[0] for event in events] == [
            "1 of 1 slots are taken by tasks that do not stop",
            "The worker ended",
        ]
    finally:
        assert server.stop() == 0


def test_a_task_that_takes_its_worker_down_does_not_take_the_server_down(own_server: Server) -> None:
    crashing, leaving = own_server.start("crash"), own_server.start("leave")
    assert own_server.wait(leaving)["state"] == "failed"
    assert own_server.wait(crashing)["result"] == "survived 1"


def test_a_worker_ends_with_its_server(own_server: Server) -> None:
    task_id = own_server.start("spin")
    own_server.wait(task_id, "running")
    with watching(own_server.worker()) as worker:
        assert own_server.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_for_end(worker)
    again = Server(own_server.folder)
    try:
        assert again.wait(task_id, "running")["losses"] == 0
    finally:
        again.stop()


def test_without_a_worker_tasks_wait_and_time_goes_on(tmp_path: Path) -> None:
    server = Server(tmp_path, "--no-worker", "--no-auth")
    try:
        soon = server.start("echo", {"run_at": "2001-01-01T00:00:00Z"})
        blocked = server.start("echo", {"start_by": in_a_second()})
        assert server.wait(blocked, "failed")["failure"]["code"] == "start_by_passed"
        assert server.get(soon)["state"] == "queued"
        worker = spawn("worker", JOBS, "--store", server.store, env=environment())
        try:
            assert server.wait(soon)["state"] == "succeeded"
        finally:
            worker.terminate()
            worker.communicate(timeout=60)
        assert worker.returncode == 0
    finally:
        assert server.stop() == 0


def in_a_second() -> str:
    return times.to_rfc3339(times.now() + times.SECOND)


def test_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    outcome = processes.milepost("serve", JOBS, "--store", tmp_path / "x.db", "--port", server.port)
    assert (outcome.returncode, outcome.stdout) == (Exit.FAILED, "")
    assert outcome.stderr == (
        f"milepost: --port: {server.port} is in use; does another Milepost run? "
        "Choose another port, or 0 for any free one.\n"
    )


def test_who_is_not_on_this_machine_is_kept_out(command: Command) -> None:
    outcome = command("serve", JOBS, "--host", "0.0.0.0")
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith("milepost: --host: 0.0.0.0 can be reached by others")


def test_a_broken_file_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("app = Milepost(")
    for name in ("serve", "worker"):
        outcome = command(name, tmp_path / "bad.py")
        assert outcome.code == Exit.USAGE
        assert outcome.err == f"milepost: {tmp_path}/bad.py, line 1: '(' was never closed: app = Milepost(\n"


@pytest.mark.parametrize("name", ["serve", "worker"])
def test_stores_that_can_not_be_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but a text that is long enough to be taken for one" * 10)
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("create table t (x)")
    port = ("--port", "0") if name == "serve" else ()
    for store, message in {
        "text.db": f"--store: {tmp_path}/text.db is not a SQLite database.",
        "other.db": f"--store: {tmp_path}/other.db is another program's database.",
    }.items():
        outcome = processes.milepost(name, JOBS, "--store", tmp_path / store, *port)
        assert outcome.returncode == Exit.FAILED
        assert outcome.stderr.startswith(f"milepost: {message}")
        assert outcome.stderr.count("\n") == 1


def test_a_store_can_not_be_made_without_a_folder_for_it(tmp_path: Path) -> None:
    store = tmp_path / "no" / "such" / "folder.db"
    outcome = processes.milepost("serve", JOBS, "--store", store, "--port", "0")
    assert outcome.returncode == Exit.FAILED
    assert outcome.stderr == f"milepost: --store: {store} can't be opened (No such file or directory).\n"


def test_on_a_terminal_logs_are_for_people(tmp_path: Path) -> None:
    terminal = Terminal("serve", JOBS, "--port", "0", "--store", tmp_path / "x.db", "--log-level", "debug", columns=200)
    terminal.read_until("  try")
    terminal.read_until("The worker has started")
    url = next(line.split()[1] for line in terminal.screen.splitlines() if "  api" in line)
    with Remote(url) as remote:
        remote.request("GET", "/readyz")
    terminal.read_until(r"GET /readyz HTTP/1.1.*200")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert "Stopping; Ctrl-C ends it at once" in terminal.screen
    assert '{"' not in terminal.screen


def test_a_file_with_no_types_can_still_be_served(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("from milepost import Milepost\n\napp = Milepost('empty.db')\n")
    process = spawn("serve", tmp_path / "empty.py", "--port", "0", env=environment(), cwd=tmp_path)
    line = wait_for_line(process.stdout, "  store")
    assert line == f"  store   {tmp_path}/empty.db"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_variables_say_it_too(tmp_path: Path) -> None:
    variables = {
        "MILEPOST_STORE": f"sqlite:///{tmp_path}/v.db",
        "MILEPOST_PORT": "0",
        "MILEPOST_HOST": "127.0.0.1",
        "MILEPOST_FILES": f"{tmp_path}/results",
        "MILEPOST_FILES_ROOT": str(tmp_path),
        "MILEPOST_CONCURRENCY": "1",
        "MILEPOST_NO_AUTH": "1",
        "MILEPOST_GRACE": "1.5",
        "MILEPOST_LOG_LEVEL": "error",
    }
    process = spawn("serve", JOBS, env=environment(**variables))
    try:
        line = wait_for_line(process.stdout, "  api")
        assert line.count("http://") == 1
        assert wait_for_line(process.stdout, "  store") == f"  store   {tmp_path}/v.db"
        assert "by --no-auth" in wait_for_line(process.stdout, "  access")
        with Remote(line.split()[1]) as remote:
            task = remote.post("/v1/tasks", dict[str, Any], {"type": "blob", "input": {"size": 10}})
            remote.get(f"/v1/tasks/{task['id']}", dict[str, Any], wait=30)
        assert list((tmp_path / "results").iterdir())
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_requests_that_do_not_end_are_cut_off_at_the_end_of_the_grace_time(tmp_path: Path) -> None:
    server = Server(tmp_path, "--grace", "1")
    task_id = server.start("blob", size=50_000_000)
    server.wait(task_id)
    with httpx2.Client() as client, client.stream("GET", f"{server.url}/v1/tasks/{task_id}/result") as response:
        pieces = response.iter_raw()
        next(pieces)
        assert server.stop() == 0
        with pytest.raises(httpx2.TransportError):
            list(pieces)
