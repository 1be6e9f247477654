"""How can a try end?"""

import os
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from milepost import file_name
from milepost.engine.text import keepable
from milepost.engine.veil import Veil
from milepost.task import Failure
from milepost.times import LONGEST_DURATION, parse_duration

LARGEST_VALUE: Final = 256 * 1024 * 1024
"""Bytes of JSON that a task may return; what is larger is a file."""
LONGEST_CODE: Final = 100
"""Characters of a failure's code that are kept."""
LONGEST_TRACEBACK: Final = 1024 * 1024
"""Characters of a traceback that are kept."""


class StopReason(StrEnum):
    """Why a running task is to stop."""

    PAUSE = "pause"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    TIMEOUT = "timeout"
    LEASE_LOST = "lease_lost"
    CHILDREN = "children"
    """It waits for tasks that it has started."""


class Parked(BaseException):
    """Raised by a checkpoint when the task is to stop there. What was saved is durable.

    Not an Exception, so that `except Exception` in a task lets it pass. A task that raises one itself stops only if it
    was asked to, else it has failed.
    """

    is_due = False
    """Whether the context has raised it, and not the function."""

    def __init__(self, reason: StopReason, waits_for: tuple[str, ...] = ()) -> None:
        self.reason = reason
        self.waits_for = waits_for
        super().__init__(f"Stopped at a checkpoint: {reason}.")


class TaskError(Exception):
    """Raise it in a task to say how it failed.

    `code` is for programs and stays the same over time; `retry=False` ends the task whatever attempts are left;
    `retry_in` (`"90s"`, or seconds) replaces the backoff before the next try. Raises ValueError where it is neither.
    """

    def __init__(
        self, message: str, *, code: str = "failed", retry: bool = True, retry_in: str | float | None = None
    ) -> None:
        self.message = message
        self.code = code
        self.retry = retry
        self.retry_in = None if retry_in is None else parse_duration(retry_in)
        super().__init__(message)


class File:
    """A result that is a file: returned by a task, streamed into the file store.

    `name` is what a download is called (default: the path's own), `media_type` by default guessed from the name. Both
    are cleaned on the way: see `milepost.file_name`.
    """

    def __init__(self, path: Path | str, name: str | None = None, media_type: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or self.path.name
        self.media_type = media_type

    def __repr__(self) -> str:
        return f"File({str(self.path)!r}, name={self.name!r}, media_type={self.media_type!r})"


class FileReturned(msgspec.Struct, frozen=True, tag="file"):
    """The function returned a file. Its path is in bytes, as a name on disk need not be text."""

    path: bytes
    name: str
    media_type: str | None


class ValueReturned(msgspec.Struct, frozen=True, tag="value"):
    """The function returned a value; here it is as JSON."""

    body: bytes


class Raised(msgspec.Struct, frozen=True, tag="raised"):
    """The function raised. `retry_in` is in µs."""

    failure: Failure
    traceback: str | None = None
    retry: bool = True
    retry_in: int | None = None


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The function stopped: it was asked to, or by force, or to wait for tasks that it has started."""

    reason: StopReason
    waits_for: tuple[str, ...] = ()


class Died(msgspec.Struct, frozen=True, tag="died"):
    """The process that ran the function ended without a word."""

    how: str


UNTOLD: Final = Raised(Failure("exception", "The task raised an exception that can't be told."))
"""The outcome of a function that ended in no other way."""

Outcome = FileReturned | ValueReturned | Raised | Stopped | Died


def veiled(outcome: Outcome, veil: Veil) -> Outcome:
    """How a try ended, told without secrets."""
    match outcome:
        case Raised(failure=failure, traceback=traceback):
            said = replace(failure, code=veil.text(failure.code), message=veil.text(failure.message))
            return replace(outcome, failure=said, traceback=None if traceback is None else veil.text(traceback))
        case Died(how=how):
            return replace(outcome, how=veil.text(how))
    return outcome


def of_value(value: Any) -> Outcome:
    """The outcome of a function that returned."""
    if isinstance(value, File):
        return _of_file(value)
    try:
        body = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        kind = f"a value of type {type(value).__name__}"
        message = f"The task returned {kind} that can't be written as JSON: {keepable(error)}"
        return Raised(Failure("result_not_serialisable", message), retry=False)
    if len(body) > LARGEST_VALUE:
        return value_too_large(len(body), LARGEST_VALUE)
    return ValueReturned(body)


def value_too_large(size: int, most: int) -> Raised:
    """The outcome of a function that returned more bytes of JSON than it may."""
    message = f"The task returned {size} bytes of JSON, more than {most}: return a File."
    return Raised(Failure("result_too_large", message), retry=False)


def _of_file(file: File) -> Outcome:
    """A file that can be read to an end; from a pipe or a device there may come nothing, or something for ever."""
    said: object = file.name  # by any code
    # Not all of it through `keepable`: it makes backslashes of what is no text, and these would end folders.
    name = file_name.cleaned(said if isinstance(said, str) else keepable(said), "result")
    try:
        path = file.path.resolve()
        why = None if not path.exists() or path.is_file() or path.is_dir() else "it is no regular file"
    except (OSError, RuntimeError, ValueError) as error:  # a name that no file can have, symlinks in a circle
        path, why = file.path, keepable(error)
    if why is not None:
        return Raised(Failure("result_not_stored", f"The file {name} could not be stored: {why}."), retry=False)
    media_type = None if file.media_type is None else keepable(file.media_type)
    return FileReturned(os.fsencode(path), name, media_type)


def of_caught(error: BaseException, *, asked: StopReason | None = None) -> Outcome:
    """The outcome of a function whose exception is being handled. Raises nothing at all.

    `asked` is why it was asked to stop, if it was at any time, even if that was taken back.
    """
    try:
        if isinstance(error, Parked) and asked is not None and not error.is_due:
            return Stopped(asked)
        try:
            trace = traceback.format_exc()
        except BaseException as lacking:  # an exception's notes are any code too
            trace = f"There is no traceback: {keepable(lacking)}"
        return of_exception(error, trace)
    except BaseException:  # and so is the name of its class
        return UNTOLD


def of_exception(error: BaseException, trace: str) -> Outcome:
    """The outcome of a function that raised. Raises nothing itself, whatever the function's own exceptions are like."""
    if isinstance(error, Parked) and error.is_due:
        return Stopped(error.reason, error.waits_for)
    trace = keepable(trace, longest=LONGEST_TRACEBACK)
    text = keepable(error)
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, Parked):
        message = f"The task raised {type(error).__name__}, though nothing had asked it to stop."
    if isinstance(error, TaskError):
        try:
            return _of_task_error(error, trace)
        except Exception as lacking:  # a subclass that does not set what it inherits, or sets something else
            message += f" (what it says of itself can't be used: {keepable(lacking)})"
    return Raised(Failure("exception", message), trace)


def _of_task_error(error: TaskError, trace: str) -> Raised:
    failure = Failure(keepable(error.code, longest=LONGEST_CODE), keepable(error.message))
    retry_in = None if error.retry_in is None else min(LONGEST_DURATION, max(0, int(error.retry_in)))
    return Raised(failure, trace, bool(error.retry), retry_in)
