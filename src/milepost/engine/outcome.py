"""How can a try end?"""

from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from milepost.task import Failure


class StopReason(StrEnum):
    """Why a running task is to stop."""

    PAUSE = "pause"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    TIMEOUT = "timeout"
    LEASE_LOST = "lease_lost"


class Parked(BaseException):
    """Raised by a checkpoint when the task is to stop there. What was saved is durable.

    Not an Exception, so that `except Exception` in a task lets it pass.
    """

    def __init__(self, reason: StopReason) -> None:
        self.reason = reason
        super().__init__(f"Stopped at a checkpoint: {reason}.")


class TaskError(Exception):
    """Raise it in a task to say how it failed.

    `code` is for programs and stays the same over time; `retry=False` ends the task whatever attempts are left;
    `retry_in` (seconds) replaces the backoff before the next try.
    """

    def __init__(
        self, message: str, *, code: str = "failed", retry: bool = True, retry_in: float | None = None
    ) -> None:
        self.message = message
        self.code = code
        self.retry = retry
        self.retry_in = retry_in
        super().__init__(message)


class File:
    """A result that is a file: returned by a task, streamed into the file store.

    `name` is what a download is called (default: the path's own), `media_type` by default guessed from the name.
    """

    def __init__(self, path: Path | str, name: str | None = None, media_type: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or self.path.name
        self.media_type = media_type

    def __repr__(self) -> str:
        return f"File({str(self.path)!r}, name={self.name!r}, media_type={self.media_type!r})"


class FileReturned(msgspec.Struct, frozen=True, tag="file"):
    """The function returned a file."""

    path: str
    name: str
    media_type: str | None


class ValueReturned(msgspec.Struct, frozen=True, tag="value"):
    """The function returned a value; here it is as JSON."""

    body: bytes


class Raised(msgspec.Struct, frozen=True, tag="raised"):
    """The function raised. `retry_in` is in seconds."""

    failure: Failure
    traceback: str | None = None
    retry: bool = True
    retry_in: float | None = None


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The function stopped because it was asked to, or was stopped by force."""

    reason: StopReason


class Died(msgspec.Struct, frozen=True, tag="died"):
    """The process that ran the function ended without a word."""

    how: str


Outcome = FileReturned | ValueReturned | Raised | Stopped | Died


def of_value(value: Any) -> Outcome:
    """The outcome of a function that returned."""
    if isinstance(value, File):
        return FileReturned(str(value.path.resolve()), value.name, value.media_type)
    try:
        return ValueReturned(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        message = f"The task returned a {type(value).__name__} that can't be written as JSON: {error}"
        return Raised(Failure("result_not_serialisable", message), retry=False)


def of_exception(error: BaseException, traceback: str) -> Outcome:
    """The outcome of a function that raised."""
    if isinstance(error, Parked):
        return Stopped(error.reason)
    if isinstance(error, TaskError):
        return Raised(Failure(error.code, error.message), traceback, error.retry, error.retry_in)
    text = str(error)
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return Raised(Failure("exception", message), traceback)
