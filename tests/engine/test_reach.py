"""Which addresses may be called on somebody's wish."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.engine.reach import Reach, networks
from milepost.network import Address

LOCAL = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("2002:7f00:1::", "2002:0a00:0001::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe"),
    # What Python's own tables take, or took, for the Internet.
    *("192.0.0.8", "192.0.0.9", "192.88.99.1", "::ffff:192.88.99.1", "2002:c058:6301::", "64:ff9b::c000:8"),
    *("3fff::1", "3fff:fff:ffff::1", "5f00::1", "2001:1::1", "64:ff9b:1:0101:0:101::", "4000::1", "100::1"),
]
PUBLIC = [
    *("1.1.1.1", "93.184.216.34", "192.0.1.1", "2606:4700:4700::1111", "2001:200::1", "3ffe::1"),
    *("::ffff:1.1.1.1", "2002:0101:0101::1", "64:ff9b::101:101"),
]


@pytest.mark.parametrize("address", LOCAL)
def test_what_is_not_of_the_internet_may_not_be_called(address: str) -> None:
    assert not Reach().has(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_of_the_internet_may(address: str) -> None:
    assert Reach().has(address)
    assert not Reach().is_allowed(address)


def test_what_the_operator_names_may_too_and_no_more() -> None:
    reach = Reach(networks(["127.0.0.0/8", "fd00::/8", "10.1.2.3"]))
    for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "fd00::1", "10.1.2.3", "1.1.1.1"):
        assert reach.has(address)
    for address in ("10.1.2.4", "fe80::1", "::1", "2002:7f00:1::"):
        assert not reach.has(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_the_same_written_as_one_of_ipv6(address: object) -> None:
    for reach in (Reach(), Reach(networks(["10.0.0.0/8", "8.0.0.0/7"]))):
        assert reach.has(str(address)) == reach.has(f"::ffff:{address}")


@given(st.ip_addresses())
def test_nothing_may_that_python_knows_to_be_special(address: Address) -> None:
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in IPv6Network("64:ff9b::/96")):
        return
    assert address.is_global or not Reach().has(str(address))


@pytest.mark.parametrize(
    ("text", "within", "beyond"),
    [
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.1"),
        ("::ffff:10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("::ffff:0:0/96", "192.168.0.1", "::1"),
    ],
)
def test_networks_of_ipv4_may_be_written_as_of_ipv6_too(text: str, within: str, beyond: str) -> None:
    reach = Reach(networks([text]))
    for address in (within, f"::ffff:{within}"):
        assert reach.is_allowed(address)
    assert not reach.is_allowed(beyond)


@given(st.ip_addresses())
def test_everything_may_be_called_where_everything_is_allowed(address: object) -> None:
    assert Reach(networks(["0.0.0.0/0", "::/0"])).has(str(address))


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", "x" * 100])
def test_what_is_no_network_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no network; write one as 10\.1\.0\.0/16"):
        networks(["127.0.0.1", text])
