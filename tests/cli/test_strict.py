"""What of a head leaves a doubt? That each is refused by a real server is in tests/http/attack/test_framing.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.cli.strict import doubt

HOST = (b"host", b"localhost:8006")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("version", "method", "target", "headers"),
    [
        ("1.1", b"GET", b"/", [HOST]),
        ("1.0", b"GET", b"/", []),
        ("1.0", b"GET", b"/", [HOST]),
        ("1.1", b"POST", b"/v1/tasks?x=http://y", [HOST, CHUNKED]),
        ("1.1", b"POST", b"/", [(b"transfer-encoding", b" Chunked "), HOST, (b"x", b"1"), (b"x", b"2")]),
        ("1.1", b"OPTIONS", b"*", [HOST]),
        ("1.1", b"GET", b"HTTP://LOCALHOST:8006/v1", [HOST]),
        ("1.1", b"GET", b"/", [(b"host", b"[::1]:80")]),
        ("1.1", b"GET", b"//x", [HOST]),
    ],
)
def test_what_is_clear(version: str, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    assert doubt(version, method, target, headers) == ""


@pytest.mark.parametrize(
    ("version", "method", "target", "headers", "why"),
    [
        ("2.0", b"GET", b"/", [HOST], "no other version"),
        ("1.1", b"GET", b"/", [], "Host: this is said once"),
        ("1.0", b"GET", b"/", [HOST, HOST], "Host: this is said once"),
        ("1.1", b"GET", b"/", [(b"host", b"a/b")], "Host: this is no host"),
        ("1.1", b"GET", b"/", [(b"host", b"\xfcber")], "Host: this is no host"),
        ("1.0", b"GET", b"/", [CHUNKED], "Transfer-Encoding: "),
        ("1.1", b"GET", b"/", [HOST, CHUNKED, CHUNKED], "Transfer-Encoding: "),
        ("1.1", b"GET", b"/", [HOST, (b"transfer-encoding", b"gzip")], "Transfer-Encoding: "),
        ("1.1", b"GET", b"*", [HOST], "is no path"),
        ("1.1", b"GET", b"ftp://localhost:8006/", [HOST], "is no path"),
        ("1.1", b"GET", b"http://localhost/", [HOST], "another host"),
        ("1.0", b"GET", b"http://localhost/", [], "another host"),
        ("1.1", b"GET", b"/#", [HOST], "a fragment"),
    ],
)
def test_what_is_not(version: str, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], why: str) -> None:
    assert why in doubt(version, method, target, headers)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_nothing_of_what_was_sent_comes_back(target: bytes, value: bytes) -> None:
    said = doubt("1.1", b"GET", b"SECRET" + target, [(b"host", b"SECRET" + value)])
    assert "SECRET" not in said
    assert said.isascii()
