"""What must a runner be able to do?

What happens on cancel, pause, timeout and shutdown: every runner sees `channel.stopping` at its checkpoints. What does
not stop there is ended by force, through the hook that the runner set on the lease: 5 s after a cancel or timeout, when
the grace time of a shutdown is over, and at once when the lease is lost. What force can't end is left behind.
"""

import asyncio
from typing import NamedTuple, Protocol

from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.outcome import Outcome
from milepost.engine.task_type import TaskType


class Ended(NamedTuple):
    """How a try ended. `lingering` is there when the function could not be stopped, and done when it is over."""

    outcome: Outcome
    lingering: "asyncio.Future[Outcome] | None" = None


class Runner(Protocol):
    """Runs one try of a function; the worker keeps the lease."""

    async def run(self, task_type: TaskType, lease: Lease, place: Place) -> Ended:
        """Run the function with the lease's input until it ends in any way.

        Never raises for what the function does; OSError where it can't begin, for want of memory or descriptors say.
        Cancelling it ends the function too, as far as that is possible.
        """
        ...
