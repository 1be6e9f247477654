"""Whether a secret is anywhere in what a whole run wrote: store, write-ahead log, files, logs, answers, processes."""

import base64
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import psutil

from milepost.cli.exits import Exit
from tests.cli.conftest import Command
from tests.cli.processes import Server, milepost

KEY = base64.b64encode(bytes(range(32))).decode()
PLANTED = 'planted-7d1f, here & "there"'
TASKS = f"""
import logging
from milepost import BlockingContext, Context, File, Milepost, Secret

app = Milepost(secret_key={KEY!r})


@app.task(runner="process", retries=1, backoff=0)
def apart(ctx: BlockingContext, *, password: Secret[str]) -> File:
    tell(ctx, password)
    (ctx.folder / "length.txt").write_text(str(len(password)))
    return File(ctx.folder / "length.txt")


@app.task(retries=1, backoff=0)
async def here(ctx: Context, *, password: Secret[str], n: int = 0) -> int:
    tell(ctx, password)
    await ctx.start("apart", {{"password": password}})
    return len(password)


def tell(ctx, password):
    ctx.log(password, of={{"which": [password]}})
    ctx.progress(message=f"with {{password}}")
    logging.getLogger("theirs").warning("using %r", password)
    if ctx.task.attempt == 1:
        raise ValueError(password)
"""


def test_a_secret_is_nowhere_in_what_a_run_writes(tmp_path: Path, command: Command) -> None:
    folder, tasks = tmp_path / "run", tmp_path / "tasks.py"
    folder.mkdir()
    tasks.write_text(TASKS)
    server = Server(folder, "--log-level", "debug", files=(tasks,))
    try:
        given = msgspec.json.encode({"password": PLANTED})
        started = milepost("start", "here", "--input", "-", "--wait", url=server.url, input=given)
        assert started.returncode == 0, started.stderr
        task_id = started.stdout.strip()
        standing = server.start("here", {"runner": "external", "state": "running"}, password=PLANTED)
        delivered = server.remote.post(f"/v1/tasks/{standing}/deliveries", dict[str, Any], {"input": {"n": 1}})
        server.wait(delivered["id"])
        refused = milepost(
            "start", "here", "--input", "-", url=server.url, input=msgspec.json.encode({"password": [PLANTED]})
        )
        assert refused.returncode == Exit.USAGE
        for child in server.remote.get("/v1/tasks", dict[str, Any], type="apart")["tasks"]:
            server.wait(child["id"])
        shown = [
            started.stdout + started.stderr + refused.stdout + refused.stderr,
            str(server.remote.get(f"/v1/tasks/{task_id}", dict[str, Any], include="input,checkpoint,traceback")),
            *(command(verb, task_id, "--url", server.url).out for verb in ("get", "logs", "result")),
            str(server.entries(task_id)),
            *(str(server.remote.get(path, Any)) for path in ("/v1/tasks", "/v1/types", "/openapi.json")),
            *(" ".join(process.cmdline()) for process in _family(server.process.pid)),
        ]
    finally:
        for process in _family(server.process.pid):  # so that the write-ahead log is left as it is
            os.kill(process.pid, signal.SIGKILL)
        server.stop()
    assert "using '***'" in server.log.read_text()
    assert '"password": "***"' in shown[1].replace("'", '"')
    written = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"tasks.db", "tasks.db-wal", "serve.log"} <= {path.name for path in written}
    for secret in (PLANTED, "planted-7d1f", KEY):
        assert [path for path, body in written.items() if secret.encode() in body] == []
        assert [text for text in shown if secret in text] == []


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [*parent.children(recursive=True), parent]


def test_a_start_where_there_is_no_key_is_refused(tmp_path: Path) -> None:
    folder, tasks = tmp_path / "run", tmp_path / "tasks.py"
    folder.mkdir()
    tasks.write_text(TASKS.replace(f"secret_key={KEY!r}", ""))
    server = Server(folder, files=(tasks,))
    try:
        outcome = milepost("start", "here", "password=planted", url=server.url)
        assert outcome.returncode == Exit.USAGE
        assert "MILEPOST_SECRET_KEY" in outcome.stderr
        assert "planted" not in outcome.stderr
    finally:
        assert server.stop() == 0


def test_what_is_no_key_is_told_before_anything_else(tmp_path: Path) -> None:
    for arguments in (("serve", tmp_path / "absent.py"), ("key", "list"), ("webhook", "secret", "acme")):
        outcome = milepost(*arguments, MILEPOST_SECRET_KEY="planted")
        assert (outcome.returncode, outcome.stdout) == (Exit.USAGE, "")
        assert outcome.stderr.startswith("milepost: MILEPOST_SECRET_KEY: a key is 32 random bytes in Base64")
        assert "planted" not in outcome.stderr
