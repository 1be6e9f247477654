"""Whether a guard kills a group when its holder has ended, however that goes, and only then."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from milepost.engine.runners import guard
from milepost.engine.runners.guard import Guard
from tests.engine.processes import WITHIN, gone

COMMANDS = pytest.mark.parametrize("command", [guard._SHELL, guard._PYTHON], ids=["shell", "python"])

HOLDER = """
import os, signal, subprocess, sys, threading
from milepost.engine.runners import guard

guard.COMMAND = sys.argv[2:]
leader = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!"], stdout=subprocess.PIPE, start_new_session=True)
member = int(leader.stdout.readline())
leader.wait()  # it need not live on for its group to be found
held = guard.Guard(leader.pid)
fork = 0
if sys.argv[1] == "fork":
    fork = os.fork()
    if not fork:
        signal.pause()
print(member, held._process.pid, fork, flush=True)
match sys.stdin.readline():
    case "exit\\n":
        sys.exit(3)
    case "_exit\\n":
        os._exit(4)
"""


class Held(NamedTuple):
    """A process that holds a guard; the pids of the group's last member, of the guard, and of a fork of the holder."""

    process: asyncio.subprocess.Process
    member: int
    guard: int
    fork: int

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word.encode() + b"\n")


@contextlib.asynccontextmanager
async def holding(command: tuple[str, ...], how: str = "") -> AsyncIterator[Held]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", HOLDER, how, *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield Held(process, *map(int, (await asyncio.wait_for(process.stdout.readline(), WITHIN)).split()))
    finally:
        if process.returncode is None:
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@COMMANDS
@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("_exit", 4), ("kill", -signal.SIGKILL)])
async def test_the_group_ends_with_the_holder(command: tuple[str, ...], how: str, code: int) -> None:
    async with holding(command) as held:
        if how == "kill":
            held.process.kill()
        else:
            held.say(how)
        assert await asyncio.wait_for(held.process.wait(), WITHIN) == code
        await gone(held.member)
        await gone(held.guard)


@COMMANDS
async def test_signals_to_the_holders_group_and_to_the_guard_do_not_end_it(command: tuple[str, ...]) -> None:
    async with holding(command) as held:
        await ignoring(held.guard)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(held.guard, number)
        os.killpg(held.process.pid, signal.SIGKILL)
        await gone(held.member)
        await gone(held.guard)


async def ignoring(pid: int) -> None:
    """Return once a process has come so far as to ignore SIGTERM."""
    async with asyncio.timeout(WITHIN):
        while True:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            ignored = next(line for line in lines if line.startswith("SigIgn:"))
            if int(ignored.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
                return
            await asyncio.sleep(0)


@COMMANDS
async def test_a_fork_of_the_holder_does_not_keep_the_guard_waiting(command: tuple[str, ...]) -> None:
    async with holding(command, "fork") as held:
        held.process.kill()
        await gone(held.member)
        assert psutil.pid_exists(held.fork)
        os.kill(held.fork, signal.SIGKILL)
        await gone(held.fork)


@pytest.fixture
def group() -> "subprocess.Popen[bytes]":
    """The leader of a group, which ends when its input does."""
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True)


@COMMANDS
async def test_a_guard_that_was_closed_kills_nobody(
    command: tuple[str, ...], group: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "COMMAND", command)
    async with contextlib.aclosing(Guard(group.pid)) as closed:
        pid = closed._process.pid
        assert guard._ends == {closed._end}
    await gone(pid)
    assert closed._process.returncode == -signal.SIGKILL
    assert guard._ends == set()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(closed._end)
    group.communicate(timeout=WITHIN)
    assert group.returncode == 0


@COMMANDS
async def test_it_holds_nothing_but_its_pipe(
    command: tuple[str, ...], group: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "COMMAND", command)
    async with contextlib.aclosing(Guard(group.pid)) as held:
        await ignoring(held._process.pid)
        there = Path(f"/proc/{held._process.pid}")
        files = {entry.name: str(entry.readlink()) for entry in (there / "fd").iterdir()}
        assert files.pop("0").startswith("pipe:")
        assert set(files.values()) == {"/dev/null"}
        assert (there / "cwd").readlink() == Path("/")
    group.communicate(timeout=WITHIN)


async def test_a_guard_that_can_not_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "COMMAND", ("/nowhere/sh",))
    before = psutil.Process().num_fds()
    with pytest.raises(FileNotFoundError):
        Guard(os.getpid())
    assert psutil.Process().num_fds() == before
    assert guard._ends == set()
