"""What does somebody who writes Python say to start a task, and is all of that possible?

JSON brings values of the right types, or is refused on its way in. Python brings anything: what no record could keep is
refused here, by name, before anything is made.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, get_type_hints

import msgspec
from msgspec.structs import replace

from milepost import times
from milepost.errors import Fault, Invalid
from milepost.service import Wish
from milepost.start import MAX_KEY, Start


def wish(said: Mapping[str, Any]) -> Wish:
    """A start as `Milepost.start` takes it: the fields of `Start`, with `timeout` as text or seconds.

    Raises TypeError for a name that there is not, ValueError for a timeout that is none, and Invalid for a value that
    no record can keep.
    """
    if not isinstance(said, Mapping):
        kind = type(said).__name__
        raise TypeError(f"A start is a mapping of what `start` takes, such as type and input, not {kind}.")
    given = dict(said)
    key = given.pop("idempotency_key", None)
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= MAX_KEY and key.isprintable()):
        raise Invalid(Fault(f"From 1 to {MAX_KEY} printable characters.", "/idempotency_key"))
    timeout = given.pop("timeout", None)
    return Wish(checked(Start(**given, timeout=None if timeout is None else duration("timeout", timeout))), key)


def duration(name: str, value: str | float) -> int:
    """The µs of a duration that an argument has. Raises ValueError, naming the argument."""
    try:
        return times.parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def checked(start: Start) -> Start:
    """The start with its values as the types that a record keeps. Raises Invalid, naming the field."""
    plain: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        value = getattr(start, name)
        if value is not getattr(_UNSAID, name):  # as most are; to check them all costs a third of a start
            plain[name] = _plain(name, value, kind)
    return replace(start, **plain)


def _plain(name: str, value: Any, kind: Any) -> Any:
    """A value as JSON will have it."""
    try:
        if name == "input" and isinstance(value, Mapping):
            value = msgspec.to_builtins(dict(value), str_keys=True)
        plain = msgspec.convert(value, kind)
        msgspec.json.encode(plain)
    except msgspec.ValidationError as error:
        hint = " milepost.times.from_datetime makes one." if isinstance(value, datetime) else ""
        raise Invalid(Fault(f"{str(error).split(' - at ')[0]}.{hint}", f"/{name}")) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(Fault(f"JSON can't say it: {error}.", f"/{name}")) from None
    return plain


_UNSAID: Final = Start(type="")
_KINDS: Final = get_type_hints(Start) | {"input": dict[str, Any]}
