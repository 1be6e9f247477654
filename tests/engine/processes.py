"""Real processes, and pipes to talk to them."""

import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

WITHIN: Final = 20.0
"""Seconds after which a wait has failed."""


class Pipe:
    """A named pipe to functions in other processes, which `say` and `hear`; use it in one direction only."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        # Open for both, so that nobody's opening has to wait.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    async def read(self) -> str:
        """The next line that another process says."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._descriptor, readable.set)
        line = b""
        try:
            async with asyncio.timeout(WITHIN):
                while not line.endswith(b"\n"):
                    await readable.wait()
                    readable.clear()
                    with contextlib.suppress(BlockingIOError):
                        line += os.read(self._descriptor, 1)
        finally:
            loop.remove_reader(self._descriptor)
        return line.decode().rstrip("\n")

    def write(self, line: str) -> None:
        """Say a line to whichever process hears it first."""
        os.write(self._descriptor, line.encode() + b"\n")

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._descriptor)


def say(pipe: str, line: str) -> None:
    """Tell a test something."""
    with Path(pipe).open("w") as file:
        file.write(line + "\n")


def hear(pipe: str) -> str:
    """Wait for the next line of a test."""
    line = b""
    with Path(pipe).open("rb", buffering=0) as file:
        while not line.endswith(b"\n"):
            line += file.read(1)
    return line.decode().rstrip("\n")


@contextlib.asynccontextmanager
async def worker_process(store: Path, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, which is killed at the end unless it has ended; `options` are the worker's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.engine.worker_process", str(store), json.dumps(options)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.wait(), WITHIN)


async def suspend(process: asyncio.subprocess.Process, store: Path) -> None:
    """Suspend a process at a moment at which it does not hold the store's gate: all others would have to wait."""
    async with asyncio.timeout(WITHIN):
        while True:
            process.send_signal(signal.SIGSTOP)
            while Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
                await asyncio.sleep(0)
            if _is_free(store):
                return
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0)


def _is_free(store: Path) -> bool:
    """Whether nobody holds the gate for long."""
    for lock in ("turn", "write"):
        with Path(f"{store}-{lock}").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


async def gone(pid: int) -> None:
    """Return when a process has ended, also one that is nobody's child here."""
    await asyncio.wait_for(asyncio.to_thread(_wait_for_end, pid), WITHIN)


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], WITHIN)
        assert ended, f"process {pid} is still there"
    finally:
        os.close(descriptor)
