"""What does the end of a try make of the task's record?"""

import mimetypes
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from milepost import lifecycle
from milepost.engine.outcome import Died, FileReturned, Outcome, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.task_type import TaskType
from milepost.files.protocol import FileStore
from milepost.lifecycle import Report, Step
from milepost.task import Failure, FileResult, JsonResult, Task
from milepost.times import Clock

Ending = Callable[[Task], Step]
"""What the end of a try does to the record as it stands."""


class Settlement:
    """Turns outcomes into what is to become of the record; files go into the file store on the way."""

    def __init__(self, files: FileStore, *, clock: Clock, jitter: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._jitter = jitter

    async def ending(self, task_type: TaskType, outcome: Outcome, report: Report) -> Ending:
        """The change that an outcome makes, with what was told last."""
        match outcome:
            case ValueReturned(body=body):
                result = JsonResult(len(body), msgspec.Raw(body))
                return lambda task: lifecycle.succeed(task, now=self._clock(), result=result, report=report)
            case FileReturned():
                return await self._file_ending(task_type, outcome, report)
            case Stopped(reason=StopReason.TIMEOUT):
                timeout = Failure("timeout", "The task ran longer than its timeout allows.")
                return self._failure_ending(task_type, Raised(timeout), report)
            case Stopped():
                return lambda task: lifecycle.park(task, now=self._clock(), report=report)
            case Died(how=how):
                return lambda task: lifecycle.lose(task, now=self._clock(), how=how, report=report)
        return self._failure_ending(task_type, outcome, report)

    async def _file_ending(self, task_type: TaskType, file: FileReturned, report: Report) -> Ending:
        try:
            stored = await self._files.put(Path(os.fsdecode(file.path)))
        except OSError as error:
            gone = isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError)
            why = f"The file {file.name} could not be stored: {error.strerror or error}."
            raised = Raised(Failure("result_not_stored", why), retry=not gone)
            return self._failure_ending(task_type, raised, report)
        result = FileResult(
            stored.key, file.name, file.media_type or _media_type(file.name), stored.size, stored.sha256
        )
        return lambda task: lifecycle.succeed(task, now=self._clock(), result=result, report=report)

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
