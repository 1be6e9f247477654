"""How many unfinished tasks may a tenant have?

They are counted by the store, and between two counts added up here, so that what is far from its limit costs nothing.
At the limit, what ends is noticed within a second; what other servers start, within `FRESH`. A tenant may pass its
limit by what was under way at the moment of a count.
"""

from typing import Final, NamedTuple

from milepost.errors import TooMany
from milepost.store.protocol import TaskStore
from milepost.times import SECOND, Clock

FRESH: Final = 10 * SECOND
"""µs that a count holds."""
PAUSE: Final = 5
"""Seconds after which starting again makes sense."""
MANY: Final = 10_000
"""Tenants of which a count is kept."""


class _Counted(NamedTuple):
    tasks: int
    at: int
    since: int
    """Tasks that were admitted here since then."""


class Quota:
    """Up to `most` for each tenant; `timer` gives µs since some moment."""

    def __init__(self, store: TaskStore, most: int, timer: Clock) -> None:
        self._store = store
        self._most = most
        self._timer = timer
        self._known: dict[str, _Counted] = {}

    async def admit(self, tenant: str) -> None:
        """Count one more. Raises TooMany where there is no room for it."""
        now = self._timer()
        known = self._known.get(tenant)
        if known is None or now - known.at >= FRESH or self._is_doubtful(known, now):
            if known is not None:  # others go by the last count meanwhile: to count millions takes a while
                self._known[tenant] = known._replace(at=now)
            (tasks,) = await self._store.unfinished([tenant], most=self._most)
            known = _Counted(tasks, now, 0)
            if len(self._known) >= MANY:
                self._known.clear()
        self._known[tenant] = known
        if known.tasks + known.since >= self._most:
            raise TooMany(
                f"The tenant {tenant!r} has {self._most} unfinished tasks, as many as it may.", retry_after=PAUSE
            )
        self._known[tenant] = known._replace(since=known.since + 1)

    def _is_doubtful(self, known: _Counted, now: int) -> bool:
        """Whether a tenant seems to be at its limit, and was not asked about just now."""
        return known.tasks + known.since >= self._most and now - known.at >= SECOND
