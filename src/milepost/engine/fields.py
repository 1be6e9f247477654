"""What of the fields of a line can be kept? As JSON has them, what it does not know as text, and not without bounds."""

from typing import Any, Final

import msgspec

from milepost.engine.text import keepable

LONGEST_FIELDS: Final = 64 * 1024
"""Bytes of JSON that the fields of one line may have; the longest among them are cut."""
MOST_FIELDS: Final = 100
"""Fields of a line that are kept where they are too long together."""

_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def kept(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as JSON has them, and not so long that one line fills the log."""
    try:
        body = msgspec.json.encode(fields, enc_hook=keepable)
        return _decoder.decode(body) if len(body) <= LONGEST_FIELDS else _cut(fields)
    except (TypeError, ValueError, RecursionError):  # text that is not UTF-8, a structure that contains itself
        return _cut({name: keepable(_Repr(value)) for name, value in fields.items()})


def _cut(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of which each has its share: what is longer is cut as text, and more than `MOST_FIELDS` are counted."""
    share = LONGEST_FIELDS // min(len(fields), MOST_FIELDS)
    known: dict[str, Any] = {}
    for name in list(fields)[:MOST_FIELDS]:
        body = msgspec.json.encode(fields[name], enc_hook=keepable)
        short = len(body) <= share
        value = fields[name]
        text = value if isinstance(value, str) else body.decode()
        known[keepable(name, longest=share)] = msgspec.json.decode(body) if short else keepable(text, longest=share)
    if len(fields) > MOST_FIELDS:
        known["fields_dropped"] = len(fields) - MOST_FIELDS
    return known


class _Repr:
    """A value whose text is the one for programmers."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return repr(self._value)
