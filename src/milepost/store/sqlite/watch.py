"""Who waits for which task to change, or for any change at all?

Everything here happens in one event loop. The loop's own commits say what they changed. A ring from another process
says only that something did: it leads to one query for all tasks that somebody waits for.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final
from weakref import WeakSet

from milepost.store.sqlite.transaction import Changed

COALESCE: Final = 0.003
"""Seconds that pass at least between two queries, however often it rings."""
AGAIN: Final = 1.0
"""Seconds until the next query when one has failed."""


class Watch:
    """Wakes those who wait. `versions` reads how far some tasks are, without those that are gone."""

    def __init__(self, versions: Callable[[Sequence[str]], Mapping[str, int]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._versions = versions
        self._waiting: dict[str, dict[asyncio.Future[None], int]] = {}
        self._followers: WeakSet[asyncio.Event] = WeakSet()
        self._look: asyncio.TimerHandle | None = None
        self._looked_at = 0.0
        self._closed = False

    async def wait(self, id: str, version: int, timeout: float) -> None:
        """Return once the task is past the version, or gone, or after `timeout` seconds."""
        woken = self._loop.create_future()
        self._waiting.setdefault(id, {})[woken] = version
        try:
            # Only after that: what is committed from here on wakes us, what was before is seen now.
            self._wake(id, self._versions([id]).get(id))
            await asyncio.wait([woken], timeout=timeout)
        finally:
            waiting = self._waiting[id]
            del waiting[woken]
            if not waiting:
                del self._waiting[id]

    def changes(self) -> AsyncGenerator[None, None]:
        """Yields soon after every commit from now on; several may yield once."""
        changed = asyncio.Event()
        self._followers.add(changed)
        return self._follow(changed)

    async def _follow(self, changed: asyncio.Event) -> AsyncGenerator[None, None]:
        while True:
            await changed.wait()
            if self._closed:
                return
            changed.clear()
            yield

    def committed(self, changed: Changed) -> None:
        """This loop's store has committed."""
        for task_id in changed.keys() & self._waiting.keys():
            self._wake(task_id, changed[task_id])
        self._wake_followers()

    def rung(self) -> None:
        """Somebody else has committed."""
        if self._look is None:
            self._look = self._loop.call_at(max(self._loop.time(), self._looked_at + COALESCE), self._look_around)

    def close(self) -> None:
        """Let everybody go."""
        self._closed = True
        if self._look is not None:
            self._look.cancel()
        for task_id in self._waiting:
            self._wake(task_id, None)
        self._wake_followers()

    def _look_around(self) -> None:
        self._look, self._looked_at = None, self._loop.time()
        watched = list(self._waiting)
        try:
            found = self._versions(watched) if watched else {}
        except Exception:
            # Nobody rings again because of a disk that failed, or a database that was just being recovered.
            self._look = self._loop.call_later(AGAIN, self._look_around)
            raise
        for task_id in watched:
            self._wake(task_id, found.get(task_id))
        self._wake_followers()

    def _wake(self, id: str, version: int | None) -> None:
        for woken, seen in self._waiting[id].items():
            if (version is None or version > seen) and not woken.done():
                woken.set_result(None)

    def _wake_followers(self) -> None:
        for changed in self._followers:
            changed.set()
