"""What can a running task start, and what may it know of other tasks?"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from milepost.engine.outcome import Parked, StopReason, TaskError
from milepost.errors import ParentLost, ParentStopping, ServiceError
from milepost.store.protocol import Scope, TaskStore
from milepost.task import JsonResult, Task
from milepost.times import Clock


class ChildStart(msgspec.Struct, frozen=True):
    """A wish to start a child. `options` are further fields of a start: title, priority, timeout (µs) …"""

    type: str
    input: dict[str, Any] = {}
    key: str | None = None
    """Tells this child from others of its parent; by default what is started does, and with which input."""
    options: dict[str, Any] = {}


StartChild = Callable[[Task, ChildStart], Awaitable[Task]]
"""Starts a child of a task that runs, under its lease. Raises ServiceError."""

ScopeOf = Callable[[Task], Scope]
"""What a task that runs may see: what its owner does, by the roles that it was started with."""


class Relatives(Protocol):
    """The other tasks as one that runs sees them."""

    async def result_of(self, task: Task, id: str) -> bytes:
        """The JSON result of a task that it depends on, or has started.

        Raises LookupError, also where its owner does not see that task (any more): whoever is assigned to a task may
        have named what it depends on.
        """
        ...

    async def start(self, task: Task, wish: ChildStart) -> Task:
        """Start a child of the task; the same wish in a later try is the same child.

        Raises TaskError where it is refused, Parked when the task is to be cancelled or its lease is lost.
        """
        ...

    async def children(self, task: Task, ids: Sequence[str]) -> list[Task]:
        """The records of tasks that it has started. Raises LookupError for any other."""
        ...


class StoredRelatives:
    """See Relatives; for a worker, which sees the store."""

    def __init__(self, store: TaskStore, clock: Clock, start_child: StartChild, scope_of: ScopeOf) -> None:
        self._store = store
        self._clock = clock
        self._start_child = start_child
        self._scope_of = scope_of

    async def result_of(self, task: Task, id: str) -> bytes:
        """See Relatives."""
        if id not in task.depends_on and not await self._is_child(task, id):
            raise LookupError(f"This task neither depends on {id} nor has started it.")
        body = await self._store.result(id, self._scope_of(task), now=self._clock())
        if body is None:
            raise LookupError(f"Task {id} has no JSON result that this one may read.")
        return body

    async def start(self, task: Task, wish: ChildStart) -> Task:
        """See Relatives."""
        try:
            return _bare(await self._start_child(task, wish))
        except ParentLost:
            raise Parked(StopReason.LEASE_LOST) from None
        except ParentStopping:
            raise Parked(StopReason.CANCEL) from None
        except ServiceError as error:
            message = f"A task of type {wish.type} could not be started: {error.detail}"
            raise TaskError(message, code="child_refused", retry=False) from error

    async def children(self, task: Task, ids: Sequence[str]) -> list[Task]:
        """See Relatives."""
        found = await self._store.get(ids, self._scope_of(task), now=self._clock())
        for task_id, child in zip(ids, found, strict=True):
            if child is None or child.parent != task.id:
                raise LookupError(f"This task has not started {task_id}.")
        return [_bare(child) for child in found if child is not None]

    async def _is_child(self, task: Task, id: str) -> bool:
        (found,) = await self._store.get([id], self._scope_of(task), now=self._clock())
        return found is not None and found.parent == task.id


def _bare(task: Task) -> Task:
    """The record without the value of its result, which is asked for apart, and no message to a process need carry."""
    if isinstance(task.result, JsonResult):
        return replace(task, result=JsonResult(task.result.size, None))
    return task
