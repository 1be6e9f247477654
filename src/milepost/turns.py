"""Whose turn is it, when more tasks wait than can run?

Higher priority goes first, whoever has to wait for that. Among equals the types take turns, and within a type the
tenants, so that nobody's backlog delays anybody else's task by more than about a turn; of one tenant the one goes first
that was due first. Everything here is pure: a store says what waits, one after the other and no more of it than it is
asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

REMEMBERED: Final = 10_000
"""Levels whose last tenant is remembered at most: what was there longest without a turn is forgotten."""


class Waiting(NamedTuple):
    """A task that could be claimed, due since then (µs); `row` is whatever its store finds it by."""

    priority: int
    tenant: str
    row: int
    due: int


class Line(NamedTuple):
    """What waits of a type: the priority of the first, and all of it in the order in which to take it."""

    priority: int
    tasks: Iterator[Waiting]


class Turns:
    """Remembers who had the last turns.

    Each process remembers for itself, and begins anew when it starts: several of them are still fair together, as
    each is by itself.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._number = 0
        self._of_type: dict[str, int] = {}
        self._of_tenant: dict[tuple[str, int], str] = {}

    def last(self, type: str, priority: int) -> str:
        """The tenant that had the last turn on a level of a type: the round goes on after it; "" at first."""
        return self._of_tenant.get((type, priority), "")

    def between_types(self, lines: Mapping[str, Line]) -> Iterator[tuple[str, Waiting]]:
        """The tasks of some types in the order in which to take them.

        No line is asked for a task before its turn, and for the next only once the one before has been taken.
        """
        priorities = {name: line.priority for name, line in lines.items()}
        ahead: dict[str, Waiting] = {}
        while priorities:
            name = min(priorities, key=lambda name: (-priorities[name], self._of_type.get(name, 0)))
            tasks = lines[name].tasks
            waiting = ahead.get(name) or next(tasks)
            self._note(name, waiting)
            yield name, waiting
            following = next(tasks, None)
            if following is None:
                del priorities[name]
            else:
                ahead[name] = following
                priorities[name] = following.priority

    def _note(self, name: str, waiting: Waiting) -> None:
        self._number += 1
        self._of_type[name] = self._number
        level = (name, waiting.priority)
        self._of_tenant.pop(level, None)  # so that it moves to the end
        self._of_tenant[level] = waiting.tenant
        if len(self._of_tenant) > self._remembered:
            del self._of_tenant[next(iter(self._of_tenant))]


def between_tenants(lanes: Iterable[Iterator[Waiting]]) -> Iterator[Waiting]:
    """One task of each lane in turn, until all are at their end. No lane is asked for before its first turn."""
    going: list[Iterator[Waiting]] = []
    for lane in lanes:
        if (first := next(lane, None)) is not None:
            going.append(lane)
            yield first
    while going:
        still: list[Iterator[Waiting]] = []
        for lane in going:
            if (waiting := next(lane, None)) is not None:
                still.append(lane)
                yield waiting
        going = still
