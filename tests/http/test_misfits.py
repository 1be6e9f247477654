import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import Fault
from milepost.http.misfits import TWICE, misfit, repeated_member

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a": 1, "a": 1}', "/a"),
        (b'{"a": 1, "b": 2, "b": 3, "a": 4}', "/b"),
        (b'{"x": [0, {"y": {"a/b": 1, "a\\/b": 2}}]}', "/x/1/y/a~1b"),
        (b'{"x": {"a": 1, "a": 2}, "y": {"b": 1, "b": 2}}', "/x/a"),
        (b'{"a": 1, "\\u0061": 2}', "/a"),
        (b'{"a": 1, "a": "\\u003a"}', "/a"),
        (b'{"a": 1, "a": "\\u003A"}', "/a"),
        (b'{"a": {"b": ":::"}, "a": {"b": "::"}}', "/a"),
        (b'{"a": "\\ud800", "b": 1, "b": 1}', "/b"),
        (b'{"a": 1e999, "b": 1, "b": 1}', "/b"),
    ],
)
def test_a_member_that_is_there_twice_is_found(body: bytes, pointer: str) -> None:
    assert repeated_member(body) == Fault(TWICE, pointer)


@given(st.lists(st.tuples(st.sampled_from("ab:"), VALUES), max_size=4), st.booleans())
def test_a_member_is_found_just_when_a_name_is_there_twice(members: list[tuple[str, Any]], escaped: bool) -> None:
    body = "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members) + "}"
    if escaped:
        body = body.replace('":', "\x00").replace(":", "\\u003a").replace("\x00", '":')
    names = [name for name, _ in members]
    assert (repeated_member(body.encode()) is not None) is (len(set(names)) < len(names))


@given(VALUES)
def test_in_what_is_json_nothing_is_found(value: Any) -> None:
    body = json.dumps(value).encode()
    assert repeated_member(body) is None
    assert misfit(body) is None


@pytest.mark.parametrize(
    ("body", "pointer", "word"),
    [
        (b'{"a": "\xff"}', "/a", "UTF-8"),
        (b'{"a": {"b\xff": 1}}', "/a", "UTF-8"),
        (b'{"a": ["", "x\\ud800y"]}', "/a/1", "surrogate"),
        (b'{"a": [NaN]}', "/a/0", "number"),
        (b'{"a": -Infinity}', "/a", "number"),
        (b'{"a": 1e999}', "/a", "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "/a", "too large"),
    ],
)
def test_what_json_does_not_have_is_found(body: bytes, pointer: str, word: str) -> None:
    fault = misfit(body)
    assert fault is not None
    assert fault.pointer == pointer
    assert word in fault.detail


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN', b"nonsense", b"\xff"])
def test_in_what_can_t_be_read_at_all_nothing_is_found(body: bytes) -> None:
    assert misfit(body) is None
