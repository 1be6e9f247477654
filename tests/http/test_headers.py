import pytest
from starlette.requests import Request

from milepost.errors import Malformed
from milepost.http.headers import SINGLE, check_single, header, joined, single

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


def test_a_length_and_chunks_are_not_both_given() -> None:
    coded = (b"transfer-encoding", b"chunked")
    check_single(Request({"type": "http", "headers": [coded]}))
    with pytest.raises(Malformed, match="Content-Length: This and Transfer-Encoding can't both be given"):
        check_single(Request({"type": "http", "headers": [coded, (b"content-length", b"1")]}))


def test_the_only_header_of_a_name() -> None:
    assert single(REQUEST, b"b") == "2"
    assert single(REQUEST, b"c") is None
    with pytest.raises(Malformed, match="A: This is given more than once"):
        single(REQUEST, b"a")
