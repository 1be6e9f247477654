"""Which addresses a text names."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from milepost.network import address, network


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_ipv4_is_that_however_it_is_written(host: IPv4Address, length: int) -> None:
    assert address(str(host)) == address(f"::ffff:{host}") == host
    around = IPv4Network((host, length), strict=False)
    assert network(str(around)) == network(f"::ffff:{around.network_address}/{96 + length}") == around


@given(st.ip_addresses(v=6))
def test_ipv6_is_as_it_is(host: IPv6Address) -> None:
    assume(host.ipv4_mapped is None)
    assert address(str(host)) == host
    assert network(str(host)) == IPv6Network(host)


def test_a_network_that_is_larger_than_all_of_ipv4_is_of_ipv6() -> None:
    assert network("::/0") == IPv6Network("::/0")
    assert network("::fffe:0:0/95") == IPv6Network("::fffe:0:0/95")


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.1/8", "::ffff:10.0.0.1/104", "10.0.0.0/33", "1.2.3"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"to be an IPv4 or IPv6 network|has host bits set"):
        network(text)
