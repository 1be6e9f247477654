"""How many requests may be under way at once that take long: those that wait, and those answered by a stream?"""

from collections import Counter

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

    def taken(self, name: str) -> "Place":
        """A place, until it is given back. Raises TooMany."""
        if self.open >= self._most:
            raise TooMany("This server has as many waits and streams open as it may.", retry_after=PAUSE)
        if name and self._taken[name] >= self._each:
            raise TooMany(f"This key has {self._each} waits and streams open, as many as it may.", retry_after=PAUSE)
        self._taken[name] += 1
        self.open += 1
        return Place(self, name)

    def give_back(self, name: str) -> None:
        """Give one back."""
        self.open -= 1
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]


class Place:
    """A place that is taken, also as a context. Small, as there are thousands."""

    __slots__ = ("_name", "_places")

    def __init__(self, places: Places, name: str) -> None:
        self._places: Places | None = places
        self._name = name

    @property
    def is_taken(self) -> bool:
        """Whether it was not given back yet."""
        return self._places is not None

    def give_back(self) -> None:
        """Let somebody else have it."""
        places, self._places = self._places, None
        if places is not None:
            places.give_back(self._name)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.give_back()
