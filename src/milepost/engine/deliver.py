"""Who is told that a task has ended, and how often is that tried?

At least once, signed, to the URL that the start named. A try that is not answered with success is followed by others,
further and further apart, until a day after the end. What a process that died had begun is tried again by another.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import ClassVar, Final

from milepost import webhook
from milepost.engine.background import SHORTEST, AttentiveLoop, Sleep
from milepost.engine.outbound import Answer, Outbound, Unanswered
from milepost.files.protocol import FileStore
from milepost.sealing import Sealing, Unsealable
from milepost.signing import Signing
from milepost.store.callbacks import Callback, DueCallback, Tried
from milepost.store.protocol import TaskStore
from milepost.task import Task
from milepost.times import DAY, HOUR, MINUTE, SECOND, Clock

_log = logging.getLogger(__name__)

AT_ONCE: Final = 50
"""Calls that are under way at once in one process."""
OF_A_TENANT: Final = 10
"""How many of these one tenant has at about most: what it has called may take its time, or never answer."""
HELD: Final = MINUTE
"""How long a try keeps others from trying. It is over long before that, unless its process is."""
FIRST_DELAY: Final = 5 * SECOND
LONGEST_DELAY: Final = 6 * HOUR
GROWTH: Final = 3
"""How many times as long as the one before a wait is."""
GIVEN_UP_AFTER: Final = DAY
"""So long after the end the last try is made."""
GONE: Final = 410
"""With this status a receiver says that it wants no more (RFC 9110, 15.5.11)."""

Body = Callable[[Task], bytes]
"""What is told of a record, as JSON."""


class Deliver(AttentiveLoop):
    """Calls the URLs of tasks that have ended. `body` words the record, `jitter` gives numbers in [0, 1).

    `sealing` opens what calls are signed with.
    """

    every: ClassVar[int] = 5 * SECOND

    def __init__(
        self,
        store: TaskStore,
        files: FileStore,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        *,
        outbound: Outbound,
        body: Body,
        sealing: Sealing = Sealing(),  # noqa: B008 - it has no keys, and never changes
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(store, files, clock, sleep)
        self._outbound = outbound
        self._body = body
        self._signing = Signing(store, sealing, clock)
        self._jitter = jitter
        self._under_way: dict[asyncio.Task[None], str] = {}

    async def run(self) -> None:
        """See BackgroundLoop."""
        try:
            await super().run()
        finally:
            await self.close()

    async def close(self) -> None:
        """Break off what is under way: it is tried again, by whoever works then."""
        for trying in self._under_way:
            trying.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def round(self) -> int:
        """See BackgroundLoop."""
        room, busy = AT_ONCE - len(self._under_way), self._busy()
        now = self.clock()
        due = await self.store.callbacks.next_due(but=busy) if room > 0 else None
        if due is not None and due <= now:
            limit = min(room, OF_A_TENANT)
            claimed = await self.store.callbacks.claim(now=now, until=now + HELD, limit=limit, but=busy)
            for each in claimed:
                trying = asyncio.create_task(self._try(each), name=f"callback-{each.callback.id}")
                self._under_way[trying] = each.callback.tenant
                trying.add_done_callback(self._under_way.pop)
            return SHORTEST
        return self.every if due is None else min(self.every, max(SHORTEST, due - now))

    def _busy(self) -> list[str]:
        """The tenants that have enough under way."""
        return [tenant for tenant, calls in Counter(self._under_way.values()).items() if calls >= OF_A_TENANT]

    async def _try(self, due: DueCallback) -> None:
        callback = due.callback
        try:
            tried = await self._tried(due)
            await self.store.callbacks.settle([tried])
        except Exception:
            _log.exception("The callback %s could not be tried; that is done again", callback.id)
            return
        if tried.delivered_at is None:
            level = logging.WARNING if tried.next_try_at is None else logging.INFO
            _log.log(level, "The callback %s was not delivered at try %d: %s", callback.id, tried.attempts, tried.error)

    async def _tried(self, due: DueCallback) -> Tried:
        callback = due.callback
        body = self._body(due.record)
        now = self.clock()
        try:
            keys = await self._signing.keys(callback.tenant)
        except Unsealable as error:  # who has the key may be the next to try
            why = f"What it is signed with can't be opened here: {error}."
            return Tried(callback.id, callback.attempts, None, why, next_try_at=self._next(callback))
        headers = webhook.headers(callback.id, now // SECOND, body, keys)
        try:
            answer = await self._outbound.post(callback.url, body, headers, tenant=callback.tenant)
        except Unanswered as unanswered:
            _log.info("The callback %s was not answered: %s", callback.id, unanswered.seen)
            return Tried(callback.id, callback.attempts, None, str(unanswered), next_try_at=self._next(callback))
        if 200 <= answer.status < 300:
            return Tried(callback.id, callback.attempts, answer.status, delivered_at=self.clock())
        why, again = f"It was answered with status {answer.status}.", self._next(callback, answer)
        return Tried(callback.id, callback.attempts, answer.status, why, next_try_at=again)

    def _next(self, callback: Callback, answer: Answer | None = None) -> int | None:
        """When to try again, in µs since the epoch; None for never."""
        now, last = self.clock(), callback.ended_at + GIVEN_UP_AFTER
        if now >= last or (answer is not None and answer.status == GONE):
            return None
        whole = min(LONGEST_DELAY, FIRST_DELAY * GROWTH ** min(callback.attempts - 1, 20))
        asked = answer.retry_after if answer is not None else None
        delay = max(int(whole * (0.5 + self._jitter() / 2)), asked or 0)
        return min(now + delay, last)
