"""How often may somebody ask? Each has a bucket of tokens, which fills as time goes by; a request takes one.

A server counts for itself. Who has not been heard of for as long as a bucket takes to fill has a full one, so that
nothing needs to be kept of them.
"""

from collections import OrderedDict
from math import ceil
from typing import Final

from milepost.errors import TooMany
from milepost.times import SECOND, Clock, elapsed

MOST: Final = 1 << 16
"""Of how many something is kept, whoever asks: some 20 MB."""


class Buckets:
    """`rate` tokens a second, up to `burst`, for each name; `timer` gives µs since some moment.

    Something is kept of `most` names: one more, and the one that took one longest ago has a full bucket again.
    """

    def __init__(self, rate: float, burst: int, timer: Clock = elapsed, *, most: int = MOST) -> None:
        self._rate = rate
        self._burst = burst
        self._timer = timer
        self._most = most
        self._kept: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """How many tokens there were, and when; in the order of when."""

    def __len__(self) -> int:
        """Of how many something is kept."""
        return len(self._kept)

    def take(self, name: str) -> None:
        """Take one. Raises TooMany when there is none, with the time until there is."""
        wait = self.pause(name)
        if wait:
            raise TooMany(f"This key may make {self._rate} requests a second; wait a little.", retry_after=wait)

    def pause(self, name: str) -> int:
        """Take one, and say 0; or, when there is none, the seconds until there is."""
        now = self._timer()
        tokens, since = self._kept.get(name, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate / SECOND)
        if tokens < 1:
            return ceil((1 - tokens) / self._rate)
        self._kept[name] = (tokens - 1, now)
        self._kept.move_to_end(name)
        self._forget(now)
        return 0

    def _forget(self, now: int) -> None:
        """Let go of the oldest ones whose buckets have filled: two at most each time, so that none takes long."""
        for _ in range(2):
            _, since = next(iter(self._kept.values()))
            if (now - since) * self._rate < self._burst * SECOND and len(self._kept) <= self._most:
                return
            self._kept.popitem(last=False)
