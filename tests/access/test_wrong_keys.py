import logging

import pytest

from milepost.access.wrong_keys import ADDRESSES, NO_ADDRESS, WrongKeys, network
from milepost.errors import TooManyWrongKeys
from milepost.times import MINUTE, SECOND


class Timer:
    """µs that pass when a test says so."""

    now = 5 * MINUTE

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        (None, NO_ADDRESS),
        ("", NO_ADDRESS),
        ("unknown", NO_ADDRESS),
        ("_hidden" * 1_000, NO_ADDRESS),
    ],
)
def test_what_is_one_address(host: str | None, counted: str) -> None:
    assert network(host) == counted


def shown(keys: WrongKeys, host: str, times: int) -> int:
    """How many of them were refused for being too many."""
    refused = 0
    for _ in range(times):
        try:
            keys.add(host)
        except TooManyWrongKeys:
            refused += 1
    return refused


def test_an_address_may_show_so_many_in_a_minute() -> None:
    timer = Timer()
    keys = WrongKeys(6, timer)
    assert shown(keys, "192.0.2.7", 10) == 4
    with pytest.raises(TooManyWrongKeys) as caught:
        keys.add("192.0.2.7")
    assert caught.value.retry_after == 10
    assert shown(keys, "192.0.2.8", 6) == 0, "others are not concerned"
    timer.now += 10 * SECOND
    assert shown(keys, "192.0.2.7", 2) == 1
    timer.now += MINUTE
    assert shown(keys, "192.0.2.7", 7) == 1


def test_who_has_a_network_has_one_address() -> None:
    keys = WrongKeys(6, Timer())
    assert sum(shown(keys, f"2001:db8::{number:x}", 1) for number in range(1_000)) == 994
    assert len(keys) == 1


def test_no_more_is_kept_than_there_is_room_for() -> None:
    keys = WrongKeys(1, Timer())
    for number in range(ADDRESSES + 1_000):
        assert shown(keys, f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1", 1) == 0
    assert len(keys) == ADDRESSES


def test_the_log_tells_of_it_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    timer = Timer()
    keys = WrongKeys(1, timer)
    for number in range(1_000):
        shown(keys, f"192.0.2.{number % 250}", 5)
    assert len(caplog.records) == 1
    timer.now += MINUTE
    shown(keys, "198.51.100.1", 1)
    assert len(caplog.records) == 1, "one alone is no flood"
    shown(keys, "198.51.100.1", 1)
    assert [record.getMessage() for record in caplog.records] == [
        "Too many wrong keys from 192.0.2.0: 2 since this was last said, wherever from",
        "Too many wrong keys from 198.51.100.1: 5000 since this was last said, wherever from",
    ]
