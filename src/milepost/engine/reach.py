"""Which addresses may be called on somebody's wish? Those of the Internet, and those that the operator names.

Else whoever may start a task could have the server call what only the server can reach: itself, its neighbours, the
metadata of its cloud.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks, each written as an address or in CIDR notation. Raises ValueError, quoting the one that is none."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ip_network(text.strip()))
        except ValueError:
            raise ValueError(f"{text!r:.60} is no network; write one as 10.1.0.0/16 or fd00:1::/64") from None
    return tuple(found)


class Reach:
    """The addresses that may be called: of the Internet, and of the networks that are `allowed`."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def has(self, address: str) -> bool:
        """Whether this may be called."""
        return self.is_allowed(address) or all(map(_is_public, _meant(ip_address(address))))

    def is_allowed(self, address: str) -> bool:
        """Whether the operator has named this, or the network that it is in."""
        first, *_ = _meant(ip_address(address))
        return any(first in network for network in self._allowed)


def _meant(address: Address) -> tuple[Address, ...]:
    """Where a call of an address comes out, as far as the address itself says."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:  # the very same host
        return (address.ipv4_mapped,)
    return (address,) if address.sixtofour is None else (address, address.sixtofour)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:  # to `is_global` it is not, as it is deprecated
        return False
    # What is reserved has IPv4 addresses within it, as those of NAT64 (RFC 6052).
    return address.is_global and not (address.is_multicast or address.is_reserved)
