"""How is a worker kept running in a process of its own, whatever its tasks do to it?"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from milepost.cli.lifeline import LAST_RESORT
from milepost.engine.shortage import is_shortage

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds before a worker that ended is started again; doubled from one that soon ended again to the next."""

STEADY: Final = 30.0
"""Seconds that a worker has to live for its end to count as the first one."""

SILENCE: Final = 15.0
"""Seconds without a beat of its event loop after which a worker is killed, so that its other tasks can go on."""

log = structlog.get_logger(__name__)


class Supervisor:
    """Runs `command`, with the descriptor of its lifeline as last argument, again and again until stopped.

    `grace` is what the worker itself was told, in seconds. `on_end` is called with the pid of each worker that ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        grace: float,
        silence: float = SILENCE,
        on_end: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._command = tuple(command)
        self._grace = grace
        self._silence = silence
        self._on_end = on_end
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the worker that runs now."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep a worker running until `stop`, then wait for its end. Cancelled, it kills the worker.

        Raises OSError where `command` can't be started, unless memory, processes or descriptors are lacking just now.
        """
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                pid, code = await self._run_once()
            except OSError as error:
                if not is_shortage(error):
                    raise
                log.error("The worker can't be started; trying again", why=str(error), in_seconds=pause)
            else:
                if self._on_end is not None:
                    await self._on_end(pid)
                if self._stopping.is_set():
                    break
                pause = FIRST_PAUSE if time.monotonic() - began > STEADY else pause
                log.error("The worker ended; starting another one", how=_ending(code), in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run_once(self) -> tuple[int, int]:
        """The pid and the exit code of one worker; minus the signal that killed it."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            with theirs:
                process = self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    start_new_session=True,  # a Ctrl-C in the terminal is for the server, who passes it on once
                )
            log.info("The worker has started", worker=process.pid)
            if self._stopping.is_set():
                self._signal(signal.SIGTERM)
            return process.pid, await self._ended(process, reader)
        finally:
            self._process = None
            writer.close()

    async def _ended(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> int:
        """The exit code of a worker that ends by itself, or is killed because it fell silent or this was cancelled."""
        listening = asyncio.create_task(self._listen(reader, process.pid))
        try:
            return await process.wait()
        finally:
            listening.cancel()
            self.kill()
            await process.wait()

    async def _listen(self, reader: asyncio.StreamReader, pid: int) -> None:
        """Kill the worker when its event loop falls silent; loading its files may take any time."""
        await reader.read(1)
        try:
            while True:
                async with asyncio.timeout(self._silence):
                    if not await reader.read(4096):
                        return
        except TimeoutError:
            log.error("A task holds the worker's event loop; killing the worker", worker=pid, seconds=self._silence)
            self.kill()

    def stop(self) -> None:
        """Let the worker stop: it has its grace time, and is killed some seconds after that."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._grace + LAST_RESORT, self.kill)

    def kill(self) -> None:
        """End the worker at once, and whatever it started."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
