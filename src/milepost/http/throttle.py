"""Does a caller take more than its share of a server? Asked at each request, and before it takes a place for long.

What a key may do is counted by the key; whoever is known in another way is known by name. Nobody in particular, at what
is public, is counted in all only.
"""

from typing import Final

from milepost.access.keyring import key_id
from milepost.access.limits import Limits
from milepost.access.places import Place, Places
from milepost.access.principal import ANONYMOUS, Principal
from milepost.access.rate import Buckets
from milepost.access.wrong_keys import WrongKeys
from milepost.times import Clock, elapsed

NOBODY: Final = ""


class Throttle:
    """The share of each caller of one server; `timer` gives µs since some moment."""

    def __init__(self, limits: Limits, timer: Clock = elapsed) -> None:
        self._buckets = Buckets(limits.requests, limits.burst, timer)
        self._places = Places(limits.open_per_key, limits.open)
        self._wrong_keys = WrongKeys(limits.wrong_keys, timer)

    def wrong_key(self, host: str | None) -> None:
        """A wrong key was shown from there. Raises TooManyWrongKeys."""
        self._wrong_keys.add(host)

    def share(self, principal: Principal, credentials: str | None) -> "Share":
        """The share of who makes a request, which counts as one. Raises TooMany."""
        if principal is ANONYMOUS:
            return Share(self._places, NOBODY)
        key = None if credentials is None else key_id(credentials)
        name = f"/{principal.name}" if key is None or key == credentials else key
        self._buckets.take(name)
        return Share(self._places, name)


class Share:
    """What one request may take."""

    __slots__ = ("_name", "_place", "_places")

    def __init__(self, places: Places, name: str) -> None:
        self._places = places
        self._name = name
        self._place: Place | None = None

    def place(self) -> Place:
        """The place of the request to wait in, or to be answered by a stream, until it is given back. Raises TooMany.

        To be taken before anything is changed: who is refused then has changed nothing, and may ask again.
        """
        if self._place is None or not self._place.is_taken:
            self._place = self._places.taken(self._name)
        return self._place
