"""How do a task's secrets stay out of what its function tells, whether it means to tell them or not?

A function that turns them into what `disguise` does not recognise, or returns or saves them, does so knowingly: results
and checkpoints are left alone.
"""

from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

from msgspec.structs import replace

from milepost.disguise import Disguise
from milepost.task import Entry

_kept: "WeakValueDictionary[int, Veil]" = WeakValueDictionary()


def kept() -> "list[Veil]":
    """All that somebody holds in this process, for a task that runs or did a moment ago, and that hide something."""
    return [veil for held in _kept.valuerefs() if (veil := held()) is not None]


class Veil(Disguise):
    """Puts `***` in place of these secrets, whatever they consist of."""

    def __init__(self, secrets: Iterable[Any] = ()) -> None:
        super().__init__(secrets)
        if self:
            _kept[id(self)] = self

    def entry(self, entry: Entry) -> Entry:
        """A log entry without the secrets."""
        return replace(entry, message=self.text(entry.message), fields=self.value(entry.fields))
