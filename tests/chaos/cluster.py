"""Which processes does a run consist of? Two servers and three workers, on one SQLite file on a small disk.

One worker is supervised by the first server; the second server has none; two workers stand alone.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.chaos.clock import INTERPRETER, MachineClock
from tests.chaos.disk import SmallDisk
from tests.chaos.members import End, Member, Server, left_over
from tests.cli.processes import environment

ROOT: Final = Path(__file__).parents[2]
JOBS: Final = Path(__file__).with_name("jobs.py")
MARK: Final = "CHAOS_RUN"
"""The environment variable that all processes of a run have, whoever started them."""
START_WITHIN: Final = 60.0
END_WITHIN: Final = 30.0
"""Seconds in which what the cluster started has to end when its parents are gone: more than a worker's grace and
last resort."""
CONCURRENCY: Final = 4
GRACE: Final = 3


class Cluster:
    """The processes of a run, which keeps its files in `folder`; they run while it is entered."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self.traces = folder / "traces"
        self.traces.mkdir()
        self.clock = MachineClock(folder / "clock")
        self.disk = SmallDisk(folder / "disk", megabytes)
        self.store = self.disk.path / "tasks.db"
        self._folder = folder
        self._mark = secrets.token_hex(8)
        self.servers = (self._server("server"), self._server("front", "--no-worker"))
        self.workers = (self._worker("worker-1"), self._worker("worker-2"))
        self.members: tuple[Member, ...] = (*self.servers, *self.workers)
        self.orphans: list[int] = []

    def _server(self, name: str, *options: str) -> Server:
        options = ("--port", "0", *options)
        return Server(name, self._command("serve", *options), self._folder / f"{name}.log", self._environment())

    def _worker(self, name: str) -> Member:
        return Member(name, self._command("worker"), self._folder / f"{name}.log", self._environment())

    def _command(self, command: str, *options: str) -> list[str]:
        store = ("--store", str(self.store), "--files-root", str(self._folder))
        limits = ("--concurrency", str(CONCURRENCY), "--grace", str(GRACE))
        return [sys.executable, "-m", "milepost", command, str(JOBS), *store, *limits, *options]

    def _environment(self) -> dict[str, str]:
        variables = environment(
            CHAOS_CLOCK=str(self.clock.path),
            CHAOS_TRACES=str(self.traces),
            PYTHONPATH=f"{INTERPRETER}{os.pathsep}{ROOT}",
            **{MARK: self._mark},
        )
        # Their coverage is not measured: whoever is killed while writing it down leaves a file that can't be read.
        return {name: value for name, value in variables.items() if not name.startswith("COVERAGE_")}

    async def __aenter__(self) -> Self:
        self.disk.__enter__()
        try:
            # Both servers make the store if it is not there, at the same time; a worker needs one.
            await self._start(*self.servers)
            await self._start(*self.workers)
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    @staticmethod
    async def _start(*members: Member) -> None:
        for member in members:
            member.start()
        try:
            async with asyncio.timeout(START_WITHIN):
                await asyncio.gather(*(member.ready.wait() for member in members))
        except TimeoutError as error:
            said = "\n".join(f"{member.name}: {member.tail()}" for member in members)
            raise AssertionError(f"Not all of these could be started within {START_WITHIN:.0f} s.\n{said}") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.kill()
        finally:
            self.disk.__exit__(None, None, None)
            self.clock.close()

    async def kill(self) -> None:
        """Kill every process that was started here. What those have started has to go by itself, and soon."""
        await asyncio.gather(*(member.stop(signal.SIGKILL) for member in self.members))
        left = await left_over(MARK, self._mark, within=END_WITHIN)
        self.orphans += left
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not await left_over(MARK, self._mark, within=END_WITHIN)

    async def last_server(self) -> Server:
        """A fresh server without a worker, on what the others have left."""
        server = self._server("last", "--no-worker")
        self.members = (server,)
        await self._start(server)
        return server

    @property
    def ends(self) -> list[End]:
        """How processes have ended so far."""
        found = [end for member in (*self.servers, *self.workers) for end in member.ends]
        return found + [end for server in self.servers for end in server.worker_ends]
