"""How a function's return value or exception becomes an outcome."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from milepost import File, Parked, TaskError
from milepost.engine import outcome
from milepost.engine.outcome import (
    FileReturned,
    Raised,
    Stopped,
    StopReason,
    ValueReturned,
    of_caught,
    of_exception,
    of_value,
)
from milepost.task import Failure
from milepost.times import LONGEST_DURATION, SECOND
from tests.engine import misbehaving


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", [1, [2]], {"a": {"b": None}}])
def test_a_json_value_is_the_result(value: Any) -> None:
    returned = of_value(value)
    assert isinstance(returned, ValueReturned)
    assert msgspec.json.decode(returned.body) == value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), {"a": {object()}}, "half a pair \ud83d", nested(100_000)])
def test_what_json_can_not_say_fails_without_another_try(value: Any) -> None:
    raised = of_value(value)
    assert isinstance(raised, Raised)
    assert raised.failure.code == "result_not_serialisable"
    assert raised.failure.message.startswith(
        f"The task returned a value of type {type(value).__name__} that can't be written as JSON"
    )
    assert not raised.retry


def test_a_value_that_is_too_large_fails_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "LARGEST_VALUE", 10)
    assert of_value("x" * 8) == ValueReturned(b'"xxxxxxxx"')
    raised = of_value("x" * 9)
    assert isinstance(raised, Raised)
    assert raised.failure == Failure(
        "result_too_large", "The task returned 11 bytes of JSON, more than 10: return a File."
    )
    assert not raised.retry


def test_a_file_is_named_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert of_value(File("out.csv")) == FileReturned(os.fsencode(tmp_path / "out.csv"), "out.csv", None)
    assert of_value(File(tmp_path / "x", "report.pdf", "application/pdf")) == FileReturned(
        os.fsencode(tmp_path / "x"), "report.pdf", "application/pdf"
    )
    assert repr(File("a/out.csv", media_type="text/csv")) == "File('a/out.csv', name='out.csv', media_type='text/csv')"


def test_a_file_may_have_a_name_that_is_not_text() -> None:
    path = os.fsdecode(b"/tmp/caf\xe9")
    assert of_value(File(path)) == FileReturned(b"/tmp/caf\xe9", "caf_", None)


def test_parking_is_no_failure_and_passes_except_exception() -> None:
    parked = Parked(StopReason.CHILDREN, ("a",))
    parked.is_due = True  # as the context raises it
    for asked in (None, StopReason.PAUSE):
        assert of_caught(parked, asked=asked) == Stopped(StopReason.CHILDREN, ("a",))
    assert not issubclass(Parked, Exception)


def test_a_function_that_parks_itself_stops_for_what_it_was_asked_and_else_has_failed() -> None:
    parked = Parked(StopReason.CHILDREN, ("a",))
    assert of_caught(parked, asked=StopReason.PAUSE) == Stopped(StopReason.PAUSE)
    failed = of_caught(parked)
    assert isinstance(failed, Raised)
    message = "The task raised Parked, though nothing had asked it to stop."
    assert (failed.failure, failed.retry) == (Failure("exception", message), True)


def test_a_task_error_says_how_it_failed() -> None:
    error = TaskError("The shop is closed.", code="closed", retry=False, retry_in="90s")
    assert of_exception(error, "trace") == Raised(Failure("closed", "The shop is closed."), "trace", False, 90 * SECOND)
    assert str(error) == "The shop is closed."
    assert of_exception(TaskError("x", retry_in=1.5), "") == Raised(Failure("failed", "x"), "", True, 1_500_000)


@pytest.mark.parametrize(("given", "kept"), [(10**30, LONGEST_DURATION), (-1, 0)])
def test_the_next_try_is_at_no_time_that_can_t_be_kept(given: int, kept: int) -> None:
    error = TaskError("x")
    error.retry_in = given
    assert of_exception(error, "") == Raised(Failure("failed", "x"), "", True, kept)


@pytest.mark.parametrize("retry_in", ["soon", -1, float("nan"), float("inf")])
def test_a_pause_that_is_none_is_refused_where_it_is_said(retry_in: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        TaskError("x", retry_in=retry_in)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad row"), "ValueError: bad row"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "SystemExit: 3"),
        (
            FileNotFoundError(2, "No such file", os.fsdecode(b"caf\xe9")),
            "FileNotFoundError: [Errno 2] No such file: 'caf\\udce9'",
        ),
        (Mute(), "Mute: <Mute without a text>"),
    ],
)
def test_any_other_exception_is_named(error: BaseException, message: str) -> None:
    assert of_exception(error, "half \ud83d") == Raised(Failure("exception", message), "half \\ud83d")


def test_a_message_that_is_no_text_is_made_one() -> None:
    error = TaskError(ValueError("odd"), code=7)  # type: ignore[arg-type]
    assert of_exception(error, "") == Raised(Failure("7", "odd"), "")


def test_an_exception_without_a_traceback_is_told_all_the_same() -> None:
    try:
        raise misbehaving.Untraceable("x")
    except misbehaving.Untraceable as error:
        caught = of_caught(error)
    assert caught == Raised(Failure("exception", "Untraceable: x"), "There is no traceback: never")
