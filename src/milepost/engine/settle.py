"""What does the end of a try make of the task's record?"""

import asyncio
import logging
import mimetypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from milepost import lifecycle
from milepost.engine.outcome import (
    LARGEST_VALUE,
    Died,
    FileReturned,
    Outcome,
    Raised,
    Stopped,
    StopReason,
    ValueReturned,
    value_too_large,
)
from milepost.engine.task_type import TaskType
from milepost.engine.text import keepable
from milepost.files.protocol import FileStore
from milepost.lifecycle import Report, Step
from milepost.task import Failure, FileResult, JsonResult, Task
from milepost.times import Clock

LARGEST_FILE: Final = 1 << 40
"""Bytes of a file that a task may return."""

_log = logging.getLogger(__name__)

Ending = Callable[[Task], Step]
"""What the end of a try does to the record as it stands."""


class Settlement:
    """Turns outcomes into what is to become of the record; files go into the file store on the way.

    `largest_value` and `largest_file`: bytes of JSON, and of a file, that a task may return.
    """

    def __init__(
        self,
        files: FileStore,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        largest_value: int = LARGEST_VALUE,
        largest_file: int = LARGEST_FILE,
    ) -> None:
        self._files = files
        self._largest_value = largest_value
        self._largest_file = largest_file
        self._clock = clock
        self._jitter = jitter

    async def stored(self, outcome: Outcome) -> Outcome | FileResult:
        """The outcome once its file, if it has one, is in the file store. May take as long as copying takes."""
        match outcome:
            case FileReturned():
                return await self._put(outcome)
            case ValueReturned(body=body) if len(body) > self._largest_value:
                return value_too_large(len(body), self._largest_value)
        return outcome

    def ending(self, task_type: TaskType, outcome: Outcome | FileResult, report: Report) -> Ending:
        """The change that a stored outcome makes, with what was told last."""
        match outcome:
            case FileResult() as file:
                return lambda task: lifecycle.succeed(task, now=self._clock(), result=file, report=report)
            case ValueReturned(body=body):
                result = JsonResult(len(body), msgspec.Raw(body))
                return lambda task: lifecycle.succeed(task, now=self._clock(), result=result, report=report)
            case Stopped(reason=StopReason.TIMEOUT):
                return self._timeout_ending(task_type, report)
            case Stopped(waits_for=waits_for):
                return lambda task: lifecycle.park(task, now=self._clock(), report=report, waits_for=waits_for)
            case Died(how=how):
                return lambda task: lifecycle.lose(task, now=self._clock(), how=how, report=report)
            case Raised():
                return self._failure_ending(task_type, outcome, report)
        raise TypeError(f"{outcome!r} is to be stored first.")

    async def _put(self, file: FileReturned) -> FileResult | Raised:
        path = Path(os.fsdecode(file.path))
        try:
            size = (await asyncio.to_thread(path.stat)).st_size
            if size > self._largest_file:
                why = f"The file {file.name} has {size} bytes, more than {self._largest_file}."
                return Raised(Failure("result_too_large", why), retry=False)
            stored = await self._files.put(path)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError)
            why = f"The file {file.name} could not be stored: {error.strerror or error}."
            return Raised(Failure("result_not_stored", why), retry=not gone)
        except Exception as error:  # of a file store of somebody's own: the task must come to an end all the same
            _log.exception("The file %s could not be stored", file.name)
            return Raised(Failure("result_not_stored", f"The file {file.name} could not be stored: {keepable(error)}"))
        media_type = file.media_type or _media_type(file.name)
        return FileResult(stored.key, file.name, media_type, stored.size, stored.sha256)

    def _timeout_ending(self, task_type: TaskType, report: Report) -> Ending:
        """Who asked to cancel it before gets that, and no failure."""
        timeout = Raised(Failure("timeout", "The task ran longer than its timeout allows."))
        fail = self._failure_ending(task_type, timeout, report)
        return lambda task: (
            lifecycle.park(task, now=self._clock(), report=report) if task.cancel_requested else fail(task)
        )

    def _failure_ending(self, task_type: TaskType, raised: Raised, report: Report) -> Ending:
        def ending(task: Task) -> Step:
            return lifecycle.fail(
                task,
                now=self._clock(),
                failure=raised.failure,
                retry_in=self._retry_in(task, task_type, raised),
                report=report,
                traceback=raised.traceback,
            )

        return ending

    def _retry_in(self, task: Task, task_type: TaskType, raised: Raised) -> int | None:
        if not raised.retry:
            return None
        if raised.retry_in is not None:
            return raised.retry_in
        return task_type.backoff.delay(task.attempt, self._jitter())


def _media_type(name: str) -> str:
    kind, compression = mimetypes.guess_type(name)
    if compression is not None:
        kind = f"application/{compression}"
    return kind or "application/octet-stream"
