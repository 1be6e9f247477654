from typing import Any

import msgspec
import pytest

from milepost.errors import Fault, Invalid
from milepost.http.faults import beneath, body_fault, field_name, query_fault, sentence


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    b: int


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    a: list[Inner] = []
    slash: int = msgspec.field(name="x/y~z", default=0)
    free: dict[str, Any] = {}
    named: dict[str, Inner] = {}
    numbered: dict[int, int] = {}


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        (b'{"a": [{"b": 1}, {"b": "x"}]}', "/a/1/b", "Expected int, got str."),
        (b'{"a": [{"b": 1, "c": 2}]}', "/a/0/c", "There is no such field here."),
        (b'{"a": [{}]}', "/a/0/b", "This is required."),
        (b'{"x/y~z": "1"}', "/x~1y~0z", "Expected int, got str."),
        (b'{"it`s - at `$.a`": 1}', "/it`s - at `$.a`", "There is no such field here."),
        (b'{"free": {"k": {"l": 1e999}}}', "/free", "Number out of range."),
        (b'{"named": {"k": {"b": null}}}', "/named", "Expected int, got null."),
        (b'{"numbered": {"k": 1}}', "/numbered", "Expected int, got str."),
        (b"[]", "", "Expected object, got array."),
    ],
)
def test_a_body_s_fault_is_pointed_at(body: bytes, pointer: str, detail: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=Outer)
    assert body_fault(caught.value) == Fault(detail, pointer=pointer)


def test_a_query_s_fault_names_the_parameter() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"a": [{"b": "x"}]}, Outer, strict=False)
    assert query_fault(caught.value) == Fault("Expected int, got str.", parameter="a")
    assert query_fault(msgspec.ValidationError("nothing fits")) == Fault("Nothing fits.")


@pytest.mark.parametrize(
    ("place", "name"),
    [("", ""), ("/a", "a"), ("/items/0/data", "items[0].data"), ("/x~1y~0z/10", "x/y~z[10]"), ("/0", "[0]")],
)
def test_a_field_has_a_name_for_who_knows_no_pointers(place: str, name: str) -> None:
    assert field_name(place) == name


def test_faults_are_pointed_at_from_where_the_client_s_own_part_stands() -> None:
    faults = Fault("A.", "/input/folder"), Fault("B.", "/input"), Fault("C.", "/run_at"), Fault("D.", parameter="limit")
    told = beneath("/input", Invalid(*faults)).faults
    assert told == (Fault("A.", "/folder"), Fault("B.", ""), Fault("C.", "/run_at"), faults[3])


def test_sentences() -> None:
    assert sentence("expected `int`, got `str`") == "Expected int, got str."
    assert sentence("Well.") == "Well."
    assert sentence("") == "."
