"""How many tasks can run at once, when functions that can't be stopped keep their slots?"""

import asyncio

from milepost.engine.outcome import Outcome


class Slots:
    """`number` slots, of which functions that were left behind keep some until they end.

    They are worn when `worn_at` are kept, by default half of them: whoever can had better begin afresh then.
    """

    def __init__(self, number: int, *, worn_at: int | None = None) -> None:
        self.number = number
        self._worn_at = (number + 1) // 2 if worn_at is None else worn_at
        self._kept: set[asyncio.Future[Outcome]] = set()

    def __str__(self) -> str:
        return f"{self.kept} of {self.number} slots"

    @property
    def kept(self) -> int:
        """How many are kept."""
        return len(self._kept)

    @property
    def are_worn(self) -> bool:
        """Whether too many are kept."""
        return self.kept >= self._worn_at

    def keep(self, left: "asyncio.Future[Outcome]") -> None:
        """A function that could not be stopped keeps its slot until this is done."""
        self._kept.add(left)
        left.add_done_callback(self._free)

    async def freed(self) -> None:
        """Return once one of those that are kept is free."""
        await asyncio.wait(self._kept, return_when=asyncio.FIRST_COMPLETED)

    def _free(self, left: "asyncio.Future[Outcome]") -> None:
        self._kept.discard(left)
        if not left.cancelled():
            left.exception()  # how it ended in the end matters to nobody any more
