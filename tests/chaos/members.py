"""How is one process of the cluster kept running, whatever ends it, and how does one know what ended it?"""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

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
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    env=self._environment,
                )
            if self._over.is_set():
                self.send(signal.SIGKILL)
            await self._accompany(self.process)
            self.ready.clear()
            self.ends.append(End(self.name, await self.process.wait(), self._is_meant))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._over.wait()

    async def _accompany(self, process: asyncio.subprocess.Process) -> None:
        """Return once it says nothing more."""
        self.ready.set()
        assert process.stdout is not None
        while await process.stdout.read(4096):
            pass

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it does not run just now."""
        if self.process is None or self.process.returncode is not None:
            return False
        self._is_meant = self._is_meant or number in (signal.SIGKILL, signal.SIGTERM)
        self.process.send_signal(number)
        return True

    @property
    def worker(self) -> "Target":
        """What to send signals to that are meant for the worker."""
        return self.send

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


Target = Callable[[signal.Signals], bool]
"""Sends a signal to a process; False when it does not run just now."""


class Server(Member):
    """A `milepost serve`; `url` is where it answers while it is `ready`."""

    url = ""

    async def _accompany(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := (await process.stdout.readline()).decode():
            if line.startswith("  api"):
                self.url = line.split()[1]
            if line.startswith("  try"):
                self.ready.set()

    @property
    def worker(self) -> Target:
        """See Member: of a server, the worker that it supervises."""
        return self._send_to_worker

    @property
    def worker_ends(self) -> list[End]:
        """How the workers have ended that it supervised. Which of them were meant to, nobody knows."""
        found = []
        for ending in ENDING.finditer(self.log.read_bytes()):
            name = (ending["signal"] or b"").decode()
            code = -signal.Signals[name] if name else int(ending["code"])
            found.append(End(f"worker of {self.name}", code, was_meant=True))
        return found

    def _send_to_worker(self, number: signal.Signals) -> bool:
        if self.process is None or self.process.returncode is not None:
            return False
        try:
            for child in psutil.Process(self.process.pid).children():
                if "worker" in child.cmdline():
                    child.send_signal(number)
                    return True
        except psutil.Error:
            pass
        return False


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
