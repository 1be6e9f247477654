"""How do the record, an entry of its log, the outcome of a start and a task type look in the native API?"""

from collections.abc import Sequence
from typing import Final

import msgspec

from milepost.errors import ServiceError
from milepost.http.dialects.native_answers import (
    EntryBody,
    FileBody,
    OutcomeBody,
    ResultLink,
    StartedBody,
    TaskBody,
    TriggerText,
    TypeBody,
)
from milepost.http.problems import Problem, problem_body, status_of
from milepost.service import Created, TypeInfo
from milepost.task import DeliveredFile, Entry, FileResult, JsonResult, Task
from milepost.times import SECOND, to_rfc3339
from milepost.trigger import Trigger

INLINE: Final = 64 << 10
"""Bytes up to which a JSON result stands in the record itself."""


def task_body(task: Task, result_url: str) -> TaskBody:
    """The record, without its cold parts; `result_url` is where its result can be fetched."""
    result = _result(task.result, result_url)
    return TaskBody(
        id=task.id,
        number=task.number,
        tenant=task.tenant,
        owner=task.owner,
        parent=task.parent,
        origin=task.origin,
        type=task.type,
        runner=task.runner,
        title=task.title,
        description=task.description,
        list_id=task.list_id,
        assignee=task.assignee,
        creator=task.creator,
        metadata=task.metadata,
        debug=task.debug,
        state=task.state,
        progress=task.progress,
        message=task.message,
        counts=task.counts,
        trigger=None if task.trigger is None else _trigger(task.trigger),
        run_at=_time(task.run_at),
        next_run_at=_time(task.next_run_at),
        run=task.run,
        priority=task.priority,
        timeout=_seconds(task.timeout),
        start_by=_time(task.start_by),
        attempt=task.attempt,
        max_attempts=task.max_attempts,
        losses=task.losses,
        cancel_requested=task.cancel_requested,
        pause_requested=task.pause_requested,
        unique_key=task.unique_key,
        depends_on=task.depends_on,
        on_dependency_failure=task.on_dependency_failure,
        blocked_by=task.blocked_by,
        blocked_reason=task.blocked_reason,
        blocked_at=_time(task.blocked_at),
        created_at=to_rfc3339(task.created_at),
        updated_at=to_rfc3339(task.updated_at),
        started_at=_time(task.started_at),
        finished_at=_time(task.finished_at),
        result_expires_at=_time(task.result_expires_at),
        expires_at=_time(task.expires_at),
        version=task.version,
        result=result,
        result_is_link=type(result) is ResultLink,
        failure=task.failure,
    )


def outcome_body(line: int, made: Created | ServiceError) -> OutcomeBody:
    """What became of a line of many starts."""
    if isinstance(made, ServiceError):
        return OutcomeBody(line=line, status=status_of(made), problem=msgspec.convert(problem_body(made), Problem))
    task = made.task
    started = StartedBody(task.id, task.number, task.state, task.version)
    return OutcomeBody(line=line, status=200 if task.state.terminal else 202, task=started)


def entry_body(entry: Entry) -> EntryBody:
    """An entry of the log."""
    return EntryBody(
        seq=entry.seq,
        time=to_rfc3339(entry.time),
        kind=entry.kind,
        attempt=entry.attempt,
        level=entry.level,
        message=entry.message,
        fields=entry.fields,
        source=entry.source,
        target=entry.target,
        version=entry.version,
    )


def type_body(info: TypeInfo) -> TypeBody:
    """A task type."""
    return TypeBody(
        name=info.name,
        description=info.description,
        schema=info.schema,
        runner=info.runner,
        max_attempts=info.max_attempts,
        timeout=_seconds(info.timeout),
        priority=info.priority,
        concurrency=info.concurrency,
        keep_result=_seconds(info.keep_result),
        keep_record=_seconds(info.keep_record),
        paused=info.paused,
    )


def part_body(part: bytes | str | Sequence[DeliveredFile] | None) -> msgspec.Raw | str | list[FileBody] | None:
    """A cold part of the record: JSON as it is, text, or files."""
    if isinstance(part, bytes):
        return msgspec.Raw(part)
    if part is None or isinstance(part, str):
        return part
    return [FileBody(file.name, file.media_type, file.size, file.sha256) for file in part]


def _result(result: JsonResult | FileResult | None, url: str) -> msgspec.Raw | ResultLink | None:
    match result:
        case None:
            return None
        case FileResult():
            return ResultLink(result.name, result.media_type, result.size, result.sha256, url)
        case JsonResult(size, value) if value is not None and size <= INLINE:
            return value
    return ResultLink(None, "application/json", result.size, None, url)


def _trigger(trigger: Trigger) -> TriggerText:
    return TriggerText(
        once=_time(trigger.once),
        every=_seconds(trigger.every),
        repeat=trigger.repeat,
        cron=trigger.cron,
        timezone=trigger.timezone,
    )


def _time(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)


def _seconds(us: int | None) -> float | None:
    """Whole seconds are written without a fraction."""
    if us is None:
        return None
    whole, rest = divmod(us, SECOND)
    return us / SECOND if rest else whole
