"""How is one process of the cluster kept running, whatever ends it, and how does one know what ended it?"""

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import psutil

PAUSE: Final = 0.5
"""Seconds after which a process that ended is started again, as an init would."""


class End(NamedTuple):
    """How a process ended: its exit code, or minus the signal; and whether somebody in this run sent that signal."""

    member: str
    code: int
    was_meant: bool


class Member:
    """A command that is started again whenever it ends, until told otherwise."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self.ends: list[End] = []
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self._command = command
        self._environment = environment
        self._is_meant = False
        self._over = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keep it running from now on."""
        self._keeping = asyncio.create_task(self._keep(), name=self.name)

    async def _keep(self) -> None:
        while not self._over.is_set():
            self._is_meant = False
            await self._run_once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._over.wait()

    async def _run_once(self) -> None:
        # A pipe of one's own: what it has started may hold the other end for longer than it lives.
        ours, theirs = os.pipe()
        with self.log.open("ab") as log, os.fdopen(theirs, "wb") as out:
            self.process = process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=self._environment,
                preexec_fn=_die_with_parent,
            )
        if self._over.is_set():
            self.send(signal.SIGKILL)
        listening = asyncio.create_task(self._listen(ours))
        code = await process.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        self.ready.clear()
        self.ends.append(End(self.name, code, self._is_meant))

    async def _listen(self, descriptor: int) -> None:
        """Take in what it says."""
        lines = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(descriptor, "rb", 0)
        )
        try:
            self._begun()
            async for line in lines:
                self._heard(line.decode())
        finally:
            transport.close()

    def _begun(self) -> None:
        """It runs."""
        self.ready.set()

    def _heard(self, line: str) -> None:
        """It says something."""

    def find(self) -> psutil.Process | None:
        """Its process, while it runs."""
        return None if self.process is None or self.process.returncode is not None else _process(self.process.pid)

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it does not run just now."""
        if self.process is None or self.process.returncode is not None:
            return False
        self._is_meant = self._is_meant or number in (signal.SIGKILL, signal.SIGTERM)
        self.process.send_signal(number)
        return True

    @property
    def worker(self) -> "Target":
        """The worker that it is, or has."""
        return self

    async def stop(self, number: signal.Signals) -> int:
        """End it for good; how it ended."""
        self._over.set()
        self.send(signal.SIGCONT)
        self.send(number)
        if self._keeping is not None:
            await self._keeping
        return self.ends[-1].code if self.ends else 0

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Target(Protocol):
    """A process that things can be done to."""

    def find(self) -> psutil.Process | None:
        """The process itself, while it runs."""
        ...

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it does not run just now."""
        ...


class Server(Member):
    """A `milepost serve`; `url` is where it answers while it is `ready`."""

    url = ""

    def _begun(self) -> None:
        """It has to say where it answers first."""

    def _heard(self, line: str) -> None:
        if line.startswith("  api"):
            self.url = line.split()[1]
        if line.startswith("  try"):
            self.ready.set()

    @property
    def worker(self) -> Target:
        """See Member."""
        return SupervisedWorker(self)

    @property
    def worker_ends(self) -> list[End]:
        """How the workers have ended that it supervised. Which of them were meant to, nobody knows."""
        found = []
        for ending in ENDING.finditer(self.log.read_bytes()):
            name = (ending["signal"] or b"").decode()
            code = -signal.Signals[name] if name else int(ending["code"])
            found.append(End(f"worker of {self.name}", code, was_meant=True))
        return found


class SupervisedWorker:
    """The worker that a server has just now."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def find(self) -> psutil.Process | None:
        """See Target."""
        server = self._server.find()
        with contextlib.suppress(psutil.Error):
            for child in server.children() if server else ():
                if "worker" in child.cmdline():
                    return child
        return None

    def send(self, number: signal.Signals) -> bool:
        """See Target."""
        worker = self.find()
        with contextlib.suppress(psutil.Error):
            if worker is not None:
                worker.send_signal(number)
                return True
        return False


def _die_with_parent() -> None:
    """Whatever ends the tests ends their processes too."""
    pr_set_pdeathsig = 1
    _libc.prctl(pr_set_pdeathsig, signal.SIGKILL)


_libc: Final = ctypes.CDLL(None)


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid)
    return None


ENDING: Final = re.compile(rb'"how": "(?:killed by (?P<signal>\w+)|exit code (?P<code>\d+))"')
"""What a server logs of a worker of its that ended."""


def marked(variable: str, value: str) -> list[int]:
    """The pids of all processes, but this one, that have a variable of this value in their environment."""
    wanted = f"{variable}={value}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it has ended meanwhile
                continue
    return found


async def left_over(variable: str, value: str, *, within: float) -> list[int]:
    """The pids of those that have not ended by themselves within so many seconds."""
    deadline = time.monotonic() + within
    while (found := marked(variable, value)) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return found
