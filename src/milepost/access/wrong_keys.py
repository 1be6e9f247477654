"""How many wrong keys may be shown from one address?

A key is looked at first, so that a right one is taken from wherever it comes: others may share the address. What is
past the bound is told to go away, and the log tells of it now and then. Nobody guesses a key: this is for who tries.
"""

import logging
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final

from milepost.access.rate import Buckets
from milepost.access.tally import Tally
from milepost.errors import TooManyWrongKeys
from milepost.times import Clock, elapsed

logger = logging.getLogger(__name__)

ADDRESSES: Final = 1 << 14
"""Of how many addresses something is kept; who has more of them than that is not held up by any bound."""
NO_ADDRESS: Final = "an unknown address"
"""All that have none, such as callers by a Unix socket, and whom a proxy does not name."""
_PREFIX: Final = 64
"""Bits of an IPv6 address by which networks are told apart: within one everybody may take any address."""


class WrongKeys:
    """`most` from one address in a minute, as many at once; `timer` gives µs since some moment."""

    def __init__(self, most: int, timer: Clock = elapsed) -> None:
        self._buckets = Buckets(most / 60, most, timer, most=ADDRESSES)
        self._tally = Tally(timer)

    def __len__(self) -> int:
        """Of how many addresses something is kept."""
        return len(self._buckets)

    def add(self, host: str | None) -> None:
        """One was shown from there. Raises TooManyWrongKeys past the bound."""
        self._tally.add()
        address = network(host)
        pause = self._buckets.pause(address)
        if not pause:
            return
        count = self._tally.due()
        if count:
            logger.warning("Too many wrong keys from %s: %d since this was last said, wherever from", address, count)
        raise TooManyWrongKeys("Too many wrong keys were shown from your address.", retry_after=pause)


def network(host: str | None) -> str:
    """What is counted as one address."""
    try:
        address = ip_address((host or "").partition("%")[0])
    except ValueError:
        return NO_ADDRESS
    if isinstance(address, IPv4Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(ip_network((int(address) >> _PREFIX << _PREFIX, _PREFIX)) if mapped is None else mapped)
