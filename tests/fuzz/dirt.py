"""What do callers send that nobody expects? Text, bytes and JSON, some of it by the grammar of what is asked for.

`MILEPOST_FUZZ=2000 scripts/test tests/fuzz` tries so many examples a test, other ones each time; without it they are
few, and the same at every run.
"""

import json
import os
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec import inspect

from milepost.http.fields import Duration, Time

EXAMPLES: Final = int(os.environ.get("MILEPOST_FUZZ", "0"))

DIRT: Final = (
    *("", " ", "\x00", "\x1b]0;owned\x07", "\x9b31m", "\x7f", "\r\nX-Evil: 1", "\u2028", "\u202e", "\u2066", "\ufeff"),
    *("\ud800", "\udcff", "\udbff\udfff", "\U0010ffff", "e\u0301", "²", "٣", "\uff11", "ß", "\u212a", "[" * 3000),
    *("..", "../../etc/passwd", "C:\\", "//evil", "%", "%00", "%ff", "%zz", "%2e%2e%2f", "%25", "%C0%AF", "+", ";"),
    *("&", "null", "true", "NaN", "-Infinity", "-0", "-1", "1e999", "1_0", "0x1", "9" * 18, "9" * 19, "9" * 5000),
    *('"', '\\"', "'", ",", ", ,", "=", ":", "[", "]", "{}", "*", "W/", '{"a":' * 1500, "a" * 5000, ", " * 3000),
)
"""Whole values, and pieces that are put into others."""

T = TypeVar("T")


def _one_of(pieces: Sequence[T]) -> st.SearchStrategy[T]:
    """Like `sampled_from`, which would show all of them wherever it is shown."""
    return st.integers(0, len(pieces) - 1).map(pieces.__getitem__)


NUMBERS: Final[Sequence[float]] = (0, -1, 1, 2**31, 2**53, 2**53 + 1, -(2**63), 2**63 - 1, 2**63, 2**64, 10**400)

numbers: Final = _one_of(NUMBERS)
texts: Final = _one_of(DIRT) | st.text(max_size=40) | st.text(st.sampled_from("\ud800\udc80\x00\x1b/\\"), max_size=5)


def decoded(text: str) -> str:
    """The text as one that was read as UTF-8."""
    return text.encode("utf-8", "replace").decode()


utf8: Final = texts.map(decoded)
"""Texts that have bytes in UTF-8, as what was decoded has."""
KNOWN: Final = st.sampled_from(["export", "pipeline", "agent", "default", "1764", "external", "running"])
"""What a test may have made."""
latin: Final = texts.map(lambda text: text.encode("utf-8", "surrogatepass").decode("latin-1"))
"""As headers are read."""
blobs: Final = st.binary(max_size=60) | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))


def fuzzed(examples: int) -> settings:
    """How often a test is tried, by default."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def dirty(clean: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """What is right, the same with something in it that is not, and anything else."""
    return clean | spoilt(clean) | texts


@st.composite
def spoilt(draw: st.DrawFn, clean: st.SearchStrategy[str]) -> str:
    """What was right, with a part of it replaced, doubled or left out."""
    text = draw(clean)
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 4)))
    piece = draw(st.sampled_from(("", text[start:], text[:stop])) | texts)
    return text[:start] + piece + text[stop:]


@st.composite
def spoilt_bytes(draw: st.DrawFn, clean: st.SearchStrategy[bytes]) -> bytes:
    """The same of bytes."""
    body = draw(clean)
    start = draw(st.integers(0, len(body)))
    stop = draw(st.integers(start, min(len(body), start + 4)))
    return body[:start] + draw(blobs) + body[stop:]


values: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | _one_of(NUMBERS) | st.floats() | texts | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
"""Whatever JSON can say, and a little more: NaN, halves of pairs, numbers of any size."""

_TIMES: Final = st.datetimes().map(lambda moment: moment.isoformat() + "Z") | st.just("9999-12-31T23:59:60-23:59")
_DURATIONS: Final = st.sampled_from(["1h30m", "250ms", "0s", "999999999999999999w", 0.1, 90, -1, 1e300])


def shaped(kind: Any) -> st.SearchStrategy[Any]:
    """Values as a type that msgspec reads has them, now and then with something else in their place."""
    return _shaped(inspect.type_info(kind))


def _shaped(info: inspect.Type) -> st.SearchStrategy[Any]:
    return mostly(_right(info))


def _right(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.Metadata():
            return _right(info.type)
        case inspect.StructType():
            return _object(info)
        case inspect.UnionType():
            return st.one_of([_right(each) for each in info.types])
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.EnumType():
            return st.sampled_from([member.value for member in info.cls])
        case inspect.ListType() | inspect.VarTupleType():
            return st.lists(_shaped(info.item_type), max_size=3)
        case inspect.DictType():
            return st.dictionaries(texts, _shaped(info.value_type), max_size=3)
        case inspect.CustomType():
            return _custom(info.cls)
    return _plain(info)


def _plain(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-5, 200) | _one_of(NUMBERS)
        case inspect.FloatType():
            return st.floats(0, 1) | st.floats()
        case inspect.StrType():
            return KNOWN | texts
        case inspect.NoneType():
            return st.none()
    return values


def _custom(kind: type) -> st.SearchStrategy[Any]:
    if issubclass(kind, Time):
        return _TIMES
    return _DURATIONS if issubclass(kind, Duration) else st.integers(0, 200)


def _object(info: inspect.StructType) -> st.SearchStrategy[Any]:
    fields = {field.encode_name: _shaped(field.type) for field in info.fields}
    needed = {field.encode_name for field in info.fields if field.required}
    return st.fixed_dictionaries(
        {name: fields[name] for name in needed}, optional={name: fields[name] for name in fields.keys() - needed}
    )


def written(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """JSON of values, or what was JSON."""
    body = st.builds(_json, kind, st.booleans())
    return body | spoilt_bytes(body) | _one_of(_NO_JSON)


def _json(value: Any, escaped: bool) -> bytes:
    return json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


_NO_JSON: Final = (
    *(b"", b"nul", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b'"\x80"', b'{"a":1,"a":2}', b'{"\\u0061":1,"a":2}'),
    *(b"[" * 9_000, b'{"a":' * 2_000, b"[" * 99 + b"]" * 99, b"9" * 5000, b"-" + b"9" * 400, b"1e400", b"1E-9999"),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b"[1,]", b"{}{}", b'"' + b"\\" * 9999, b'"\\u003a":', b"\x00", b"NaN"),
)


def names_of(shape: type[msgspec.Struct]) -> list[str]:
    """The parameters that a struct of a query has, as they are written."""
    return [field.encode_name for field in msgspec.structs.fields(shape)]


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is right, and now and then something else."""
    return st.one_of(*[right] * 7, values)


_ENDS: Final = mostly(st.sampled_from("ab"))
component: Final = st.fixed_dictionaries(
    {"provider": mostly(st.sampled_from(["file", "webhook", "x"]))},
    optional={
        "id": _ENDS,
        "name": _ENDS,
        "config": mostly(
            st.fixed_dictionaries({}, optional={"path": texts | values, "destination_url": texts | values})
        ),
        "input": mostly(st.lists(mostly(st.fixed_dictionaries({"from": _ENDS | values | st.just([])})), max_size=2)),
    },
)
pipelines: Final = st.fixed_dictionaries(
    {"components": mostly(st.lists(mostly(component), min_size=1, max_size=3))}, optional={"source": _ENDS}
)
"""What Aparavi's clients ask to be started."""
targets: Final = st.fixed_dictionaries(
    {"action": KNOWN | values}, optional={"campaign": st.sampled_from(["5", 5, "²", "9" * 30]) | values}
)
"""What a task of the Services API is about."""
