"""What of an input is secret, and how it is sealed."""

import base64
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import sealing
from milepost.disguise import HIDDEN, Disguise
from milepost.engine.secret import Secret
from milepost.engine.task_type import TaskType
from milepost.sealing import Sealing, Unsealable, masked, said, secret_names, whole

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
ONE, TWO = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
TASK = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"


def names(function: Any) -> set[str]:
    return set(secret_names(TaskType(function).info.schema))


def test_arguments_are_secret_as_their_signature_says() -> None:
    async def work(
        *,
        a: Secret[str],
        b: Secret[str] | None = None,
        c: list[Secret[int]],
        d: dict[str, Secret[str]],
        e: str,
        f: list[str] | None = None,
    ) -> None: ...

    assert names(work) == {"a", "b", "c", "d"}
    assert secret_names({}) == set()


def test_a_type_needs_a_key_if_none_of_its_tasks_can_be_without_a_secret() -> None:
    async def always(*, a: Secret[str], b: str) -> None: ...
    async def perhaps(*, a: Secret[str] | None = None, b: Secret[str] | None, c: str) -> None: ...
    async def never(*, a: str) -> None: ...

    found = [sealing.needs_key(TaskType(function).info.schema) for function in (always, perhaps, never)]
    assert found == [True, False, False]
    assert not sealing.needs_key({})


@given(JSON, st.lists(LEAVES.filter(bool)))
def test_copies_of_secrets_are_covered_and_nothing_else(value: Any, hidden: list[Any]) -> None:
    def leaves(value: Any) -> list[Any]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return [value] if inner is None else [leaf for each in inner for leaf in leaves(each)]

    shown = sealing.covered(value, hidden)
    assert leaves(shown) == [HIDDEN if leaf in hidden else Disguise(hidden).value(leaf) for leaf in leaves(value)]


def test_what_is_secret_as_a_whole_is_covered_in_parts_too() -> None:
    hidden = [[{"name": "source", "config": {"path": "/data", "n": 1}}]]
    assert sealing.covered({"a": hidden[0], "path": "/data", "n": 1}, hidden) == {"a": "***", "path": "***", "n": 1}


def test_a_text_that_has_a_secret_within_is_shown_without_it() -> None:
    value = {"note": "is hunter2.", "hunter2": ["url?p=%2Fa&q=hunter2", 3], "url": "https://u:hunter2@x/"}
    shown = {"note": "is ***.", "***": ["url?p=%2Fa&q=***", 3], "url": "https://u:***@x/"}
    assert sealing.covered(value, ["hunter2"]) == shown


def test_what_a_secret_has_as_names_is_left_where_these_are_names() -> None:
    hidden = [{"trigger": "kind", "pins": [{"a": 1, "b": [1]}]}]
    value = {"kind": {"trigger": "x kind"}, "pins": [{"b": [1], "a": 1}], "other": [{"a": 1, "b": [2]}]}
    shown = {"kind": {"trigger": "x ***"}, "pins": [{"b": [1], "a": 1}], "other": [{"a": 1, "b": [2]}]}
    assert sealing.covered(value, hidden) == shown
    assert sealing.covered({"x": [hidden[0]["pins"]]}, [hidden[0]["pins"]]) == {"x": ["***"]}


@pytest.mark.timeout(20)  # each compared with each, they would take an hour
@pytest.mark.parametrize("secrets", [4_000, 200_000])
def test_many_secrets_are_looked_for_in_one_pass(secrets: int) -> None:
    metadata = {"m": [f"t{number:06}" for number in range(200_000)]}
    shown = sealing.covered(metadata, [[f"s{number:06}" for number in range(secrets)]])
    assert shown == (metadata if secrets == 4_000 else {"m": ["***"] * 200_000})


def test_what_has_a_secret_somewhere_within_is_secret_as_a_whole() -> None:
    schema = {
        "properties": {"x": {"$ref": "#/$defs/Node"}, "y": {"items": {"$ref": "#/$defs/Plain"}}, "z": {"$ref": "#/a"}},
        "$defs": {
            "Node": {"properties": {"next": {"$ref": "#/$defs/Node"}, "key": {"anyOf": [{"writeOnly": True}]}}},
            "Plain": {"properties": {"next": {"$ref": "#/$defs/Plain"}, "key": {"writeOnly": False}}},
        },
    }
    assert secret_names(schema) == {"x"}


@given(values=st.dictionaries(st.text(), JSON), task_id=st.uuids().map(str))
def test_what_is_sealed_can_be_opened_for_its_task_alone(values: dict[str, Any], task_id: str) -> None:
    sealed = Sealing(ONE).seal(values, task_id)
    assert Sealing(ONE).open(sealed, task_id) == values
    for keys, other in ((ONE, TASK), (TWO, task_id), (None, task_id)):
        with pytest.raises(Unsealable):
            Sealing(keys).open(sealed, other)


def test_nothing_shows_through_and_nothing_is_sealed_twice_alike() -> None:
    first, second = (Sealing(ONE).seal({"password": "hunter2" * 10}, TASK) for _ in range(2))
    assert first != second
    assert b"hunter2" not in first + second
    assert b"password" not in first


@given(st.binary(max_size=60))
def test_what_was_never_sealed_is_not_opened(noise: bytes) -> None:
    for sealed in (noise, b"\x01" + noise):
        with pytest.raises(Unsealable):
            Sealing(ONE).open(sealed, TASK)


@given(at=st.integers(min_value=0), flip=st.integers(1, 255))
def test_nor_is_what_was_changed(at: int, flip: int) -> None:
    sealed = bytearray(Sealing(ONE).seal({"password": "hunter2"}, TASK))
    sealed[at % len(sealed)] ^= flip
    with pytest.raises(Unsealable):
        Sealing(ONE).open(bytes(sealed), TASK)


def test_a_key_can_take_the_place_of_another() -> None:
    sealed = Sealing(ONE).seal({"a": 1}, TASK)
    both = Sealing(f"{TWO}, {ONE}")
    assert both.open(sealed, TASK) == {"a": 1}
    anew = both.seal({"a": 2}, TASK)
    assert Sealing(TWO).open(anew, TASK) == {"a": 2}
    with pytest.raises(Unsealable):
        Sealing(ONE).open(anew, TASK)
    assert both.disguised({"a": 1}, {"a": 1}) == Sealing(ONE).disguised({"a": 1}, {"a": 1})
    assert both != Sealing(ONE) == Sealing(f" {ONE} ")


def test_keys_are_taken_in_either_alphabet_and_never_shown() -> None:
    raw = b"\xfb\xff" * 16
    plain, of_urls = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    assert Sealing(plain) == Sealing(of_urls)
    assert repr(Sealing(plain)) == "Sealing(1 keys)"


@pytest.mark.parametrize("keys", ["x", ONE[:-4], ONE + "AAAA", f"{ONE},nonsense", "ä" * 44, "a" * 43])
def test_what_is_no_key_is_refused_without_a_word_of_it(keys: str) -> None:
    with pytest.raises(ValueError, match="a key is 32 random bytes in Base64, as `openssl rand ") as told:
        Sealing(keys)
    assert keys not in str(told.value)


def test_keys_come_from_a_variable_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILEPOST_SECRET_KEY", raising=False)
    assert not sealing.configured(None)
    monkeypatch.setenv("MILEPOST_SECRET_KEY", ONE)
    assert sealing.configured(None) == Sealing(ONE)
    assert sealing.configured(TWO) == Sealing(TWO)
    assert not sealing.configured("")
    monkeypatch.setenv("MILEPOST_SECRET_KEY", "x")
    with pytest.raises(ValueError, match=r"^MILEPOST_SECRET_KEY: a key is"):
        sealing.configured(None)
    with pytest.raises(ValueError, match=r"^secret_key: a key is"):
        sealing.configured("x")


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    assert not Sealing()
    with pytest.raises(RuntimeError, match=r"milepost\[secrets\]"):
        Sealing(ONE)


def test_null_is_no_secret() -> None:
    given = {"a": None, "b": 0, "c": "x"}
    assert said(given, ["a", "b", "absent"]) == {"b": 0}
    assert masked(given, ["a", "b", "absent"]) == {"a": None, "b": "***", "c": "x"}


def test_marks_are_equal_for_equal_secrets_and_tell_nothing() -> None:
    seal = Sealing(ONE)
    first = seal.disguised({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"x": 1, "y": 2}})
    assert first == seal.disguised({"a": {"y": 2, "x": 1}, "b": 1}, {"a": {"y": 2, "x": 1}})
    assert first != seal.disguised({"a": {"x": 1}, "b": 1}, {"a": {"x": 1}})
    assert first != Sealing(TWO).disguised({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"x": 1, "y": 2}})
    assert first["b"] == 1


def test_an_input_is_put_together_again() -> None:
    seal = Sealing(ONE)
    assert whole(b'{"a": 1.50}', None, seal, TASK) == (b'{"a": 1.50}', ())
    sealed = seal.seal({"a": "x"}, TASK)
    assert whole(b'{"b":1.50,"a":"***"}', sealed, seal, TASK) == (b'{"b":1.50,"a":"x"}', ("a",))
