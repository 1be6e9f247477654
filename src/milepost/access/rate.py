"""How often may somebody ask? Each has a bucket of tokens, which fills as time goes by; a request takes one.

A server counts for itself. Who has not been heard of for as long as a bucket takes to fill has a full one, so that
nothing needs to be kept of them.
"""

from collections import OrderedDict
from math import ceil

from milepost.errors import TooMany
from milepost.times import SECOND, Clock, elapsed


class Buckets:
    """`rate` tokens a second, up to `burst`, for each name; `timer` gives µs since some moment."""

    def __init__(self, rate: int, burst: int, timer: Clock = elapsed) -> None:
        self._rate = rate
        self._burst = burst
        self._timer = timer
        self._kept: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """How many tokens there were, and when; in the order of when."""

    def __len__(self) -> int:
        """Of how many something is kept."""
        return len(self._kept)

    def take(self, name: str) -> None:
        """Take one. Raises TooMany when there is none, with the time until there is."""
        now = self._timer()
        tokens, since = self._kept.get(name, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate / SECOND)
        if tokens < 1:
            wait = ceil((1 - tokens) / self._rate)
            raise TooMany(f"This key may make {self._rate} requests a second; wait a little.", retry_after=wait)
        self._kept[name] = (tokens - 1, now)
        self._kept.move_to_end(name)
        self._forget(now)

    def _forget(self, now: int) -> None:
        """Let go of the oldest ones whose buckets have filled: two at most each time, so that none takes long."""
        for _ in range(2):
            _, since = next(iter(self._kept.values()))
            if (now - since) * self._rate < self._burst * SECOND:
                return
            self._kept.popitem(last=False)
