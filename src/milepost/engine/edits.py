"""How do the changes of many running tasks share one call to the store?

Tasks that run at the same time tend to end at the same time. What they write in one turn of the event loop is handed
over together: a call to the store costs about as much as the change itself.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from milepost.store.protocol import LeasedEdit, TaskStore
from milepost.store.refusals import LeaseLost
from milepost.task import Task
from milepost.times import Clock


class _Given(NamedTuple):
    """An edit, and where its outcome goes."""

    edit: LeasedEdit
    future: "asyncio.Future[Task | LeaseLost]"


class Edits:
    """Hands edits on to the store, all of one turn in one call."""

    def __init__(self, store: TaskStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._given: list[_Given] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def change(self, edit: LeasedEdit) -> Task | LeaseLost:
        """See TaskStore.change_leased. Raises what the store raises of this edit."""
        loop = asyncio.get_running_loop()
        if not self._given:
            loop.call_soon(self._hand_over)
        future: asyncio.Future[Task | LeaseLost] = loop.create_future()
        self._given.append(_Given(edit, future))
        return await future

    def _hand_over(self) -> None:
        given, self._given = self._given, []
        # Whoever gave an edit may be cancelled; the others still wait for theirs.
        call = asyncio.create_task(self._carry_out(given))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _carry_out(self, given: Sequence[_Given]) -> None:
        try:
            outcomes = await self._store.change_leased([edit for edit, _ in given], now=self._clock())
        except Exception as error:
            if len(given) > 1:  # one of them is to blame, and the call as a whole has changed nothing
                await asyncio.gather(*(self._carry_out([one]) for one in given))
            elif not given[0].future.done():
                given[0].future.set_exception(error)
            return
        for (_, future), outcome in zip(given, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)
