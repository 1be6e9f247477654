"""What makes a function a task type, and its parameters an input."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost import BlockingContext, Context
from milepost.engine.context import Place
from milepost.engine.source import load_file
from milepost.engine.task_type import Backoff, TaskType
from milepost.times import HOUR, MINUTE, SECOND
from tests.engine.leases import Book


class Range(msgspec.Struct):
    start: int
    stop: int = 10


async def export(
    ctx: Context,
    *,
    index: str,
    form: Literal["csv", "json"] = "csv",
    limit: int | None = None,
    since: datetime | None = None,
    part: Range | None = None,
    tags: list[str] = ["a"],  # noqa: B006 - that it is not shared is the point
    title: Annotated[str, msgspec.Meta(description="What it is called.", min_length=1)] = "x",
) -> None:
    """Export an index.

    With all of its rows.
    """


def call(task_type: TaskType, body: bytes) -> dict[str, Any]:
    (context,), keywords = task_type.arguments(Context(Book().lease(), Place("", "")), body)
    assert isinstance(context, Context)
    return keywords


def test_input_is_converted_as_the_signature_says() -> None:
    body = b'{"index":"w","form":"json","limit":5,"since":"2026-01-02T03:04:05Z","part":{"start":1},"tags":[]}'
    assert call(TaskType(export), body) == {
        "index": "w",
        "form": "json",
        "limit": 5,
        "since": datetime.fromisoformat("2026-01-02T03:04:05+00:00"),
        "part": Range(1, 10),
        "tags": [],
        "title": "x",
    }


def test_defaults_stand_where_nothing_is_said() -> None:
    assert call(TaskType(export), b'{"index":"w"}') == {
        "index": "w",
        "form": "csv",
        "limit": None,
        "since": None,
        "part": None,
        "tags": ["a"],
        "title": "x",
    }


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"name": ""}, "'' can't name a task type"),
        ({"runner": ""}, "there is no runner ''"),
        ({"runner": []}, "there is no runner"),
        ({"backoff": "1h"}, "backoff is longer than backoff_max, which is '10m'"),
    ],
)
def test_what_says_nothing_is_not_the_default(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        TaskType(export, **options)


def test_a_whole_number_may_be_written_as_json_may_write_it() -> None:
    assert call(TaskType(export), b'{"index":"5","limit":5.0}')["limit"] == 5
    assert call(TaskType(export), b'{"index":"5","limit":5.0}')["index"] == "5"


def test_a_mutable_default_is_not_shared() -> None:
    async def work(ctx: Context, rows: list[dict[str, int]] = [{"a": 1}], part: Range = Range(1)) -> None:  # noqa: B006, B008
        ...

    task_type = TaskType(work)
    first = call(task_type, b"{}")
    first["rows"][0]["a"] = 2
    first["part"].start = 2
    assert call(task_type, b"{}") == {"rows": [{"a": 1}], "part": Range(1)}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"index":1}', "Expected `str`, got `int` - at `$.index`"),
        (b"{}", "missing required field `index`"),
        (b'{"index":"w","more":1}', "unknown field `more`"),
        (b'{"index":"w","form":"xml"}', "Invalid enum value 'xml' - at `$.form`"),
        (b'{"index":"w","part":{}}', "missing required field `start` - at `$.part`"),
        (b'{"index":"w","title":""}', "length >= 1 - at `$.title`"),
    ],
)
def test_input_that_does_not_fit_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refusal:
        TaskType(export).arguments(Context(Book().lease(), Place("", "")), body)
    assert message in str(refusal.value)


def test_the_schema_says_what_may_be_sent() -> None:
    schema = TaskType(export).info.schema
    assert schema["required"] == ["index"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["form"] == {"enum": ["csv", "json"], "default": "csv"}
    assert schema["properties"]["title"] == {
        "type": "string",
        "minLength": 1,
        "description": "What it is called.",
        "default": "x",
    }
    assert {"$ref": "#/$defs/Range"} in schema["properties"]["part"]["anyOf"]
    assert schema["$defs"]["Range"]["required"] == ["start"]
    assert "title" not in schema


def test_options_are_what_is_known_of_the_type() -> None:
    options: dict[str, Any] = {"name": "export-all", "retries": 2, "timeout": "30m", "concurrency": 3, "priority": 5}
    info = TaskType(export, **options, keep_result="1h", keep_record=60).info
    assert (info.name, info.runner, info.max_attempts, info.timeout) == ("export-all", "loop", 3, 30 * MINUTE)
    assert (info.concurrency, info.priority, info.keep_result, info.keep_record) == (3, 5, HOUR, MINUTE)
    assert info.description == "Export an index.\n\nWith all of its rows."


def plain(ctx: BlockingContext) -> None: ...


def without_types(ctx, a, b=1): ...  # type: ignore[no-untyped-def]


def without_context(a: int) -> None: ...


def test_the_context_is_known_by_its_type_or_its_name() -> None:
    assert TaskType(export).takes_context
    assert TaskType(plain).takes_context
    assert TaskType(plain).info.schema["properties"] == {}
    assert "$defs" not in TaskType(plain).info.schema
    assert TaskType(without_types).takes_context
    assert call(TaskType(without_types), b'{"a":[1]}') == {"a": [1], "b": 1}
    assert not TaskType(without_context).takes_context
    assert TaskType(without_context).arguments(Context(Book().lease(), Place("", "")), b'{"a":1}') == ((), {"a": 1})


def test_a_function_runs_where_it_fits_or_where_it_is_told() -> None:
    assert TaskType(export).runner == "loop"
    assert TaskType(plain).runner == "thread"
    assert TaskType(plain, runner="process").runner == "process"
    assert TaskType(export, runner="process").is_async


async def streaming(ctx: Context) -> AsyncIterator[int]:
    yield 1


def listing(ctx: BlockingContext) -> Iterator[int]:
    yield 1


def test_a_closure_has_no_process_of_its_own() -> None:
    def inner(ctx: BlockingContext) -> None: ...

    assert TaskType(inner).runner == "thread"
    with pytest.raises(
        ValueError, match=r"inner: a process can only find functions that have a name at the top of a module"
    ):
        TaskType(inner, runner="process")


anonymous = lambda ctx: None  # noqa: E731 - that is what it is about


def test_a_lambda_is_not_found_by_any_name() -> None:
    assert TaskType(anonymous, name="anonymous").source is None
    with pytest.raises(
        ValueError, match=r"anonymous: a process can only find functions that have a name .* not <lambda>"
    ):
        TaskType(anonymous, name="anonymous", runner="process")


def test_a_function_that_another_one_has_followed_under_its_name_is_not_found(tmp_path: Path) -> None:
    file = tmp_path / "jobs.py"
    file.write_text(
        "from milepost import Milepost\napp = Milepost()\n"
        "@app.task(name='first', runner='process')\ndef work(): ...\n"
        "@app.task(name='second', runner='process')\n@app.task(name='third', runner='process')\ndef work(): ...\n"
    )
    types = load_file(file).app.types
    assert types["first"].source is None
    assert types["second"].source == types["third"].source is not None


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (plain, {"name": "Plain"}, "'Plain' can't name a task type: a lower-case letter"),
        (plain, {"name": "a" * 65}, "can't name a task type"),
        (plain, {"name": "tasks"}, "'tasks' can't name a task type: a path of the HTTP API needs this word"),
        (plain, {"retries": -1}, "plain: retries must be a whole number from 0 to 999, not -1"),
        (plain, {"retries": 1000}, "plain: retries must be a whole number from 0 to 999, not 1000"),
        (plain, {"retries": "3"}, "plain: retries must be a whole number from 0 to 999, not '3'"),
        (plain, {"retries": True}, "plain: retries must be a whole number"),
        (plain, {"priority": 2**31}, "plain: priority must be a whole number from -2147483647 to 2147483647"),
        (plain, {"concurrency": 0}, "plain: concurrency must be a whole number from 1 to 2147483647, not 0"),
        (plain, {"timeout": 0}, "plain: the timeout must be more than 0"),
        (plain, {"timeout": "soon"}, "plain: timeout: not a duration"),
        (plain, {"backoff": -1}, "plain: backoff: a duration in seconds must be a number from 0"),
        (plain, {"keep_result": object()}, "plain: keep_result must be text such as '90s', or seconds, not <object"),
        (plain, {"name": 3}, "3 can't name a task type"),
        (plain, {"runner": "loop"}, "plain: the loop runs async functions"),
        (export, {"runner": "thread"}, "export: an async function runs on the loop or in a process"),
        (plain, {"runner": "moon"}, "plain: there is no runner 'moon'"),
        (streaming, {}, "streaming: a generator can't be a task"),
        (listing, {}, "listing: a generator can't be a task"),
        (functools.partial(plain), {}, "can't be a task: only a function can"),
        (print, {}, "can't be a task: only a function can"),
        (Range, {}, "can't be a task: only a function can"),
        (Path().exists, {}, "can't be a task: only a function can"),
    ],
)
def test_what_does_not_work_is_refused_at_registration(
    function: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TaskType(function, **options)


@settings(deadline=None)
@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_backoff_doubles_up_to_its_longest_and_jitter_takes_at_most_half(attempt: int, jitter: float) -> None:
    backoff = Backoff(first=SECOND, longest=10 * MINUTE)
    whole = min(10 * MINUTE, SECOND * 2 ** min(attempt - 1, 60))
    assert whole // 2 <= backoff.delay(attempt, jitter) <= whole
    assert backoff.delay(attempt, 0) == whole // 2


def test_backoff_is_as_the_options_say() -> None:
    backoff = TaskType(plain, backoff="2s", backoff_max="5s").backoff
    assert [backoff.delay(attempt, 0.5) / SECOND for attempt in (1, 2, 3)] == [1.5, 3, 3.75]
