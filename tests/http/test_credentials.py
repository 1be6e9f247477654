import pytest
from starlette.requests import Request

from milepost.http.credentials import bearer, key_of, raw_or_bearer
from milepost.http.headers import header


def test_a_header_is_found_or_not() -> None:
    request = Request({"type": "http", "headers": [(b"a", b"\xe9"), (b"a", b"2")]})
    assert header(request, b"a") == "é"
    assert header(request, b"b") is None


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (None, None),
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic abc", None),
        ("", None),
    ],
)
def test_a_bearer_s_key(said: str | None, key: str | None) -> None:
    headers = [] if said is None else [(b"authorization", said.encode())]
    assert bearer(Request({"type": "http", "headers": headers})) == key


@pytest.mark.parametrize(
    ("said", "key"),
    [(None, None), ("abc", "abc"), ("Bearer abc", "abc"), (" abc ", "abc"), ("", None), ("Basic abc", "Basic abc")],
)
def test_a_key_with_or_without_its_scheme(said: str | None, key: str | None) -> None:
    headers = [] if said is None else [(b"authorization", said.encode())]
    assert raw_or_bearer(Request({"type": "http", "headers": headers})) == key


def test_a_key_in_two_parts() -> None:
    assert key_of("12ab", "34cd") == "mp_12ab_34cd"
    assert key_of("anything", "mp_12ab_34cd") == "mp_12ab_34cd"
