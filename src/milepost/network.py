"""Which addresses does a text name, an address of IPv4 written as one of IPv6 among them?"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
"""Addresses of IPv4, as sockets of IPv6 write them (RFC 4291, 2.5.5.2)."""


def address(text: str) -> Address:
    """An address; one of IPv4 is that, however it is written. Raises ValueError for what is none."""
    found = ip_address(text)
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def network(text: str) -> Network:
    """A network, written as an address or in CIDR notation; of IPv4 as above. Raises ValueError for what is none."""
    found = ip_network(text)
    if isinstance(found, IPv6Network) and found.subnet_of(_MAPPED):
        return IPv4Network((int(found.network_address) & 0xFFFF_FFFF, found.prefixlen - _MAPPED.prefixlen))
    return found
