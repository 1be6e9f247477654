"""Which addresses may be called on somebody's wish? Those of the Internet, and those that the operator names.

Else whoever may start a task could have the server call what only the server can reach: itself, its neighbours, the
metadata of its cloud. What is of the Internet is told by the registries of special-purpose addresses that IANA keeps
(RFC 6890): Python's own tables lag behind them, and differ from one of its releases to the next.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

from milepost.network import Address, Network, address, network

_NOT_PUBLIC: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private, as the other two of RFC 1918
            "100.64.0.0/10",  # between a provider and its customers
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local
            "172.16.0.0/12",
            "192.0.0.0/24",  # of protocols; the two anycast ones within lead to whatever is near
            "192.0.2.0/24",  # of documentation, as two others
            "192.88.99.0/24",  # relays of 6to4, anycast
            "192.168.0.0/16",
            "198.18.0.0/15",  # of benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_UNICAST: Final = IPv6Network("2000::/3")
"""All that was ever given out of IPv6; what is local, mapped, translated or multicast lies elsewhere."""
_NOT_PUBLIC_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # of protocols: Teredo, which leads into IPv4, benchmarks, identifiers that nobody routes
            "2001:db8::/32",  # of documentation, as the other one
            "3fff::/20",
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Leads to the address of IPv4 at its end (RFC 6052), of the Internet wherever that is."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks, each written as an address or in CIDR notation. Raises ValueError, quoting the one that is none."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(network(text.strip()))
        except ValueError:
            raise ValueError(f"{text!r:.60} is no network; write one as 10.1.0.0/16 or fd00:1::/64") from None
    return tuple(found)


class Reach:
    """The addresses that may be called: of the Internet, and of the networks that are `allowed`."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def has(self, text: str) -> bool:
        """Whether this address may be called."""
        return self.is_allowed(text) or is_public(address(text))

    def is_allowed(self, text: str) -> bool:
        """Whether the operator has named this address, or the network that it is in."""
        found = address(text)
        return any(found in network for network in self._allowed)


def is_public(address: Address) -> bool:
    """Whether an address is of the Internet, and so is the one that it leads to, as far as it says that itself."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address.sixtofour is not None:
        return is_public(address.sixtofour)
    return address in _UNICAST and not any(address in network for network in _NOT_PUBLIC_6)
