"""Which addresses has a name that somebody else has chosen, and whom does it hold up if nobody answers?

The system's resolver can't be told to stop, so each name is looked up in a thread of its own. How many of these one
tenant may have is bounded, and more so once many are hanging: none can take the places of all.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from ipaddress import ip_address
from typing import Final, TypeAlias

from milepost import own_thread

OF_A_TENANT: Final = 20
"""Lookups that one tenant has under way at most: more than it has calls, so that only those that hang can fill them."""
IN_ALL: Final = 200
"""Lookups that there are at most. From half of that on each tenant has but one: no few of them can take all."""

LookUp = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a host, however long that takes. Raises OSError and UnicodeError."""
_Asked: TypeAlias = tuple[str, str, int]


class Unresolved(Exception):
    """A name could not be looked up; its text says why."""


class Crowded(Unresolved):
    """It was not tried, as too many others hang."""


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a host as the system knows them. Raises OSError and UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Names:
    """Looks up names, for one tenant or another. To be asked from one thread at a time."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._under_way: dict[_Asked, Future[Sequence[str]]] = {}

    async def addresses(self, host: str, port: int, tenant: str) -> Sequence[str]:
        """The addresses of a host. Raises Unresolved, Crowded among it."""
        if _is_address(host):
            return [host]
        asked = (tenant, host, port)
        lookup = self._still_under_way().get(asked)
        if lookup is None:
            self._check_room(tenant)
            lookup = self._under_way[asked] = own_thread.begin(partial(self._look_up, host, port), f"names-{host:.60}")
        try:
            return await asyncio.wrap_future(lookup)
        except (OSError, UnicodeError) as error:
            raise Unresolved(f"{host} could not be resolved: {error}") from error

    def _still_under_way(self) -> dict[_Asked, Future[Sequence[str]]]:
        for asked in [asked for asked, lookup in self._under_way.items() if lookup.done()]:
            del self._under_way[asked]
        return self._under_way

    def _check_room(self, tenant: str) -> None:
        held = Counter(whose for whose, _, _ in self._under_way)
        most = OF_A_TENANT if len(self._under_way) < IN_ALL // 2 else 1
        if held[tenant] >= most or len(self._under_way) >= IN_ALL:
            raise Crowded(f"{held[tenant]} names of {tenant!r} are being looked up, {held.total()} in all")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
