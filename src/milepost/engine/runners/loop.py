"""How does an async function run on the worker's own event loop?"""

import asyncio
import traceback

import msgspec

from milepost.engine.channel import Lease
from milepost.engine.context import Context, Place, current
from milepost.engine.outcome import Outcome, Raised, of_exception, of_value
from milepost.engine.runners.protocol import Ended
from milepost.engine.task_type import TaskType
from milepost.task import Failure


class LoopRunner:
    """Force is CancelledError at the next await."""

    async def run(self, task_type: TaskType, lease: Lease, place: Place) -> Ended:
        """See Runner."""
        work = asyncio.create_task(_outcome(task_type, lease, place), name=f"task {lease.task.id}")
        lease.hook(on_stop=lambda _: None, on_force=lambda _: work.cancel())
        try:
            await asyncio.wait([work])
        finally:
            work.cancel()  # of interest only when the worker itself is cancelled
        # It counts as cancelled too when it returned just then, without another await.
        return Ended(of_exception(asyncio.CancelledError(), "") if work.cancelled() else work.result())


async def _outcome(task_type: TaskType, lease: Lease, place: Place) -> Outcome:
    context = Context(lease, place)
    current.set(context)
    try:
        positional, keywords = task_type.arguments(context, lease.input)
    except msgspec.ValidationError as error:
        return Raised(Failure("invalid_input", str(error)), retry=False)
    try:
        return of_value(await task_type.function(*positional, **keywords))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # what a function raises, even SystemExit, must not end the worker
        return of_exception(error, traceback.format_exc())
