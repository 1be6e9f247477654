"""Is the server about to stop? What thousands of requests want to hear of, each of which may leave at any time."""

import asyncio
from collections.abc import Callable


class Stopping(asyncio.Event):
    """An event that also calls back: to ask for that, and to ask no more, costs the same however many do."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[Callable[[], None], None] = {}

    def set(self) -> None:
        """See asyncio.Event. Everybody is called who asked for it."""
        super().set()
        for call in list(self._calls):
            call()

    def call(self, back: Callable[[], None]) -> None:
        """Call this once it is set, which may be at once."""
        self._calls[back] = None
        if self.is_set():
            back()

    def leave(self, back: Callable[[], None]) -> None:
        """Do not call this any more."""
        self._calls.pop(back, None)
