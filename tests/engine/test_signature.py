"""Which signatures say what may be sent, and how the others are refused."""

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
import pytest

from milepost import BlockingContext, Context
from milepost.engine.signature import Face, read_signature

if TYPE_CHECKING:
    from decimal import Decimal as Unknown


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int = 0


def read(function: Callable[..., Any], face: Face = BlockingContext) -> dict[str, Any]:
    """The properties of its schema."""
    properties: dict[str, Any] = read_signature("work", function, face).schema["properties"]
    return properties


# What can be sent.


def test_every_default_is_a_value_that_could_have_been_sent() -> None:
    def work(
        ctx: BlockingContext,
        number: float = 1,
        moment: datetime = datetime(2026, 1, 2, tzinfo=UTC),
        amount: Decimal = Decimal(1),
        colour: Colour = Colour.RED,
        point: Point = Point(2),  # noqa: B008
        tags: set[str] = {"a"},  # noqa: B006
        raw: bytes = b"x",
        text: Annotated[str, msgspec.Meta(max_length=3)] | None = None,
        anything: Any = {"a": [1]},  # noqa: B006
        left: int | msgspec.UnsetType = msgspec.UNSET,
    ) -> None: ...

    signature = read_signature("work", work, BlockingContext)
    assert signature.takes_context
    assert signature.schema["required"] == []
    given = msgspec.json.decode(b"{}", type=signature.input)
    for field, default in zip(signature.input.__struct_fields__, work.__defaults__ or (), strict=True):
        assert getattr(given, field) == default


def test_names_that_mean_something_elsewhere_are_names() -> None:
    def work(name: str, tag: int, kw_only: bool, mro: int, type: str, _private: int, ctx2: int) -> None: ...

    assert list(read(work)) == ["name", "tag", "kw_only", "mro", "type", "_private", "ctx2"]


def test_types_may_be_named_in_text_and_what_is_returned_need_not_be_known() -> None:
    def work(ctx: "BlockingContext", point: "Point", file: "list[int]") -> "Unknown": ...  # type: ignore[empty-body]

    signature = read_signature("work", work, BlockingContext)
    assert signature.takes_context
    assert signature.input.__struct_fields__ == ("point", "file")


def test_a_context_may_be_positional_only_and_have_any_name() -> None:
    def work(task: BlockingContext, /, ctx: int) -> None: ...

    assert list(read(work)) == ["ctx"]


# What can't.

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


class Moody:
    def __deepcopy__(self, _: Any) -> "Moody":
        raise RuntimeError("not today")

    def __repr__(self) -> str:
        raise RuntimeError("not today either")


class Holder(msgspec.Struct):
    path: Path


class Vague(msgspec.Struct):
    part: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


def variadic(ctx: BlockingContext, *files: str) -> None: ...
def open_ended(ctx: BlockingContext, **options: str) -> None: ...
def positional(ctx: BlockingContext, file: str, /) -> None: ...
def many_contexts(*ctx) -> None: ...  # type: ignore[no-untyped-def]
def named_contexts(**ctx) -> None: ...  # type: ignore[no-untyped-def]
def late_context(file: str, ctx: BlockingContext) -> None: ...
def keyword_context(*, ctx: BlockingContext) -> None: ...
def others_context(ctx: Context) -> None: ...
def method(self, ctx: BlockingContext) -> None: ...  # type: ignore[no-untyped-def]
def class_method(cls) -> None: ...  # type: ignore[no-untyped-def]
def mangled(__x: int) -> None: ...
def pythons_own(__init__: int = 1) -> None: ...
def a_path(file: Path) -> None: ...
def a_path_within(file: Holder) -> None: ...
def a_function(file: Callable[..., Any]) -> None: ...
def a_value(file: {}) -> None: ...  # type: ignore[valid-type]
def a_list(file: [int]) -> None: ...  # type: ignore[valid-type, misc]
def a_number(file: 5) -> None: ...  # type: ignore[valid-type]
def a_fraction(file: Literal[1.5]) -> None: ...  # type: ignore[valid-type]
def two_sequences(file: list[int] | set[str]) -> None: ...
def a_short_number(file: Annotated[int, msgspec.Meta(min_length=3)]) -> None: ...
def no_value(file: ClassVar[int] = 3) -> None: ...  # type: ignore[misc]
def vague(file: Vague) -> None: ...
def unknown(file: "Unknown") -> None: ...
def unknown_member(file: "msgspec.Nothing") -> None: ...  # type: ignore[name-defined]
def no_expression(file: "int +") -> None: ...  # type: ignore[valid-type]  # noqa: F722
def any_code(file: "1 / 0") -> None: ...  # type: ignore[valid-type]


UNREADABLE = [
    (variadic, r"the parameter \*files: str can't be filled from JSON"),
    (open_ended, r"the parameter \*\*options: str can't be filled from JSON"),
    (positional, "the parameter file: str can't be filled from JSON"),
    (many_contexts, r"the context \*ctx is passed by position"),
    (named_contexts, r"the context \*\*ctx is passed by position"),
    (keyword_context, "the context ctx: .*BlockingContext is passed by position"),
    (late_context, "the parameter ctx: the context has to be the first one"),
    (others_context, "the context ctx of a function made with def is BlockingContext"),
    (method, "the parameter self: a method can't be a task"),
    (class_method, "the parameter cls: a method can't be a task"),
    (mangled, "the parameter __x: names that begin with two underscores"),
    (pythons_own, "the parameter __init__: names that begin with two underscores"),
    (a_path, "the parameter file: it can't be read from JSON: type <class 'pathlib.Path'> is not supported"),
    (a_path_within, "the parameter file: it can't be read from JSON: type <class 'pathlib.Path'> is not supported"),
    (a_function, "the parameter file: it can't be read from JSON: .*Callable"),
    (a_value, "the parameter file: it can't be read from JSON: Type '{}' is not supported"),
    (a_list, "the parameter file: it can't be read from JSON"),
    (a_number, "the parameter file: it can't be read from JSON: Type '5' is not supported"),
    (a_fraction, "the parameter file: it can't be read from JSON: Literal may only contain"),
    (two_sequences, "the parameter file: it can't be read from JSON: Type unions may not contain more than one"),
    (a_short_number, "the parameter file: it can't be read from JSON: Can only set `min_length`"),
    (no_value, "the parameter file: it can't be read from JSON: ClassVar is no type of a value"),
    (vague, "the parameter file: it can't be read from JSON: name 'Nowhere' is not defined"),
    (unknown, "the type of the parameter file must be known when the program runs: name 'Unknown' is not defined"),
    (unknown_member, "the type of the parameter file must be known .*: module 'msgspec' has no attribute 'Nothing'"),
    (no_expression, "the type of the parameter file must be known .*: Forward reference must be an expression"),
    (any_code, "the type of the parameter file must be known when the program runs: division by zero"),
]


@pytest.mark.parametrize(("function", "why"), UNREADABLE, ids=[function.__name__ for function, _ in UNREADABLE])
def test_what_can_not_be_read_from_json_is_refused_by_name(function: Callable[..., Any], why: str) -> None:
    with pytest.raises(ValueError, match=f"^work: {why}") as refusal:
        read(function)
    assert type(refusal.value) is ValueError


def test_an_async_function_has_the_context_of_one() -> None:
    with pytest.raises(ValueError, match="work: the context ctx of a function made with async def is Context"):
        read(keyword_context, Context)


@pytest.mark.parametrize(
    ("kind", "default", "why"),
    [
        (int, "a", "its default 'a' is nothing that could be sent: Expected `int`, got `str`"),
        (int, None, "its default None is nothing that could be sent: Expected `int`, got `null`"),
        (int, True, "its default True is nothing that could be sent: Expected `int`, got `bool`"),
        (
            list[int],
            ["a"],
            r"its default \['a'\] is nothing that could be sent: Expected `int`, got `str` - at `\$\[0\]`",
        ),
        (Literal["a"], "b", "its default 'b' is nothing that could be sent: Invalid enum value 'b'"),
        (Annotated[int, msgspec.Meta(ge=3)], 1, "its default 1 is nothing that could be sent: Expected `int` >= 3"),
        (float, float("nan"), "its default nan is nothing that could be sent"),
        (str, "\ud800", r"its default '\\ud800' is nothing that could be sent: .*surrogates not allowed"),
        (Any, object(), "its default <object .*> is nothing that could be sent: Encoding objects of type object"),
        (Any, threading.Lock(), "its default <unlocked .*> is nothing that could be sent: cannot pickle"),
        (Any, ENDLESS, r"its default \[\[\.\.\.\]\] is nothing that could be sent: maximum recursion depth"),
        (Any, {(1, 2): 3}, "its default .* is nothing that could be sent: Only dicts with str-like"),
        (Any, Moody(), "its default Moody is nothing that could be sent: not today"),
        (int, msgspec.UNSET, "its default UNSET is nothing that could be sent"),
        (int, msgspec.field(default=3), "its default <msgspec.* is nothing that could be sent"),
        (
            msgspec.Raw,
            msgspec.Raw(b"{"),
            "its default <msgspec.* is nothing that could be sent: Input data was truncated",
        ),
    ],
)
def test_a_default_that_could_not_be_sent_is_refused_by_name(kind: Any, default: Any, why: str) -> None:
    def work(ctx: BlockingContext, part: Any = default) -> None: ...

    work.__annotations__["part"] = kind
    with pytest.raises(ValueError, match=f"^work: the parameter part: {why}") as refusal:
        read(work)
    assert type(refusal.value) is ValueError


def test_two_types_of_one_name_are_refused() -> None:
    def work(first: int, second: int) -> None: ...

    for name in ("first", "second"):
        work.__annotations__[name] = msgspec.defstruct("Part", [(name, int)], module=__name__)
    with pytest.raises(ValueError, match=r"work: two types of its parameters have the same name: .*Part"):
        read(work)


def test_a_signature_that_is_none_is_refused() -> None:
    def work() -> None: ...

    work.__signature__ = "not a signature"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="work: its signature can't be read: unexpected object 'not a signature'"):
        read(work)
