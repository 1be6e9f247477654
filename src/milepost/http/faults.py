"""What is wrong with a body or a query, and where: from msgspec's words into ours."""

import re
from typing import Final

import msgspec

from milepost.errors import Fault, Invalid, pointer

_PLACED: Final = re.compile(r"(.*) - at `(?:key` in `)?\$([^`]*)`", re.DOTALL)
_FIELD: Final = re.compile(r"Object (?P<fault>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def body_fault(error: msgspec.ValidationError) -> Fault:
    """The fault in a body, with an RFC 6901 pointer to it.

    Beneath a free-form object msgspec does not tell the key; the pointer then stops there.
    """
    steps, detail = _read(error, "field")
    return Fault(detail, pointer=pointer(steps))


def query_fault(error: msgspec.ValidationError) -> Fault:
    """The fault in a query, with the name of the parameter."""
    steps, detail = _read(error, "parameter")
    return Fault(detail, parameter=steps[0] if steps else None)


def field_name(place: str) -> str:
    """What an RFC 6901 pointer leads to, as those write it who do not know pointers: `items[0].data`; "" for all."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:]]
    return "".join(f"[{step}]" if step.isdecimal() else f".{step}" for step in steps).removeprefix(".")


def beneath(place: str, error: Invalid) -> Invalid:
    """The same faults, pointed at from what stands at `place`: for clients whose body is that alone."""
    faults = (msgspec.structs.replace(f, pointer=f.pointer and f.pointer.removeprefix(place)) for f in error.faults)
    return Invalid(*faults)


def sentence(text: str) -> str:
    """A message of a library as a sentence."""
    text = text.replace("`", "")
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _read(error: msgspec.ValidationError, thing: str) -> tuple[list[str], str]:
    """The steps that lead to the fault, and what it is."""
    placed = _PLACED.fullmatch(str(error))
    what, path = placed.groups() if placed else (str(error), "")
    steps = [name or index for name, index in _STEP.findall(path.partition("[...]")[0])]
    field = _FIELD.fullmatch(what)
    if field is None:
        return steps, sentence(what)
    detail = "This is required." if field["fault"].startswith("missing") else f"There is no such {thing} here."
    return [*steps, field["name"]], detail
