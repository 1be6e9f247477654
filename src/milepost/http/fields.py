"""How do times and durations read on the wire, and how does a dialect bring field types of its own?

A field type is a class with `parse`, which makes the inner value of what JSON or a query brought and raises ValueError
with a sentence for people, and `schema`, which is its JSON Schema. The structs of any dialect may use such classes.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

from milepost import times

NO_NUL: Final[Mapping[str, Any]] = {"pattern": "^[^\\u0000]*$"}
"""For documents: text that can be kept."""

_DIGITS: Final = re.compile("-?[0-9]{1,18}")
_UNITS: Final = ("w", "d", "h", "m", "s", "ms", "us")
_DURATION_TEXT: Final = "".join(f"([0-9]{{1,18}}{unit})?" for unit in _UNITS)


class FieldType(Protocol):
    """What a class must have to be the type of a struct's field."""

    schema: ClassVar[dict[str, Any]]

    @classmethod
    def parse(cls, value: Any) -> Any:
        """The inner value. Raises ValueError."""
        ...


class _Plain(type):
    """Makes plain integers pass as values of the type, so that what `parse` gives needs no unwrapping.

    msgspec checks what was parsed, and would not write a subclass of int.
    """

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, int)


class Integer(int, metaclass=_Plain):
    """The base of field types whose inner value is an integer."""


class Time(Integer):
    """Microseconds since the Unix epoch; RFC 3339 with offset on the wire."""

    schema: ClassVar[dict[str, Any]] = {"type": "string", "format": "date-time"}

    @classmethod
    def parse(cls, value: Any) -> int:
        """See `times.from_rfc3339`."""
        if not isinstance(value, str):
            raise ValueError("expected a time as text, like 2026-04-17T14:30:02Z")
        return times.from_rfc3339(value)


class Whole(Integer):
    """A whole number from `least` to `most`; to JSON, and to other languages, 5.0 is one."""

    least: ClassVar[int] = 0
    most: ClassVar[int] = 2**53
    """Up to this, every reader of JSON keeps a number exact."""
    schema: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": least, "maximum": most}

    def __init_subclass__(cls) -> None:
        cls.schema = {"type": "integer", "minimum": cls.least, "maximum": cls.most}

    @classmethod
    def parse(cls, value: Any) -> int:
        """The number, from JSON or from the text of a query."""
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        is_whole = type(value) is int or (type(value) is float and value.is_integer())
        if not (is_whole and cls.least <= value <= cls.most):
            raise ValueError(f"expected a whole number from {cls.least} to {cls.most}")
        return int(value)


def _seconds(least: float) -> dict[str, Any]:
    return {"type": "number", "minimum": least, "maximum": times.LONGEST_DURATION // times.SECOND}


def _text(something: str) -> dict[str, Any]:
    """Text in which a pattern stands somewhere, as an empty one would else be a duration."""
    return {"type": "string", "pattern": f"^(?=.*{something}){_DURATION_TEXT}$"}


class Duration(Integer):
    """Microseconds; on the wire a number of seconds, or text like `1h30m`."""

    schema: ClassVar[dict[str, Any]] = {"anyOf": [_seconds(0), _text(".")]}

    @classmethod
    def parse(cls, value: Any) -> int:
        """See `times.parse_duration`."""
        if not isinstance(value, str | int | float):
            raise ValueError("expected a number of seconds, or text like 1h30m")
        return times.parse_duration(value)


class Interval(Duration):
    """A duration of at least a second; whoever takes it checks that."""

    schema: ClassVar[dict[str, Any]] = {"anyOf": [_seconds(1), _text("[1-9]")]}


class Timeout(Duration):
    """A duration of more than nothing; whoever takes it checks that."""

    schema: ClassVar[dict[str, Any]] = {"anyOf": [_seconds(1 / times.SECOND), _text("[1-9]")]}


def decode(kind: type[FieldType], value: Any) -> Any:
    """For msgspec: read a value of a field type."""
    return kind.parse(value)


def schema(kind: type[FieldType]) -> dict[str, Any]:
    """For msgspec: the JSON Schema of a field type, as its own, since msgspec adds what it knows of the field."""
    return dict(kind.schema)
