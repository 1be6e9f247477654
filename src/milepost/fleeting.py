"""Which tasks are not to outlive the service that took their starts, where they have not begun by then?

It remembers them in memory alone: what ends it at once, such as `kill -9`, leaves them to whoever works next.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from milepost import lifecycle
from milepost.lifecycle import Step, has_begun
from milepost.store.protocol import EVERYTHING, Edit, TaskStore
from milepost.task import Task
from milepost.times import Clock

AT_ONCE: Final = 200
"""Tasks that are asked for, or cancelled, at once: others' writes wait no longer than for these."""
FEW: Final = 1000
"""Tasks that are remembered without looking which of them have begun."""


class Fleeting:
    """The ids of a service's tasks that are cancelled at its end, unless they have begun; `few` of them unasked."""

    def __init__(self, store: TaskStore, clock: Clock, *, few: int = FEW) -> None:
        self._store = store
        self._clock = clock
        self._ids: dict[str, None] = {}
        self._few = self._room = few

    def __len__(self) -> int:
        return len(self._ids)

    async def make_room(self) -> None:
        """Forget those that have begun, once there are twice as many as there were left the last time."""
        if len(self._ids) < self._room:
            return
        for some in self._some():
            found = await self._store.get(some, EVERYTHING, now=self._clock())
            for task_id, task in zip(some, found, strict=True):
                if task is None or has_begun(task):
                    self._ids.pop(task_id, None)
        self._room = max(self._few, 2 * len(self._ids))

    def note(self, task_ids: Iterable[str]) -> None:
        """Remember tasks."""
        self._ids |= dict.fromkeys(task_ids)

    async def end(self) -> None:
        """Cancel those that have not begun, and forget all."""
        for some in self._some():
            await self._store.change([Edit(task_id, EVERYTHING, self._drop) for task_id in some], now=self._clock())
        self._ids.clear()

    def _drop(self, task: Task, _: tuple[str, ...]) -> Step:
        return lifecycle.drop(task, now=self._clock())

    def _some(self) -> Iterator[list[str]]:
        ids = list(self._ids)
        return (ids[first : first + AT_ONCE] for first in range(0, len(ids), AT_ONCE))
