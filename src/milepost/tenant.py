"""By which whole number is a tenant known where a contract has integers for tenants?

A tenant whose name is such a number has just that one, whether or not it was ever used. Every other is given one by
the store with its first task, from `FIRST_GIVEN` on, and keeps it for ever.
"""

import re
from typing import Final

FIRST_GIVEN: Final = 2_000_000_000
"""Numbers of names begin here; a name that is a number from here on is a name like any other."""

_CANONICAL: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def own_number(name: str) -> int | None:
    """The number that a tenant's name is: without sign or leading zeros, below `FIRST_GIVEN`. None for other names."""
    number = int(name) if _CANONICAL.fullmatch(name) else FIRST_GIVEN
    return number if number < FIRST_GIVEN else None
