import pytest
from starlette.requests import Request

from milepost.errors import Malformed
from milepost.http.headers import SINGLE, check_single, header, joined

REQUEST = Request({"type": "http", "headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3, 4")]})


def test_the_first_header_of_a_name() -> None:
    assert header(REQUEST, b"a") == "1"
    assert header(REQUEST, b"c") is None


def test_all_headers_of_a_name_are_one_list() -> None:
    assert joined(REQUEST, b"a") == "1, 3, 4"
    assert joined(REQUEST, b"b") == "2"
    assert joined(REQUEST, b"c") is None


def test_what_stands_for_one_value_is_given_once() -> None:
    check_single(REQUEST)
    for name in SINGLE:
        check_single(Request({"type": "http", "headers": [(name, b"1"), (b"a", b"1"), (b"a", b"2")]}))
        with pytest.raises(Malformed, match="more than once"):
            check_single(Request({"type": "http", "headers": [(name, b"1"), (b"a", b"1"), (name, b"1")]}))
