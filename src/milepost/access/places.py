"""How many requests may be under way at once that take long: those that wait, and those answered by a stream?"""

import contextlib
from collections import Counter
from collections.abc import Iterator

from milepost.errors import TooMany

PAUSE = 5
"""Seconds after which asking for a place again makes sense."""


class Places:
    """`each` for one name, `most` in all; "" is nobody in particular."""

    def __init__(self, each: int, most: int) -> None:
        self._each = each
        self._most = most
        self._taken: Counter[str] = Counter()
        self.open = 0
        """How many are taken."""

    @contextlib.contextmanager
    def taken(self, name: str) -> Iterator[None]:
        """A place inside. Raises TooMany."""
        if self.open >= self._most:
            raise TooMany("This server has as many waits and streams open as it may.", retry_after=PAUSE)
        if name and self._taken[name] >= self._each:
            raise TooMany(f"This key has {self._each} waits and streams open, as many as it may.", retry_after=PAUSE)
        self._taken[name] += 1
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]
