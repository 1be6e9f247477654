from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import Invalid, Malformed
from milepost.http.fields import Time
from milepost.http.query import MAX_PARAMETERS, QueryReader


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str | None = None
    number: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5
    yes: bool = False
    several: Annotated[tuple[Literal["a", "b", "c"], ...], msgspec.Meta(description="x")] = ()
    since: Time | None = None
    age: int | None = None


class Needed(msgspec.Struct, frozen=True):
    token: str


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", Query()),
        (b"text=", Query(text="")),
        (b"text=a+b%20%C3%BC", Query(text="a b ü")),
        (b"number=9&yes=true", Query(number=9, yes=True)),
        (b"several=a&several=b,c", Query(several=("a", "b", "c"))),
        (b"several=&several=c", Query(several=("c",))),
        (b"since=1970-01-01T00:00:01Z", Query(since=Time(1_000_000))),
    ],
)
def test_queries_become_structs(query: bytes, expected: Query) -> None:
    assert QueryReader(Query).read(query) == expected


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (b"number=x", "number"),
        (b"number=0", "number"),
        (b"number=10", "number"),
        (b"yes=perhaps", "yes"),
        (b"several=a,d", "several"),
        (b"text=1&text=2", "text"),
        (b"unknown=1", "unknown"),
        (b"since=yesterday", "since"),
        (b"age=null", "age"),
        (b"age=NULL", "age"),
        (b"since=null", "since"),
        (b"text=%00", "text"),
        (b"several=a,%00", "several"),
    ],
)
def test_a_wrong_parameter_is_named(query: bytes, parameter: str) -> None:
    with pytest.raises(Invalid) as caught:
        QueryReader(Query).read(query)
    [fault] = caught.value.faults
    assert fault.parameter == parameter
    assert fault.pointer is None


def test_the_word_null_is_a_text_like_another() -> None:
    assert QueryReader(Query).read(b"text=null") == Query(text="null")


def test_a_parameter_that_is_missing_is_named() -> None:
    reader = QueryReader(Needed)
    with pytest.raises(Invalid) as caught:
        reader.read(b"")
    assert caught.value.faults[0].parameter == "token"
    assert reader.read(b"token=t&more=1") == Needed("t"), "its shape does not mind other parameters"


@pytest.mark.parametrize("query", [b"text=%FF", b"text=\xff", b"&".join([b"a=1"] * (MAX_PARAMETERS + 1))])
def test_what_can_t_be_read_is_malformed(query: bytes) -> None:
    with pytest.raises(Malformed):
        QueryReader(Query).read(query)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [(b"number=1&text=%FF", "text"), (b"text=\xff", "text"), (b"a%20b%FF=1&text=%FF", "a b\\xff"), (b"\xff", "\\xff")],
)
def test_the_parameter_that_can_t_be_read_is_named(query: bytes, parameter: str) -> None:
    with pytest.raises(Malformed) as caught:
        QueryReader(Query).read(query)
    assert [fault.parameter for fault in caught.value.facts["errors"]] == [parameter]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(query: bytes) -> None:
    try:
        read: Any = QueryReader(Query).read(query)
    except (Malformed, Invalid):
        return
    assert isinstance(read, Query)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_any_text_arrives(text: str) -> None:
    assert QueryReader(Query).read(urlencode({"text": text}).encode()) == Query(text=text)
