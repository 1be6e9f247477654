"""What does the end of a try make of the task's record?"""

import mimetypes
from collections.abc import Callable
from pathlib import Path

import msgspec

from milepost import lifecycle
from milepost.engine.channel import Lease
from milepost.engine.outcome import Died, FileReturned, Outcome, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.task_type import TaskType
from milepost.files.protocol import FileStore
from milepost.lifecycle import Report, Step
from milepost.store.protocol import LeasedEdit, LeaseLost, TaskStore
from milepost.task import Failure, FileResult, JsonResult, Task
from milepost.times import SECOND, Clock

Ending = Callable[[Task], Step]


class Settlement:
    """Turns outcomes into steps, and has the store apply them while the lease holds."""

    def __init__(self, store: TaskStore, files: FileStore, *, clock: Clock, jitter: Callable[[], float]) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._jitter = jitter

    async def settle(self, lease: Lease, task_type: TaskType, outcome: Outcome, report: Report) -> Task | None:
        """Write how a try ended, with what was told last; the record after it, None when the lease was lost."""
        ending = await self._ending(task_type, outcome, report)
        edit = LeasedEdit(lease.task.id, lease.task.epoch, ending)
        (after,) = await self._store.change_leased([edit], now=self._clock())
        return None if isinstance(after, LeaseLost) else after

    async def _ending(self, task_type: TaskType, outcome: Outcome, report: Report) -> Ending:
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
            case Raised():
                return self._failure_ending(task_type, outcome, report)

    async def _file_ending(self, task_type: TaskType, file: FileReturned, report: Report) -> Ending:
        try:
            stored = await self._files.put(Path(file.path))
        except OSError as error:
            gone = isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError)
            failure = Failure("result_not_stored", f"The file {file.name} could not be stored: {error.strerror}.")
            return self._failure_ending(task_type, Raised(failure, retry=not gone), report)
        media_type = file.media_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        result = FileResult(stored.key, file.name, media_type, stored.size, stored.sha256)
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
            return int(raised.retry_in * SECOND)
        return task_type.backoff.delay(task.attempt, self._jitter())
