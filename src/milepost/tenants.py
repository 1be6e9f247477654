"""Which tenant does a whole number stand for, and which number a tenant?

Each number is looked up once: what the store gave never changes. See `milepost.tenant` for the rule.
"""

from collections.abc import Iterable, MutableMapping
from typing import Final, TypeVar

from milepost.store.protocol import TaskStore
from milepost.tenant import FIRST_GIVEN, own_number

REMEMBERED: Final = 10_000
"""Tenants whose number is remembered."""

K = TypeVar("K")
V = TypeVar("V")


class Tenants:
    """The tenants of a store, by number."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    async def numbers(self, names: Iterable[str]) -> dict[str, int]:
        """The number of each of these tenants that has one: all have that had a task, or whose name is a number."""
        wanted = list(dict.fromkeys(names))
        found = {name: number for name in wanted if (number := own_number(name)) is not None}
        found |= {name: self._numbers[name] for name in wanted if name in self._numbers}
        unknown = [name for name in wanted if name not in found]
        if unknown:
            given = zip(unknown, await self._store.tenant_numbers(unknown), strict=True)
            found |= {name: _remember(self._numbers, name, number) for name, number in given if number is not None}
        return found

    async def numbered(self, number: int) -> str | None:
        """The tenant that a number stands for: below `FIRST_GIVEN` the one of that name, whether or not it was used.

        None for a number that no tenant was given.
        """
        if number < FIRST_GIVEN:
            return str(number)
        if number not in self._names:
            (name,) = await self._store.tenants_numbered([number])
            return None if name is None else _remember(self._names, number, name)
        return self._names[number]


def _remember(known: MutableMapping[K, V], key: K, value: V) -> V:
    """Keep this in mind, in place of all the rest once that is too much: to read it anew costs little."""
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value
    return value
