"""What does a queued task say that it waits for, besides its turn?

Its message says so while nothing can take it: its type is paused, no worker that is alive offers it, or none has the
key to its secrets. Whatever the task itself said before makes room for that.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from milepost import lifecycle
from milepost.lifecycle import Step
from milepost.task import State, Task
from milepost.times import SECOND

PAUSED: Final = "Tasks of this type are paused."
UNOFFERED: Final = "No worker that is alive offers this type of task."
NOTICES: Final = (PAUSED, UNOFFERED)
"""What holds for a type as a whole."""
UNOPENED: Final = "It waits for a worker that has the key to its secrets."
PATIENCE: Final = 5 * SECOND
"""How long a task has been due, in µs, until it says so: a worker that has the key would have taken it."""


def due(type: str, *, paused: Collection[str], offered: Collection[str]) -> str | None:
    """What the queued tasks of a type have to say, if anything. A pause is somebody's will, and comes first."""
    if type in paused:
        return PAUSED
    return None if type in offered else UNOFFERED


def note(task: Task, notice: str | None, *, now: int) -> Step | None:
    """The change by which a task says this, or nothing of the kind any more; None where there is nothing to change."""
    said = task.message if task.message in NOTICES else None
    if task.state is not State.QUEUED or said == notice:
        return None
    return lifecycle.relabel(task, now=now, message=notice)


def note_unopened(task: Task, *, now: int) -> Step | None:
    """The change by which a queued task says that a worker which offers its type can't open it; None where it does."""
    return None if task.message == UNOPENED else lifecycle.relabel(task, now=now, message=UNOPENED)


def taken_down(task: Task) -> Task:
    """The record as a worker takes it."""
    return replace(task, message=None) if task.message in (*NOTICES, UNOPENED) else task
