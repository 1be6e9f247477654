"""Who waits for which task to change, or for any change at all?

Everything here happens in one event loop. Its own commits say what they changed, and so does a bell that another
process rings; to wake costs as much as there is to wake, however many wait. Only where a ring was lost, or says
nothing, all tasks that somebody waits for are looked at, a few at a time.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import Final
from weakref import WeakSet

from milepost.store.sqlite.deadlines import Deadlines
from milepost.store.sqlite.transaction import Changed

COALESCE: Final = 0.003
"""Seconds that pass at least between two times that followers are told of others' commits, however often it rings."""
AGAIN: Final = 1.0
"""Seconds until the next query when one has failed."""
AT_ONCE: Final = 500
"""Tasks that are looked at together; others have their turn in between."""
SPARE: Final = 4
"""After a look at all tasks none is begun for so many times as long as it took."""


class _Wait:
    """Somebody who waits. Small, as there are thousands."""

    __slots__ = ("version", "woken")

    def __init__(self, version: int, woken: asyncio.Future[None]) -> None:
        self.version = version
        self.woken = woken


class Watch:
    """Wakes those who wait. `versions` reads how far some tasks are, without those that are gone."""

    def __init__(self, versions: Callable[[Sequence[str]], Mapping[str, int]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._versions = versions
        self._deadlines = Deadlines(self._loop)
        # Nearly every task has one who waits for it: only where there are more they have a dict, which takes its place.
        self._waiting: dict[str, _Wait | dict[_Wait, None]] = {}
        self._followers: WeakSet[asyncio.Event] = WeakSet()
        self._next: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self._is_to_look = False
        self._looking: asyncio.Handle | None = None
        self._look_after = 0.0
        self._closed = False

    async def wait(self, id: str, version: int, timeout: float) -> None:
        """Return once the task is past the version, or gone, or after `timeout` seconds."""
        woken = self._loop.create_future()
        when = self._deadlines.add(woken, timeout)
        waits = _Wait(version, woken)
        self._add(id, waits)
        try:
            # Only after that: what is committed from here on wakes us, what was before is seen now.
            self._wake(id, self._versions([id]).get(id))
            await woken
        finally:
            self._deadlines.remove(woken, when)
            self._remove(id, waits)

    def _add(self, id: str, waits: _Wait) -> None:
        others = self._waiting.setdefault(id, waits)
        if isinstance(others, dict):
            others[waits] = None
        elif others is not waits:
            self._waiting[id] = {others: None, waits: None}

    def _remove(self, id: str, waits: _Wait) -> None:
        others = self._waiting[id]
        if isinstance(others, dict):
            del others[waits]
        if not others or others is waits:
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
        self._wake_all(changed)
        self._wake_followers()

    def heard(self, changed: Changed) -> None:
        """Somebody else has committed this."""
        self._wake_all(changed)
        self._tell_soon()

    def rung(self) -> None:
        """Somebody else has committed something."""
        self._is_to_look = True
        self._tell_soon()

    def close(self) -> None:
        """Let everybody go."""
        self._closed = True
        for handle in (self._next, self._looking):
            if handle is not None:
                handle.cancel()
        for task_id in self._waiting:
            self._wake(task_id, None)
        self._wake_followers()

    def _tell_soon(self) -> None:
        if self._next is None:
            self._next = self._loop.call_at(max(self._loop.time(), self._told_at + COALESCE), self._tell)

    def _tell(self) -> None:
        self._next, self._told_at = None, self._loop.time()
        if self._is_to_look and self._looking is None:
            self._look_later(self._look_after)
        self._wake_followers()

    def _look_later(self, when: float) -> None:
        """Look at all, at once where it is time."""
        if when <= self._loop.time():
            self._begin_to_look()
        else:
            self._looking = self._loop.call_at(when, self._begin_to_look)

    def _begin_to_look(self) -> None:
        self._is_to_look = False
        self._look_on(iter(list(self._waiting)))

    def _look_on(self, left: Iterator[str], took: float = 0.0) -> None:
        self._looking = None
        began = monotonic()
        watched = list(islice(left, AT_ONCE))
        try:
            found = self._versions(watched) if watched else {}
        except Exception:
            # Nobody rings again because of a disk that failed, or a database that was just being recovered.
            self._looking = self._loop.call_later(AGAIN, self._begin_to_look)
            raise
        for task_id in watched:
            if task_id in self._waiting:  # they may have left since
                self._wake(task_id, found.get(task_id))
        now = monotonic()
        took += now - began
        if len(watched) == AT_ONCE:
            self._looking = self._loop.call_soon(self._look_on, left, took)
            return
        self._look_after = self._loop.time() + SPARE * took
        if self._is_to_look:  # it rang meanwhile, and may have meant one that was looked at before
            self._looking = self._loop.call_at(self._look_after, self._begin_to_look)

    def _wake_all(self, changed: Changed) -> None:
        for task_id in changed.keys() & self._waiting.keys():
            self._wake(task_id, changed[task_id])

    def _wake(self, id: str, version: int | None) -> None:
        waiting = self._waiting[id]
        for waits in waiting if isinstance(waiting, dict) else (waiting,):
            if (version is None or version > waits.version) and not waits.woken.done():
                waits.woken.set_result(None)

    def _wake_followers(self) -> None:
        for changed in self._followers:
            changed.set()
