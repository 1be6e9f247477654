from typing import Any

import pytest

from milepost.errors import Invalid
from milepost.start import MAX_ATTEMPTS, MAX_DEPENDENCIES, MAX_METADATA, MAX_TEXT, NUL
from milepost.task import Failure
from milepost.update import Update, checked, merged


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"title": "a\0b"}, "/title"),
        ({"message": "\0"}, "/message"),
        ({"failure": Failure("a\0", "b")}, "/failure/code"),
        ({"failure": Failure("a", "b\0")}, "/failure/message"),
    ],
)
def test_a_text_that_not_every_store_takes_is_refused(said: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked(Update(**said))
    assert [(fault.pointer, fault.detail) for fault in refused.value.faults] == [(pointer, NUL)]


def test_all_that_is_wrong_is_told() -> None:
    said: dict[str, Any] = {"max_attempts": 0, "retry_count": -1, "blocked_by": ("x",) * (MAX_DEPENDENCIES + 1)}
    with pytest.raises(Invalid) as refused:
        checked(Update(title="x" * (MAX_TEXT + 1), list_id="\0", depends_on=("0" * 32, "x"), **said))
    pointers = {fault.pointer for fault in refused.value.faults}
    assert pointers >= {"/title", "/list_id", "/depends_on/1", "/max_attempts", "/retry_count", "/blocked_by"}
    assert checked(Update(max_attempts=MAX_ATTEMPTS, retry_count=MAX_ATTEMPTS, blocked_by=("0" * 32,))) is None


def test_free_json_may_have_any_character_up_to_a_limit() -> None:
    with pytest.raises(Invalid, match="/metadata"):
        checked(Update(metadata={"x": "x" * MAX_METADATA}))
    assert checked(Update(metadata={"\0": "\0"}, failure=Failure("a", "b"), title=None)) is None


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # those of RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_applied_as_its_rfc_shows(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result
