"""How are the processes that are measured started, watched and ended?"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

HERE: Final = Path(__file__).parent
JOBS: Final = HERE / "jobs.py"
PATIENCE: Final = 120.0
"""Seconds after which whatever is waited for counts as failed."""
_LOOK: Final = 0.05
"""Seconds between two looks at whether all tasks have ended."""


@contextlib.asynccontextmanager
async def running(*arguments: object, log: Path, stdin: int = DEVNULL) -> AsyncIterator[Process]:
    """A Python process that is stopped, by SIGTERM, at the end of the block; what it says on stderr goes to `log`."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
    with log.open("a") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *map(str, arguments), stdin=stdin, stdout=PIPE, stderr=stderr, env=variables
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def neighbour(*arguments: object, folder: Path) -> AsyncIterator["Neighbour"]:
    """`neighbours.py` with these arguments, ready to begin."""
    log = folder / "neighbour.log"
    async with running(HERE / "neighbours.py", *arguments, log=log, stdin=PIPE) as process:
        await _line(process, "ready", log)
        yield Neighbour(process, log)


class Neighbour:
    """A process that begins when it is told to."""

    def __init__(self, process: Process, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log

    def begin(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def done(self, *, stop: bool = False) -> Any:
        """What it found, once it is done; with `stop` it is told to be."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if stop:
            self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            said = await self._process.stdout.read()
        if not said:
            raise RuntimeError(self._log.read_text())
        return msgspec.json.decode(said)


@contextlib.asynccontextmanager
async def serving(store: Path, *options: object) -> AsyncIterator[tuple[Process, int]]:
    """`milepost serve` on this store, ready; and its port."""
    log = store.with_name("serve.log")
    where = ("--store", store, "--files-root", store.parent, "--port", 0)
    async with running("-m", "milepost", "serve", JOBS, *where, *options, log=log) as process:
        address = (await _line(process, "  api", log)).split()[1]
        await _line(process, "  try", log)
        yield process, int(address.rpartition(":")[2])


@contextlib.asynccontextmanager
async def bare_serving(answer: bytes, folder: Path) -> AsyncIterator[int]:
    """A server that always gives this answer; its port."""
    file = folder / "answer"
    file.write_bytes(answer)
    log = folder / "bare.log"
    async with running(HERE / "bare_server.py", file, log=log) as process:
        yield int(await _line(process, "", log))


@contextlib.asynccontextmanager
async def idle_serving(folder: Path) -> AsyncIterator[tuple[Process, int]]:
    """A server that answers nothing; and its port."""
    log = folder / "idle.log"
    async with running(HERE / "idle_server.py", log=log) as process:
        yield process, int(await _line(process, "", log))


@contextlib.asynccontextmanager
async def working(store: Path, concurrency: int) -> AsyncIterator[Process]:
    """`milepost worker` on this store."""
    where = ("--store", store, "--files-root", store.parent, "--concurrency", concurrency)
    async with running("-m", "milepost", "worker", JOBS, *where, log=store.with_name("worker.log")) as process:
        yield process


async def bare_store(*arguments: object, folder: Path) -> float:
    """The seconds that `bare_store.py` needs."""
    log = folder / "bare.log"
    async with running(HERE / "bare_store.py", *arguments, log=log) as process:
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    if process.returncode:
        raise RuntimeError(log.read_text())
    return float(said)


async def all_ended(store: Path, count: int, *processes: Process) -> tuple[int, int]:
    """When the first task was claimed and the last one succeeded, in µs; waits until `count` tasks have."""
    connection = apsw.Connection(str(store))
    deadline = time.monotonic() + PATIENCE
    # The largest number tells in one look at an index how many there are; the rest of the table is read but once.
    unfinished = "SELECT (SELECT number FROM tenant) < ? OR EXISTS (SELECT 1 FROM task WHERE finished_at IS NULL)"
    while connection.execute(unfinished, (count,)).fetchall() != [(0,)]:
        if time.monotonic() > deadline or any(process.returncode is not None for process in processes):
            raise RuntimeError(f"The tasks did not end; see the logs in {store.parent}.")
        await asyncio.sleep(_LOOK)
    found = "SELECT min(started_at), max(finished_at), sum(state = 'succeeded') FROM task"
    row: Any = connection.execute(found).fetchone()
    connection.close()
    first, last, succeeded = row
    if succeeded != count:
        raise RuntimeError(f"Only {succeeded} of {count} tasks succeeded.")
    return first, last


def family(pid: int) -> list[int]:
    """A process and all that it has started, and those have started."""
    pids = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            pids += family(int(child))
    return pids


def memory(pids: list[int]) -> float:
    """What these processes take in MB: pages that several share count once, in parts (PSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def resident(pid: int) -> float:
    """What a process has in memory, in MB (RSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"The process {pid} has ended.")


def processor_seconds(pids: list[int]) -> float:
    """Seconds of a processor that these processes have used so far."""
    ticks = 0
    for pid in pids:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def _line(process: Process, beginning: str, log: Path) -> str:
    """The first line that a process prints which begins like this."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stdout:
            if line.decode().startswith(beginning):
                return line.decode()
    raise RuntimeError(f"{beginning!r} never came: {log.read_text()}")
