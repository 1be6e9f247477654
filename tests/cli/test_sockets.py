import errno
import socket

import pytest

from milepost.cli import sockets
from milepost.cli.exits import CommandError, Exit


def close(bound: list[socket.socket]) -> None:
    for one in bound:
        one.close()


@pytest.mark.parametrize(
    ("host", "families"),
    [
        ("localhost", [socket.AF_INET, socket.AF_INET6]),
        ("127.0.0.1", [socket.AF_INET]),
        ("127.1.2.3", [socket.AF_INET]),
        ("::1", [socket.AF_INET6]),
    ],
)
def test_loopback_addresses(host: str, families: list[socket.AddressFamily]) -> None:
    bound = sockets.listen(host, 0)
    try:
        assert [one.family for one in bound] == families
        assert len({one.getsockname()[1] for one in bound}) == 1
        for one, url in zip(bound, sockets.urls(bound), strict=True):
            address, port = one.getsockname()[:2]
            assert url == (f"http://[::1]:{port}" if one.family == socket.AF_INET6 else f"http://{address}:{port}")
            socket.create_connection((address, port)).close()
    finally:
        close(bound)


def test_all_addresses_are_those_of_both_families() -> None:
    bound = sockets.listen("::", 0)
    try:
        port = bound[0].getsockname()[1]
        assert [one.getsockname()[:2] for one in bound] == [("0.0.0.0", port), ("::", port)]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port)).close()
    finally:
        close(bound)


@pytest.mark.parametrize("host", ["example.org", "", "127.0.0.1:8006", "http://localhost"])
def test_what_is_no_address_is_not_said_to_be_an_open_one(host: str) -> None:
    with pytest.raises(CommandError, match="is not an address; use localhost") as caught:
        sockets.listen(host, 0)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("host", "beyond"),
    [
        *(("localhost", False), ("127.0.0.1", False), ("127.9.9.9", False), ("::1", False)),
        *(("0.0.0.0", True), ("::", True), ("192.0.2.5", True), ("fe80::1", True)),
    ],
)
def test_which_addresses_others_can_reach(host: str, beyond: bool) -> None:
    assert sockets.is_beyond(host) is beyond


def test_an_address_of_another_machine() -> None:
    with pytest.raises(CommandError, match=r"--host: this machine has no address 192\.0\.2\.5\.") as caught:
        sockets.listen("192.0.2.5", 0)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize("taken_by", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken(taken_by: str) -> None:
    taken = sockets.listen(taken_by, 0)
    try:
        port = taken[0].getsockname()[1]
        with pytest.raises(CommandError, match=f"--port: {port} is in use") as caught:
            sockets.listen("localhost", port)
        assert caught.value.code is Exit.FAILED
    finally:
        close(taken)


def test_a_port_that_one_may_not_use() -> None:
    error = sockets._told(OSError(errno.EACCES, "Permission denied"), "localhost", 80)
    assert (str(error), error.code) == ("--port: 80 can't be used (Permission denied).", Exit.USAGE)


def test_a_free_port_is_looked_for_until_it_is_free_in_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = sockets.listen("::1", 0)
    port = blocker[0].getsockname()[1]
    bound = sockets._bound
    wishes = iter([port])

    def first_that_one(address: str, wish: int) -> socket.socket:
        return bound(address, next(wishes, 0) if wish == 0 else wish)

    monkeypatch.setattr(sockets, "_bound", first_that_one)
    try:
        found = sockets.listen("localhost", 0)
        assert found[0].getsockname()[1] != port
        close(found)
        monkeypatch.setattr(sockets, "_bound", lambda address, wish: bound(address, wish or port))
        with pytest.raises(CommandError, match="no port is free"):
            sockets.listen("localhost", 0)
    finally:
        close(blocker)


def test_a_machine_without_ipv6_does_with_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = sockets._bound

    def no_ipv6(address: str, port: int) -> socket.socket:
        if ":" in address:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return bound(address, port)

    monkeypatch.setattr(sockets, "_bound", no_ipv6)
    found = sockets.listen("localhost", 0)
    assert [one.family for one in found] == [socket.AF_INET]
    close(found)
