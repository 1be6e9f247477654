"""How do the tests of a dialect bring a task into each state, and give it each kind of result?"""

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.task import Failure, State, Task
from milepost.times import HOUR
from tests.http.conftest import Tasks


async def in_state(tasks: Tasks, state: State) -> Task:
    """A task that stands there: one that failed with `It is broken.`, one that waits for a client or for its hour."""
    service = tasks.service
    match state:
        case State.SCHEDULED:
            return await tasks.start(run_at=service.clock() + HOUR)
        case State.BLOCKED:
            return await tasks.start(held=True)
        case State.QUEUED:
            return await tasks.start()
        case State.RUNNING:
            return await tasks.running()
        case State.PAUSED:
            return await service.pause(LOCAL, (await tasks.start()).id)
        case State.SUCCEEDED:
            return await tasks.succeeded()
        case State.FAILED:
            return await tasks.apply(await tasks.running(), lifecycle.fail, failure=Failure("broken", "It is broken."))
        case State.CANCELLED:
            return await service.cancel(LOCAL, (await tasks.start()).id)
