"""How does a function run in a process of its own?"""

import asyncio
import contextlib
import os
import signal
import socket
import sys

from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.outcome import Died, Outcome, Parked, Raised, Stopped, StopReason
from milepost.engine.runners.protocol import Ended
from milepost.engine.runners.wire import Answer, Begin, FromProcess, Over, ResultOf, Stop, Told, Wire
from milepost.engine.task_type import TaskType
from milepost.task import Failure


class ProcessRunner:
    """A cancel or timeout sends SIGTERM to the process and what it started; force is SIGKILL."""

    async def run(self, task_type: TaskType, lease: Lease, place: Place) -> Ended:
        """See Runner."""
        if task_type.source is None:
            failure = Failure("no_source", f"A process can't find the function of {task_type.name}.")
            return Ended(Raised(failure, retry=False))
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "milepost.engine.runners.child", str(theirs.fileno()), str(os.getpid())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        wire = Wire[FromProcess](reader, writer, FromProcess)  # type: ignore[arg-type]  # a union is a type here
        lease.on_force = lambda: _signal(process, signal.SIGKILL)
        lease.on_stop = lambda reason: _ask_to_stop(process, wire, reason)
        try:
            wire.send(Begin(task_type.source, lease.task, lease.input, lease.saved, place))
            if lease.stopping is not None:
                wire.send(Stop(lease.stopping))
            outcome = await _converse(wire, lease)
            return Ended(outcome or await _death(process, lease))
        finally:
            wire.close()
            _signal(process, signal.SIGKILL)
            await process.wait()


async def _converse(wire: Wire[FromProcess], lease: Lease) -> Outcome | None:
    """Answer the process until it says how it ended; None when it is gone without a word."""
    while (message := await wire.receive()) is not None:
        match message:
            case Over():
                return message.outcome
            case Told():
                wire.send(await _note(lease, message))
            case ResultOf():
                wire.send(await _result(lease, message))
    return None


async def _note(lease: Lease, told: Told) -> Answer:
    try:
        await lease.write(told.report)
    except Parked:
        return Answer(told.number, stop=True)
    return Answer(told.number)


async def _result(lease: Lease, asked: ResultOf) -> Answer:
    try:
        return Answer(asked.number, await lease.result_of(asked.id))
    except LookupError as error:
        return Answer(asked.number, error=str(error.args[0]))


async def _death(process: asyncio.subprocess.Process, lease: Lease) -> Outcome:
    code = await process.wait()
    if lease.stopping is not None:
        return Stopped(lease.stopping)
    return Died(f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}")


def _ask_to_stop(process: asyncio.subprocess.Process, wire: Wire[FromProcess], reason: StopReason | None) -> None:
    wire.send(Stop(reason))
    if reason in (StopReason.CANCEL, StopReason.TIMEOUT):
        _signal(process, signal.SIGTERM)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the process and whatever it started; it leads a session of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
