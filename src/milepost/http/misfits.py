"""Which value in a body is it that JSON does not have, or that readers of JSON disagree on?

The decoder is fast and strict, but it takes the last of two members with one name, and says of text that is none only
at which byte it gave up. So the body is read once more, leniently, for a pointer to what does not fit.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from milepost.errors import Fault, pointer

TWICE: Final = "This is given more than once."
_NOT_UTF8: Final = "This is not UTF-8."
_HALF: Final = "This has half of a surrogate pair, which is no character."
_NO_NUMBER: Final = "There is no such number in JSON."
_TOO_LARGE: Final = "This number is too large."

_COLON_ESCAPED: Final = b"\\u003"
"""How the escape of a colon begins, whose last digit has two cases."""
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


class _Misfit:
    """Stands in for a value that does not fit; `name` is the member that it is about, if it is not the value itself."""

    def __init__(self, detail: str, name: str | None = None) -> None:
        self.detail = detail
        self.name = name


def repeated_member(body: bytes) -> Fault | None:
    """The first member of an object in a body, which is JSON, that has the name of another one. None as a rule.

    Raises UnicodeDecodeError where it is not UTF-8: a decoder passes over what nobody wants without a look.
    """
    if _keeps_all_members(body):
        return None
    found: list[_Misfit] = []

    def members(pairs: list[tuple[str, Any]]) -> Any:
        read = dict(pairs)
        if len(read) == len(pairs):
            return read
        found.append(_twice(pairs))
        return found[-1]

    decoder = json.JSONDecoder(object_pairs_hook=members, parse_int=_integer, strict=False)
    value = decoder.decode(body.decode())
    return next(_faults(value), None) if found else None


def _keeps_all_members(body: bytes) -> bool:
    """Whether the fast decoder surely dropped nothing: each member has a colon, and so many are written again.

    Only a colon that the body has as an escape spoils the count. Where in doubt, False.
    """
    if _COLON_ESCAPED in body:
        return False
    try:
        return body.count(b":") == _encode(_decode(body)).count(b":")
    except ValueError:  # a number or a text that it can't keep, which may stand in a part that nobody wants
        return False


def misfit(body: bytes) -> Fault | None:
    """The first value in a body that a decoder had to refuse for itself, if the rest can be read at all."""
    try:
        value = _lenient.decode(body.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return next(_faults(value), None)


def _twice(pairs: list[tuple[str, Any]]) -> _Misfit:
    seen: set[str] = set()
    return _Misfit(TWICE, next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]


def _integer(text: str) -> int | _Misfit:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        return _Misfit(_TOO_LARGE)


def _number(text: str) -> float | _Misfit:
    number = float(text)
    return number if math.isfinite(number) else _Misfit(_TOO_LARGE)


_lenient: Final = json.JSONDecoder(
    parse_constant=lambda _: _Misfit(_NO_NUMBER), parse_int=_integer, parse_float=_number, strict=False
)


def _faults(value: Any, steps: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """What does not fit, in the order of the body; it is never nested deeper than a body may be."""
    match value:
        case _Misfit(name=None):
            yield Fault(value.detail, pointer(steps))
        case _Misfit(name=str(name)):
            yield Fault(value.detail, pointer((*steps, name)))
        case str() if (detail := _of_text(value)) is not None:
            yield Fault(detail, pointer(steps))
        case dict():
            for name, member in value.items():
                detail = _of_text(name)
                if detail is not None:
                    yield Fault(f"The name of a member here does not fit. {detail}", pointer(steps))
                yield from _faults(member, (*steps, name))
        case list():
            for index, item in enumerate(value):
                yield from _faults(item, (*steps, index))


def _of_text(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # What stands in for bytes and for half of a pair overlap; an escape of those few is taken for a byte.
        return _NOT_UTF8 if "\udc80" <= text[error.start] <= "\udcff" else _HALF
    return None
