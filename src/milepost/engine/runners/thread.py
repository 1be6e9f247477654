"""How does a plain function run beside the worker's event loop?"""

import asyncio
import contextlib
import contextvars
import errno
import threading

import msgspec

from milepost.engine.channel import Lease
from milepost.engine.context import BlockingContext, Place, current
from milepost.engine.outcome import UNTOLD, Outcome, Raised, Stopped, StopReason, of_caught, of_value
from milepost.engine.runners.protocol import Ended
from milepost.engine.task_type import TaskType
from milepost.engine.text import keepable
from milepost.task import Failure


class ThreadRunner:
    """A thread can't be stopped from outside: force leaves it behind, but a cancel waits for its next checkpoint."""

    async def run(self, task_type: TaskType, lease: Lease, place: Place) -> Ended:
        """See Runner."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Outcome] = loop.create_future()
        left: asyncio.Future[Outcome] = loop.create_future()

        def leave(reason: StopReason) -> None:
            if reason is not StopReason.CANCEL and not left.done():
                left.set_result(Stopped(reason))

        def work() -> None:
            outcome: Outcome = UNTOLD
            try:
                outcome = _outcome(task_type, lease, place, loop)
            finally:  # whatever happens, who waits hears of the end
                with contextlib.suppress(RuntimeError):  # the loop is closed: the worker went without this thread
                    loop.call_soon_threadsafe(ended.set_result, outcome)

        lease.hook(on_stop=lambda _: None, on_force=leave)
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(work,), name=f"task {lease.task.id}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # what Python makes of the system's answer
            raise OSError(errno.EAGAIN, str(error)) from error
        await asyncio.wait([ended, left], return_when=asyncio.FIRST_COMPLETED)
        return Ended(ended.result()) if ended.done() else Ended(left.result(), lingering=ended)


def _outcome(task_type: TaskType, lease: Lease, place: Place, loop: asyncio.AbstractEventLoop) -> Outcome:
    try:
        context = BlockingContext(lease, place, loop)
        current.set(context)
        try:
            positional, keywords = task_type.arguments(context, lease.input)
        except msgspec.ValidationError as error:
            return Raised(Failure("invalid_input", keepable(error)), retry=False)
        return of_value(task_type.function(*positional, **keywords))
    except BaseException as error:  # what a function raises, even SystemExit, must not end its thread in silence
        return of_caught(error, asked=lease.asked)
