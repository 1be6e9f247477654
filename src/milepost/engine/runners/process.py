"""How does a function run in a process of its own?"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import Final

import msgspec

from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.outcome import Died, Outcome, Parked, Raised, Stopped, StopReason, TaskError, of_exception
from milepost.engine.runners.guard import Guard
from milepost.engine.runners.protocol import Ended
from milepost.engine.runners.wire import (
    Answer,
    Begin,
    ChildrenOf,
    FileOf,
    FromProcess,
    Over,
    Question,
    ResultOf,
    StartOf,
    Stop,
    Wire,
)
from milepost.engine.source import Source
from milepost.engine.task_type import TaskType
from milepost.store.refusals import NotStorable
from milepost.task import Failure

Process = asyncio.subprocess.Process

EXIT_WITHIN: Final = 5.0
"""Seconds that a process has to exit by itself once its function has ended."""


class ProcessRunner:
    """A cancel or timeout sends SIGTERM to the process and what it started; force is SIGKILL."""

    async def run(self, task_type: TaskType, lease: Lease, place: Place) -> Ended:
        """See Runner."""
        if task_type.source is None:
            failure = Failure("no_source", f"A process can't find the function of {task_type.name}.")
            return Ended(Raised(failure, retry=False))
        ours, theirs = socket.socketpair()
        with theirs, contextlib.closing(await Wire[FromProcess].over(ours, FromProcess)) as wire:
            process = await _start(theirs)
            theirs.close()  # held by the process alone, so that its end shows
            # From before it is told what to run until nothing is left of it.
            async with contextlib.aclosing(Guard(process.pid)):
                death = asyncio.create_task(process.wait())
                # What it started goes with it, and can't keep the other end of the wire open.
                death.add_done_callback(lambda _: _signal_group(process.pid, signal.SIGKILL))
                try:
                    return Ended(await _accompany(process, death, wire, task_type.source, lease, place))
                finally:
                    _signal(process, signal.SIGKILL)
                    await death


async def _accompany(
    process: Process, death: "asyncio.Task[int]", wire: Wire[FromProcess], source: Source, lease: Lease, place: Place
) -> Outcome:
    """Have the process run the function, and stay with it to its end."""
    lease.hook(
        on_stop=lambda reason: _ask_to_stop(process, wire, lease, reason),
        on_force=lambda _: _signal(process, signal.SIGKILL),
    )
    wire.send(Begin(source, sys.path, lease.task, lease.input, lease.saved, place, lease.files, tuple(lease.secret)))
    if lease.stopping is not None:  # since it was claimed
        _ask_to_stop(process, wire, lease, lease.stopping)
    outcome = await _converse(wire, lease)
    if lease.stopping is not StopReason.LEASE_LOST:
        await asyncio.wait([death], timeout=EXIT_WITHIN)
    _signal(process, signal.SIGKILL)
    return outcome or _death(await death)


async def _start(theirs: socket.socket) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "milepost.engine.runners.child", str(theirs.fileno()), str(os.getpid())),
        pass_fds=[theirs.fileno()],
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )


async def _converse(wire: Wire[FromProcess], lease: Lease) -> Outcome | None:
    """Answer the process until it says how it ended, or its lease is lost; None when it is gone without a word."""
    while (message := await wire.receive()) is not None:
        if isinstance(message, Over):
            return message.outcome
        if isinstance(message, Question):
            wire.send(await _answer(lease, message))
            continue
        try:
            await lease.write(message.report)
        except Parked as parked:
            return Stopped(parked.reason)
        except NotStorable as error:
            return of_exception(error, "")
        wire.send(Answer(message.number))
    return None


async def _answer(lease: Lease, asked: Question) -> Answer:
    try:
        return Answer(asked.number, await _found(lease, asked))
    except Parked as parked:
        return Answer(asked.number, parked=parked.reason)
    except TaskError as error:
        return Answer(asked.number, error=error.message, code=error.code, retry=error.retry)
    except Exception as error:
        return Answer(asked.number, error=str(error.args[0]) if error.args else type(error).__name__)


async def _found(lease: Lease, asked: Question) -> bytes:
    match asked:
        case ResultOf(id=task_id):
            return await lease.result_of(task_id)
        case StartOf(wish=wish):
            return msgspec.json.encode(await lease.start(wish))
        case ChildrenOf(ids=ids):
            return msgspec.json.encode(await lease.children(ids))
        case FileOf(file=number):
            return os.fsencode(await lease.fetch(number))


def _death(code: int) -> Died:
    return Died(f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}")


def _ask_to_stop(process: Process, wire: Wire[FromProcess], lease: Lease, reason: StopReason | None) -> None:
    wire.send(Stop(reason))
    if reason in (StopReason.CANCEL, StopReason.TIMEOUT):
        lease.forced = True
        _signal(process, signal.SIGTERM)
    elif reason is StopReason.LEASE_LOST:
        _signal(process, signal.SIGKILL)


def _signal(process: Process, number: signal.Signals) -> None:
    """Signal the process and whatever it started; it leads a session of its own."""
    if process.returncode is None:  # else its number may be somebody else's by now
        _signal_group(process.pid, number)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
