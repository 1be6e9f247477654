"""How does an async function run on the worker's own event loop?"""

import asyncio
import traceback

import msgspec

from milepost.engine.channel import Lease
from milepost.engine.context import Context, Place, current
from milepost.engine.outcome import Outcome, Raised, Stopped, of_exception, of_value
from milepost.engine.runners.protocol import Ended
from milepost.engine.task_type import TaskType
from milepost.task import Failure


class LoopRunner:
    """Force is CancelledError at the next await."""

    async def run(self, task_type: TaskType, lease: Lease, place: Place) -> Ended:
        """See Runner."""
        work = asyncio.create_task(_outcome(task_type, lease, place), name=f"task {lease.task.id}")
        lease.on_force = work.cancel
        try:
            return Ended(await work)
        except asyncio.CancelledError:
            if work.cancelled() and lease.stopping is not None:
                return Ended(Stopped(lease.stopping))
            work.cancel()
            raise


async def _outcome(task_type: TaskType, lease: Lease, place: Place) -> Outcome:
    context = Context(lease, place)
    current.set(context)
    try:
        positional, keywords = task_type.arguments(context, lease.input)
    except msgspec.ValidationError as error:
        return Raised(Failure("invalid_input", str(error)), retry=False)
    try:
        return of_value(await task_type.function(*positional, **keywords))
    except asyncio.CancelledError as error:
        if lease.stopping is not None:
            raise
        return of_exception(error, traceback.format_exc())
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        return of_exception(error, traceback.format_exc())
