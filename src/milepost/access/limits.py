"""How much may callers take, and tasks say? Each limit is the operator's to set; together they keep one from the rest.

The defaults are there against accidents: no caller with a use for Milepost meets one. A server that strangers reach
wants lower ones.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import replace

_UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_VALUE: Final = re.compile(r"([0-9]{1,18})\s*(|KiB|MiB|GiB|TiB)")
_SETTING: Final = re.compile(r"([a-z_-]+)=(.+)", re.DOTALL)

MIB: Final = 1 << 20
GIB: Final = 1 << 30

Millions = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set. All are whole numbers; sizes are in bytes. Raises ValueError, naming what can't be."""

    body: Annotated[int, Meta(ge=1, le=256 * MIB)] = 1 * MIB
    """Of a JSON body, and of one line of many."""
    depth: Annotated[int, Meta(ge=1, le=100)] = 100
    """How deep JSON may be nested: stores and others that read it bear hardly more."""
    delivery: Annotated[int, Meta(ge=1, le=1 << 40)] = 1 * GIB
    """Of the files of one delivery together."""
    delivery_files: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Files of one delivery."""
    log: Annotated[int, Meta(ge=1, le=1 * GIB)] = 5 * MIB
    """Of a task's log; what is past it is dropped, and counted."""
    log_lines: Millions = 100_000
    """Entries of a task's log."""
    result: Annotated[int, Meta(ge=1, le=256 * MIB)] = 256 * MIB
    """Of the JSON that a task returns; a larger result is a file."""
    result_file: Annotated[int, Meta(ge=1, le=1 << 60)] = 1 << 40
    """Of a file that a task returns."""
    page: Annotated[int, Meta(ge=1, le=1_000)] = 1_000
    """Tasks that are read at once for a list, whatever its client asks for."""
    wait: Annotated[int, Meta(ge=1, le=86_400)] = 86_400
    """Seconds that a request may wait for a task, whatever its client and its dialect ask for."""
    patience: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """Seconds that a client has for the head of a request, for each 64 KiB of its body, and to take as much."""
    open: Millions = 50_000
    """Requests that wait, or are answered by a stream, at once, in each server."""
    open_per_key: Millions = 20_000
    """Of these, how many of one key."""
    unfinished: Millions = 10_000_000
    """Tasks of a tenant that have not ended."""
    keys: Millions = 1_000
    """Valid keys with a grant in a tenant, beyond which none is made over HTTP."""
    requests: Millions = 10_000
    """Of a key, in each server: so many a second, in the long run."""
    burst: Millions = 20_000
    """Requests that it may make at once after it was silent."""
    wrong_keys: Millions = 600
    """From one address, in each server: so many a minute."""

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            try:
                msgspec.convert(getattr(self, name), kind)
            except msgspec.ValidationError:
                least, most = bounds(name)
                given = getattr(self, name)
                raise ValueError(f"{name} is a whole number from {least} to {most}, not {given!r:.60}.") from None


def bounds(name: str) -> tuple[int, int]:
    """The least and the most that a limit can be."""
    meta = _KINDS[name].__metadata__[0]
    return meta.ge, meta.le


def parse(settings: Iterable[str], others: "Limits | None" = None) -> Limits:
    """Limits of texts like `body=2MiB` and `wait=30`; the last one of a name counts. `others`: those not named.

    Raises ValueError, naming the text that says none.
    """
    said: dict[str, Any] = {}
    for text in settings:
        setting = _SETTING.fullmatch(text)
        name = "" if setting is None else setting[1].replace("-", "_")
        if setting is None or name not in _KINDS:
            raise ValueError(f"{text!r:.60} is not NAME=NUMBER with one of the names {', '.join(_KINDS)}.")
        value = _VALUE.fullmatch(setting[2].strip())
        if value is None:
            raise ValueError(f"{text!r:.60}: write a whole number, with KiB, MiB, GiB or TiB where it is a size.")
        said[name] = int(value[1]) * _UNITS[value[2]]
    return replace(others or DEFAULT_LIMITS, **said)


_KINDS: Final[Mapping[str, Any]] = get_type_hints(Limits, include_extras=True)
DEFAULT_LIMITS: Final = Limits()
