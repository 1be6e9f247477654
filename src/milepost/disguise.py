"""How is a secret recognised in a text, whatever form it takes there?

Looked for are the secret itself and how it looks as JSON, in a URL, to Python's programmers, and in the record; each of
these within another too. Of a secret of several lines each line is looked for that is long enough.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "***"
"""What stands for a secret."""
SHORTEST: Final = 4
"""Characters that a secret has to be looked for: fewer are found in every text."""
SHORTEST_LINE: Final = 8
"""Characters of a line of a secret that is looked for by itself: such as `{` or `EOF` are found in every text."""
MOST: Final = 5_000
"""Texts that are looked for; where there are more, nothing that is text is told."""
MOST_CLOSELY: Final = 500
"""Texts that are looked for in forms within forms as well: these take long to make."""
PIECE: Final = 64
"""Characters by which a text is found; so many that a secret begins with are hidden whatever follows them."""
DEEPEST: Final = 5
"""Groups of exceptions within each other in whose tracebacks, that indent lines, a secret of several is one."""

_PLAIN: Final = re.compile(r"[\w.~-]+", re.ASCII)
"""What looks the same in every form."""
_UNQUOTED: Final = re.compile(r"[ !#-&(-\[\]-~]+")
"""What looks the same in every form but those of a URL."""
_NAME: Final = re.compile(r"[A-Za-z_-]*")
"""What a dictionary's keys are where these are names of what it has, and not themselves secret."""
_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")
_SAFE: Final = ("", "/", "!'()*", ";,/?:@&=+$!'()*#")
"""What is left in a URL as it is: of a part, of a path, and by the two ways that JavaScript has."""


class Disguise:
    """Puts `***` in place of secrets in a text, in time that does not grow with their number."""

    def __init__(self, secrets: Iterable[Any]) -> None:
        texts = set(_texts(secrets))
        self._is_total = len(texts) > MOST
        found = set() if self._is_total else {form for text in texts for form in _forms(text, len(texts))}
        self._texts = found
        self._lengths: dict[str, tuple[int, ...]] = {}
        self._wholes: dict[str, list[str]] = {}
        for form in sorted(found, key=len, reverse=True):  # one may begin another
            self._wholes.setdefault(form[:PIECE], []).append(form)
        lengths: dict[str, set[int]] = {}
        for piece in self._wholes:
            lengths.setdefault(piece[:SHORTEST], set()).add(len(piece))
        self._lengths = {head: tuple(sorted(each, reverse=True)) for head, each in lengths.items()}
        # Passes over nearly everything, and quickly; what it stops at is looked up.
        sets = ("".join(map(re.escape, sorted(set(letters)))) for letters in zip(*lengths, strict=True))
        self._head = re.compile("".join(f"[{letters}]" for letters in sets)) if lengths else None

    def __bool__(self) -> bool:
        return self._is_total or self._head is not None

    def __contains__(self, text: str) -> bool:
        return self._is_total or text in self._texts

    def text(self, text: str) -> str:
        """A text without the secrets."""
        return beginning(text, len(text), [self]) if self else text

    def places(self, text: str, before: int) -> Iterator[tuple[int, int]]:
        """Where secrets begin and end in a text: those that begin before a place in it, wherever they end."""
        if self._is_total:
            yield 0, len(text)
        at = 0
        while self._head is not None and (found := self._head.search(text, at, before + SHORTEST - 1)):
            at = found.start()
            if end := self._end(text, at):
                yield at, end
            at = end or at + 1

    def _end(self, text: str, at: int) -> int:
        """Where the longest secret ends that begins here; 0 where none does."""
        for length in self._lengths.get(text[at : at + SHORTEST], ()):
            wholes = self._wholes.get(text[at : at + length])
            if wholes is not None:
                return at + next((len(whole) for whole in wholes if text.startswith(whole, at)), length)
        return 0

    def value(self, value: Any) -> Any:
        """A JSON value without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        return HIDDEN if _is_number(value) and str(value) in self else value


def beginning(text: str, longest: int, disguises: Iterable[Disguise]) -> str:
    """What becomes of the first so many characters of a text; a secret that only begins there is hidden as well."""
    parts: list[str] = []
    done = 0
    for start, end in sorted(place for each in disguises for place in each.places(text, longest)):
        if start >= done:
            parts += [text[done:start], HIDDEN]
        done = max(done, end)
    return "".join([*parts, text[done:longest]])


def is_name(key: str) -> bool:
    """Whether a dictionary's key is but the name of what it has there."""
    return _NAME.fullmatch(key) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(value: Any) -> Iterator[str]:
    """All that could be recognised of a value, and is long enough."""
    if isinstance(value, str):
        yield from (text for text in (value, value.strip()) if len(text) >= SHORTEST)
        lines = value.splitlines()
        if len(lines) > 1:
            yield from (line for each in lines if len(line := each.strip()) >= SHORTEST_LINE)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from () if is_name(name) else _texts(name)
            yield from _texts(each)
    elif _is_number(value):
        yield from _texts(str(value))
    elif isinstance(value, Iterable):
        for each in value:
            yield from _texts(each)


def _forms(text: str, texts: int) -> Iterator[str]:
    """How a text may look where it is told, as one of so many that are looked for."""
    yield text
    if _PLAIN.fullmatch(text):
        return
    written = {text, *_written(text)}
    if texts <= MOST_CLOSELY:
        written |= {further for each in written for further in _written(each)}
    yield from written
    for safe in _SAFE:
        yield from _escaped(quote(text, safe=safe, errors="replace"))
    yield from _escaped(quote_plus(text, errors="replace"))
    lines = text.splitlines()
    if len(lines) > 1:
        yield from (f"\n{'  ' * depth}| ".join(lines) for depth in range(1, DEEPEST + 1))


def _written(text: str) -> Iterator[str]:
    """How a text looks between the quotes of JSON and of Python, and in the record, where it looks otherwise there."""
    if _UNQUOTED.fullmatch(text):
        return
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield repr("'\"" + text)[4:-1]  # within what has both quotes
    yield ascii(text)[1:-1]
    coded = text.encode("utf-8", "backslashreplace")
    yield repr(coded)[2:-1]
    yield repr(b"'\"" + coded)[5:-1]
    yield coded.decode().replace("\x00", "\\x00")


def _escaped(url: str) -> Iterator[str]:
    yield url
    yield _ESCAPE.sub(lambda found: found[0].lower(), url)
