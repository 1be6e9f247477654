"""What does a process do that runs one try of one task?

Started as `python -m milepost.engine.runners.child FD PARENT`: it talks on the socket FD to its worker, whose process
is PARENT, and ends when that does.
"""

import asyncio
import ctypes
import itertools
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from milepost.engine.capture import capture_logging
from milepost.engine.channel import Lease
from milepost.engine.flush import Flusher
from milepost.engine.outcome import Outcome, Parked, Raised, StopReason, TaskError
from milepost.engine.relatives import ChildStart
from milepost.engine.runners.loop import LoopRunner
from milepost.engine.runners.thread import ThreadRunner
from milepost.engine.runners.wire import (
    Answer,
    Begin,
    ChildrenOf,
    FileOf,
    FromWorker,
    Over,
    Question,
    ResultOf,
    StartOf,
    Stop,
    Told,
    Wire,
)
from milepost.engine.source import load
from milepost.engine.task_type import TaskType
from milepost.engine.text import keepable
from milepost.lifecycle import Report
from milepost.store.workers import Claimed
from milepost.task import DeliveredFile, Failure, Task


class _Worker:
    """The worker as this process sees it: questions go over the wire, answers wake whoever asked."""

    def __init__(self, wire: Wire[FromWorker]) -> None:
        self.wire = wire
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}

    async def _ask(self, question: Told | Question) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[question.number] = answer
        self.wire.send(question)
        await self.wire.drain()
        return await answer

    async def write(self, _: Lease, report: Report) -> None:
        await self._ask(Told(next(self._numbers), report))

    async def result_of(self, task: Task, id: str) -> bytes:  # noqa: ARG002 - the worker knows which task this is
        """See Relatives."""
        return await self._answer_to(ResultOf(next(self._numbers), id))

    async def start(self, task: Task, wish: ChildStart) -> Task:  # noqa: ARG002
        """See Relatives."""
        return msgspec.json.decode(await self._answer_to(StartOf(next(self._numbers), wish)), type=Task)

    async def children(self, task: Task, ids: Sequence[str]) -> list[Task]:  # noqa: ARG002
        """See Relatives."""
        body = await self._answer_to(ChildrenOf(next(self._numbers), tuple(ids)))
        return msgspec.json.decode(body, type=list[Task])

    async def fetch(self, task: Task, number: int, file: DeliveredFile) -> Path:  # noqa: ARG002
        """See Fetch."""
        return Path(os.fsdecode(await self._answer_to(FileOf(next(self._numbers), number))))

    async def _answer_to(self, question: Question) -> bytes:
        answer = await self._ask(question)
        if answer.body is not None:
            return answer.body
        if answer.parked is not None:
            raise Parked(answer.parked)
        if answer.code is not None:
            raise TaskError(answer.error or "", code=answer.code, retry=answer.retry)
        raise LookupError(answer.error)

    async def listen(self, lease: Lease) -> None:
        """Take in what the worker says; its end is this process's end."""
        while (message := await self.wire.receive()) is not None:
            match message:
                case Answer():
                    asked = self._asked.pop(message.number)
                    if not asked.done():  # else the function stopped waiting
                        asked.set_result(message)
                case Stop(reason=None):
                    lease.carry_on()
                case Stop(reason=StopReason() as reason):  # pragma: no branch - a second Begin does not come
                    lease.stop(reason)
        os._exit(1)  # pragma: no cover - nothing is left that could tell


async def _run(sock: socket.socket) -> None:
    wire = await Wire[FromWorker].over(sock, FromWorker)
    begin = await wire.receive()
    if not isinstance(begin, Begin):
        return
    worker = _Worker(wire)
    flusher = Flusher()
    lease = Lease(
        Claimed(begin.task, begin.input, begin.saved, begin.files),
        on_told=flusher.note,
        write=worker.write,
        relatives=worker,
        fetch=worker.fetch,
    )
    lease.reveal(begin.input, begin.secret)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lease.stop, StopReason.CANCEL)
    background = [asyncio.create_task(worker.listen(lease)), asyncio.create_task(flusher.run())]
    outcome = await _outcome(begin, lease)
    await lease.save()
    wire.send(Over(outcome))
    await wire.drain()
    for task in background:
        task.cancel()
    wire.close()


async def _outcome(begin: Begin, lease: Lease) -> Outcome:
    sys.path[:] = begin.path
    try:
        task_type: TaskType = load(begin.source).__milepost__  # type: ignore[attr-defined]
    except (Exception, SystemExit) as error:
        message = f"{begin.source.name} could not be loaded: {keepable(error)}"
        return Raised(Failure("not_loadable", message), keepable(traceback.format_exc()), retry=False)
    runner = LoopRunner() if task_type.is_async else ThreadRunner()
    return (await runner.run(task_type, lease, begin.place)).outcome


def _die_with(parent: int) -> None:
    """End when the worker ends: on Linux even while the function holds the interpreter."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    else:  # pragma: no cover - there is no other system to test it on
        threading.Thread(target=_watch, args=(parent,), name="parent watch", daemon=True).start()
    if os.getppid() != parent:
        sys.exit("The worker is gone.")


def _watch(parent: int) -> None:  # pragma: no cover - see above
    waiter = threading.Event()
    while os.getppid() == parent:
        waiter.wait(1)
    os._exit(1)


def main() -> None:
    """Run the try that the worker names."""
    _die_with(int(sys.argv[2]))
    sock = socket.socket(fileno=int(sys.argv[1]))
    # What the function starts or forks must not hold this end open when this process has ended.
    sock.set_inheritable(False)
    os.register_at_fork(after_in_child=sock.close)
    capture_logging()
    asyncio.run(_run(sock))


if __name__ == "__main__":
    main()
