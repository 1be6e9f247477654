from starlette.requests import Request

from milepost.http.headers import header, joined

REQUEST = Request({"type": "http", "headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3, 4")]})


def test_the_first_header_of_a_name() -> None:
    assert header(REQUEST, b"a") == "1"
    assert header(REQUEST, b"c") is None


def test_all_headers_of_a_name_are_one_list() -> None:
    assert joined(REQUEST, b"a") == "1, 3, 4"
    assert joined(REQUEST, b"b") == "2"
    assert joined(REQUEST, b"c") is None
