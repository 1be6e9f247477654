"""How do a task's secrets stay out of what its function tells, whether it means to tell them or not?

What is looked for are the secrets themselves, and how they look as JSON, in a URL and to Python's programmers. A
function that turns them into something else, or returns or saves them, does so knowingly: results and checkpoints are
left alone.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus
from weakref import WeakValueDictionary

from msgspec.structs import replace

from milepost.engine.outcome import Died, Outcome, Raised
from milepost.sealing import HIDDEN
from milepost.task import Entry

SHORTEST: Final = 4
"""Characters that a secret has to be looked for: fewer are found in every text."""


_kept: "WeakValueDictionary[int, Veil]" = WeakValueDictionary()


def kept() -> "list[Veil]":
    """All that somebody holds in this process, for a task that runs or did a moment ago, and that hide something."""
    return [veil for held in _kept.valuerefs() if (veil := held()) is not None]


class Veil:
    """Puts `***` in place of these secrets, whatever they consist of."""

    def __init__(self, secrets: Iterable[Any] = ()) -> None:
        found = {form for text in _texts(list(secrets)) if len(text) >= SHORTEST for form in _forms(text)}
        self._hidden = sorted(found, key=len, reverse=True)  # one may have another within
        if found:
            _kept[id(self)] = self

    def __bool__(self) -> bool:
        return bool(self._hidden)

    def text(self, text: str) -> str:
        """A text without the secrets."""
        for hidden in self._hidden:
            text = text.replace(hidden, HIDDEN)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, int | float) and str(value) in self._hidden:
            return HIDDEN
        return value

    def entry(self, entry: Entry) -> Entry:
        """A log entry without the secrets."""
        return replace(entry, message=self.text(entry.message), fields=self.value(entry.fields))

    def outcome(self, outcome: Outcome) -> Outcome:
        """How a try ended, told without the secrets."""
        match outcome:
            case Raised(failure=failure, traceback=traceback):
                said = replace(failure, code=self.text(failure.code), message=self.text(failure.message))
                return replace(outcome, failure=said, traceback=None if traceback is None else self.text(traceback))
            case Died(how=how):
                return replace(outcome, how=self.text(how))
        return outcome


def _texts(value: Any) -> Iterator[str]:
    """All that could be recognised of a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _forms(text: str) -> Iterator[str]:
    """How a text may look where it is told."""
    yield text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield quote(text, safe="", errors="replace")
    yield quote_plus(text, errors="replace")
