from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from milepost.access.limits import DEFAULT_LIMITS
from milepost.errors import Invalid, Malformed, TooLarge
from milepost.http.body import BodyReader, _is_too_deep
from milepost.http.errors import UnsupportedMediaType
from milepost.http.fields import Time


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str = ""
    free: Any = None
    since: Time | None = None


def request(*pieces: bytes, **headers: str) -> Request:
    messages: AsyncIterator[Any] = _messages(pieces)
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw}, messages.__anext__)


async def _messages(pieces: tuple[bytes, ...]) -> AsyncIterator[Any]:
    for index, piece in enumerate(pieces):
        yield {"type": "http.request", "body": piece, "more_body": index + 1 < len(pieces)}


READER = BodyReader(Shape, ("application/json", "application/merge-patch+json"))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        'application/merge-patch+json ; v=1;Charset="UTF-8"',
        "application/json;charset=UTF8;",
    ],
)
async def test_a_body_becomes_a_struct(content_type: str) -> None:
    pieces = b'{"text": "\xc3', b'\xbc", "free": {"a": [1, null]}', b', "since": "1970-01-01T00:00:01Z"}'
    read = await READER.read(request(*pieces, content_type=content_type))
    assert read == Shape("ü", {"a": [1, None]}, Time(1_000_000))


@pytest.mark.parametrize("headers", [{}, {"content_type": "text/plain"}, {"content_type": "application/json5"}])
async def test_another_media_type_is_not_taken(headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        await READER.read(request(b"{}", **headers))
    assert caught.value.accepted == ("application/json", "application/merge-patch+json")


@pytest.mark.parametrize(
    "charset", ["latin-1", "ISO-8859-1", '"utf-16"', "us-ascii", "", '""', "utf-8; charset=latin-1"]
)
async def test_another_charset_is_not_taken_for_utf_8(charset: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"sent as UTF-8, not with the charset '.*' \(RFC 8259, ") as caught:
        await READER.read(request(b"{}", content_type=f"application/json; charset={charset}"))
    assert caught.value.accepted == ("application/json", "application/merge-patch+json")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", ""])
async def test_a_body_that_is_coded_is_not_taken(coding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
        await READER.read(request(b"{}", content_type="application/json", content_encoding=coding))
    plain = request(b"{}", content_type="application/json", content_encoding="Identity")
    assert await READER.read(plain) == Shape()


async def test_a_body_that_says_it_is_too_large_is_not_even_read() -> None:
    with pytest.raises(TooLarge):
        await READER.read(request(content_type="application/json", content_length=str(DEFAULT_LIMITS.body + 1)))


async def test_a_body_that_turns_out_too_large_is_read_no_further() -> None:
    with pytest.raises(TooLarge):
        await READER.read(request(b"[" * DEFAULT_LIMITS.body, b"[", b"never read", content_type="application/json"))


async def test_a_body_may_have_just_as_much_as_it_may_have() -> None:
    text = "x" * (DEFAULT_LIMITS.body - len('{"text":""}'))
    read = await READER.read(request(msgspec.json.encode({"text": text}), content_type="application/json"))
    assert read.text == text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b"nonsense",
        b'{"text": "\xff"}',
        b'{"free": "\xed\xa0\x80"}',
        b'{"free": "\\ud800"}',
        b'{"free": NaN}',
        b"\xef\xbb\xbf{}",
        b'{"text": "\x00"}',
        b'{"free": ' + b"[" * 100_000,
        b'{"free": ' + b'{"a":' * DEFAULT_LIMITS.depth + b"1" + b"}" * DEFAULT_LIMITS.depth + b"}",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        READER.decode(body)


@pytest.mark.parametrize(
    ("body", "why", "pointer"),
    [
        (b"", "empty", None),
        (b"\xef\xbb\xbf{}", "byte order mark", None),
        ('{"text": 1}'.encode("utf-16"), "byte order mark", None),
        (b"\xff", "not JSON", None),
        (b"{", "not JSON", None),
        (b'{"text": "\xff"}', "not UTF-8", "/text"),
        (b'{"free": ["\\udc00"]}', "surrogate", "/free/0"),
        (b'{"free": {"a": NaN}}', "no such number", "/free/a"),
    ],
)
def test_it_is_said_why_it_is_malformed_and_where(body: bytes, why: str, pointer: str | None) -> None:
    with pytest.raises(Malformed, match=why) as caught:
        READER.decode(body)
    assert [fault.pointer for fault in caught.value.facts.get("errors", ())] == ([] if pointer is None else [pointer])


@pytest.mark.parametrize("opening", [b"[", b'{"\\"[":'])
def test_depth_counts_brackets_but_not_those_in_text(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    deep = DEFAULT_LIMITS.depth - 1
    assert READER.decode(b'{"free":' + opening * deep + (b"0" if closing == b"}" else b"") + closing * deep + b"}")
    assert READER.decode(
        b'{"free":[' + b"[]," * DEFAULT_LIMITS.depth + b'0], "text": "' + b"[{" * DEFAULT_LIMITS.depth + b'"}'
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"text": 1}', "/text"),
        (b'{"other": 1}', "/other"),
        (b'{"since": 5}', "/since"),
        (b"[]", ""),
        (b'{"text": "a", "text": "a"}', "/text"),
        (b'{"free": {"a": [{"b": 1, "b": 2}]}}', "/free/a/0/b"),
        (b'{"free": {"a": [1, 1e400]}}', "/free/a/1"),
        (b'{"since": "0000-00-00T00:00:00Z out of range"}', "/since"),
    ],
)
def test_a_field_that_is_wrong_is_pointed_at(body: bytes, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        READER.decode(body)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


@given(st.binary(max_size=40) | st.text('[]{}",:\\0', max_size=400).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(Malformed, Invalid):
        assert isinstance(READER.decode(body), Shape)


@pytest.mark.parametrize("body", [b'{"x": "\xed\xa0\x80"}', b'{"x": {"\xff": 1}}'])
def test_what_nobody_wants_is_utf_8_too(body: bytes) -> None:
    with pytest.raises(Malformed, match="The body is not UTF-8"):
        BodyReader(Loose, ["application/json"]).decode(body)


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "1e400"])
def test_what_nobody_wants_may_be_a_number_of_any_size(number: str) -> None:
    assert BodyReader(Loose, ["application/json"]).decode(f'{{"x": {number}}}'.encode()) == Loose()


class Loose(msgspec.Struct, frozen=True):
    text: str = ""


@pytest.mark.parametrize(
    "text",
    [b'"' + b'\\"' * 500_000, b'"' + b'\\"' * 500_000 + b"\\", b'"' * 1_000_000, b'"\\' * 500_000, b'"a\\"' * 250_000],
)
def test_how_deep_it_is_takes_no_longer_than_reading_it(text: bytes) -> None:
    """Hours, if each quote of a string without an end were taken for a beginning."""
    assert not _is_too_deep(text + b"[" * 101, 101)
    assert _is_too_deep(b"[" * 101 + text, 100)
