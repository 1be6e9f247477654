"""Real commands in processes of their own, for tests."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from milepost.cli.remote import Remote

JOBS = Path(__file__).with_name("jobs.py")
COMMAND = (sys.executable, "-m", "milepost")
PATIENCE = 60.0
"""Seconds after which a test that waits for a process, or a task, gives up."""


def environment(**more: str) -> dict[str, str]:
    """This process's, without what would change a command's options."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
    return kept | {"COLUMNS": "200"} | more


def milepost(
    *arguments: object, url: str = "", input: bytes | None = None, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    variables = more | ({"MILEPOST_URL": url} if url else {})
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=None if input is None else input.decode(),
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(**variables),
        check=False,
    )


def _measured(arguments: Sequence[object], variables: Mapping[str, str]) -> dict[str, str]:
    """Without coverage for what Ctrl-C interrupts wherever it is: within coverage, a lock would never be let go of.

    `serve` and `worker` hear of it between two turns of their loop. The other commands are measured in this process.
    """
    if arguments and str(arguments[0]) in ("serve", "worker"):
        return dict(variables)
    return {name: value for name, value in variables.items() if not name.startswith("COVERAGE_")}


_started: list["subprocess.Popen[Any]"] = []


def spawn(*arguments: object, env: Mapping[str, str] | None = None, **options: Any) -> "subprocess.Popen[str]":
    """Start a command; its output can be read line by line."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        text=True,
        env=_measured(arguments, env or environment()),
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
    )
    _started.append(process)
    return process


@contextlib.contextmanager
def none_left() -> Iterator[None]:
    """A test that fails leaves what it has started to nobody: tests that count processes would fail as well."""
    before = len(_started)
    yield
    for process in _started[before:]:
        if process.poll() is None:
            process.kill()
            process.wait()
    del _started[before:]


def wait_for_line(stream: IO[str] | None, text: str) -> str:
    """The first line that has `text` in it. Fails when the stream ends before."""
    assert stream is not None
    seen = []
    for line in stream:
        if text in line:
            return line.rstrip("\n")
        seen.append(line)
    raise AssertionError(f"{text!r} never came, but: {''.join(seen)}")


class Server:
    """A `milepost serve` of its own, with store and files root in `folder`."""

    def __init__(
        self,
        folder: Path,
        *options: object,
        port: int = 0,
        files: Sequence[Path] = (JOBS,),
        ca: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.store = folder / "tasks.db"
        self.log = folder / "serve.log"
        where = ("--store", self.store, "--files-root", folder, "--port", port)
        with self.log.open("a") as log:
            self.process = spawn("serve", *files, *where, *options, stderr=log, env=env)
        try:
            addresses = wait_for_line(self.process.stdout, "  api").split()
            self.url = addresses[1]
            self.banner = wait_for_line(self.process.stdout, "  try")
        except AssertionError as error:
            self.process.wait()
            raise AssertionError(f"{error}\n{self.log.read_text()}") from error
        self.remote = Remote(self.url, ca=ca)
        self.port = int(addresses[-1].rpartition(":")[2])

    def start(self, type: str, options: Mapping[str, Any] | None = None, **input: Any) -> str:
        """Start a task; its id."""
        task: dict[str, Any] = self.remote.post(
            "/v1/tasks", dict[str, Any], {"type": type, "input": input, **(options or {})}
        )
        return str(task["id"])

    def get(self, task_id: str) -> dict[str, Any]:
        """A task's record."""
        return self.remote.get(f"/v1/tasks/{task_id}", dict[str, Any])

    def wait(self, task_id: str, *states: str, message: str | None = None) -> dict[str, Any]:
        """The record of a task once it is in one of these states (by default a terminal one), and says `message`."""
        wanted = states or ("succeeded", "failed", "cancelled")
        record = self.get(task_id)
        while record["state"] not in wanted or message not in (None, record["message"]):
            assert record["state"] not in ("succeeded", "failed", "cancelled"), record
            query = {"wait": 20, "version": record["version"]}
            later = self.remote.get(f"/v1/tasks/{task_id}", dict[str, Any], **query)
            assert later["version"] > record["version"], f"nothing happened: {record}"
            record = later
        return record

    def entries(self, task_id: str) -> list[dict[str, Any]]:
        """A task's log."""
        return list(self.remote.get(f"/v1/tasks/{task_id}/logs", dict[str, Any], limit=1000)["entries"])

    def logged(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        lines = self.log.read_text().splitlines()
        return [msgspec.json.decode(line) for line in lines if line.startswith("{")]

    def worker(self) -> int:
        """The pid of its worker."""
        return int([line["worker"] for line in self.logged() if "worker" in line and "started" in line["event"]][-1])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.remote.__exit__()
        return code


class Terminal:
    """A command on a terminal of its own, `columns` wide."""

    def __init__(
        self,
        *arguments: object,
        url: str = "",
        columns: int = 100,
        command: Sequence[str | Path] = COMMAND,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (30, columns))
        variables = _measured(arguments, env or environment()) | {"TERM": "xterm-256color"}
        variables |= {"MILEPOST_URL": url} if url else {}
        variables.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=variables,
            # The terminal's own, so that what is typed there, Ctrl-C above all, reaches it.
            preexec_fn=_take_terminal,
        )
        _started.append(self.process)
        os.close(slave)
        self.screen = ""

    def read_until(self, pattern: str) -> str:
        """What it has printed, once the pattern is in it. Fails when it ends before."""
        while not re.search(pattern, self.screen):
            data = self._read()
            assert data, f"{pattern!r} never came, but: {self.screen}"
        return self.screen

    def _read(self) -> str:
        try:
            data = os.read(self._master, 1 << 16).decode(errors="replace")
        except OSError:  # how Linux tells that the other side is closed
            return ""
        self.screen += data
        return data

    def type(self, keys: str) -> None:
        """Type something."""
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Wait for its end; its exit code. `screen` has all that it printed."""
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(PATIENCE)


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
