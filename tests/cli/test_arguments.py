import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.cli.arguments import read_input
from milepost.cli.exits import CommandError, Exit
from tests.cli import jobs

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "either": {"type": ["integer", "string"]},
        "number": {"type": "number"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "worded": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "one": {"oneOf": [{"type": "boolean"}, {"type": "array"}]},
        "mode": {"enum": ["fast", "safe"]},
        "level": {"enum": [1, 2]},
        "fixed": {"const": 3},
        "named": {"$ref": "#/$defs/Box"},
        "free": {},
        "odd": True,
    },
    "$defs": {"Box": {"type": "object"}},
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("text=5", "5"),
        ("text=a=b", "a=b"),
        ("text=", ""),
        ("text:=5", 5),
        ("either=5", "5"),
        ("number=5", 5),
        ("number=1e3", 1000.0),
        ("number=five", "five"),
        ("maybe=null", None),
        ("worded=null", "null"),
        ("worded:=null", None),
        ("one=true", True),
        ('one=[1,"x"]', [1, "x"]),
        ("mode=fast", "fast"),
        ("level=2", 2),
        ("fixed=3", 3),
        ('named={"a":1}', {"a": 1}),
        ("free=5", "5"),
        ("odd=5", "5"),
        ("unknown=5", "5"),
    ],
)
def test_a_word_is_json_only_where_no_text_is_wanted(word: str, value: Any) -> None:
    assert read_input([word], None, SCHEMA) == {word.partition("=")[0].removesuffix(":"): value}


def test_a_reference_to_nothing_is_taken_as_free() -> None:
    assert read_input(["a=1"], None, {"properties": {"a": {"$ref": "#/$defs/Gone"}}}) == {"a": "1"}


def test_words_are_laid_over_the_input() -> None:
    assert read_input(["text=b"], '{"text": "a", "number": 1}', SCHEMA) == {"text": "b", "number": 1}


def test_input_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{"text": "ä"}')
    assert read_input([], f"@{tmp_path}/input.json", SCHEMA) == {"text": "ä"}


DEEP = "maximum recursion depth exceeded while deserializing an object"


@pytest.mark.parametrize(
    ("words", "given", "complaint"),
    [
        (["text"], None, "text: not in the form key=value."),
        (["=5"], None, "=5: not in the form key=value."),
        ([":=5"], None, ":=5: not in the form key=value."),
        (["text=a", "text:=1"], None, "text: given twice."),
        (
            ["text:=a b"],
            None,
            "text: not JSON (JSON is malformed: invalid character (byte 0)); for text write text=a b",
        ),
        ([], "[1]", "--input: not a JSON object."),
        ([], "{", "--input: not JSON (Input data was truncated)."),
        ([], "@/nowhere/at/all", "--input: /nowhere/at/all can't be read (No such file or directory)."),
        ([], "@", "--input: the name of a file is missing; - reads stdin."),
        (["text:=" + "[" * 3000], None, f"text: not JSON ({DEEP}); for text write text=" + "[" * 3000),
        ([], '{"a":' * 3000, f"--input: not JSON ({DEEP})."),
        ([], "x" * 300, "--input: not JSON (JSON is malformed: invalid character (byte 0))."),
    ],
)
def test_what_is_wrong_is_named(words: list[str], given: str | None, complaint: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_input(words, given, SCHEMA)
    assert str(caught.value) == complaint
    assert caught.value.code is Exit.USAGE


def test_a_file_without_its_at_is_noticed() -> None:
    with pytest.raises(CommandError, match=rf"--input: not JSON \(.*\)\. For a file write @{re.escape(__file__)}\.$"):
        read_input([], __file__, SCHEMA)


def test_a_file_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(CommandError, match="--input: not JSON"):
        read_input([], f"@{tmp_path}/input.json", SCHEMA)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.text(min_size=1).filter(lambda key: "=" not in key and not key.endswith(":"))


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_any_input_can_be_said_in_words(values: dict[str, Any]) -> None:
    words = [f"{key}:={msgspec.json.encode(value).decode()}" for key, value in values.items()]
    assert read_input(words, None, {}) == values


@given(KEYS, st.text())
def test_text_is_never_changed(key: str, text: str) -> None:
    assert read_input([f"{key}={text}"], None, {}) == {key: text}


def test_the_schemas_of_real_types_are_understood() -> None:
    schema = jobs.app.types["echo"].info.schema
    words = ["text=5", "number=5", "items=[1]", "mode=safe", "size=2", "anything=7"]
    assert read_input(words, None, schema) == {
        "text": "5",
        "number": 5,
        "items": [1],
        "mode": "safe",
        "size": 2,
        "anything": "7",
    }
