"""How often has something happened since the log last told of it? What anybody can cause is told of once a minute."""

from milepost.times import MINUTE, Clock, elapsed


class Tally:
    """Counts; `timer` gives µs since some moment, and `pause` µs lie between two times that it is told."""

    def __init__(self, timer: Clock = elapsed, *, pause: int = MINUTE) -> None:
        self._timer = timer
        self._pause = pause
        self._count = 0
        self._told_at: int | None = None

    def add(self) -> None:
        """It has happened once more."""
        self._count += 1

    def due(self) -> int:
        """How often it has happened since this was last asked and told; 0 where that is not to be told yet."""
        now = self._timer()
        if self._told_at is not None and now - self._told_at < self._pause:
            return 0
        self._told_at = now
        count, self._count = self._count, 0
        return count
