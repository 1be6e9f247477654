"""What does the native API say of callbacks, and what does a callback itself say?"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from milepost.callbacks import Callback, Called
from milepost.http.dialects.native_answers import TaskBody, TimeText
from milepost.http.dialects.native_render import task_body
from milepost.task import Task
from milepost.times import to_rfc3339

_encode: Final = msgspec.json.Encoder().encode


class CallbackBody(msgspec.Struct, frozen=True):
    """One end of a task that was told, or is still to be."""

    id: Annotated[str, Meta(description="The `webhook-id` of the call, the same at each try.")]
    state: Literal["pending", "delivered", "failed"]
    ended_at: TimeText
    attempts: Annotated[int, Meta(description="Tries so far.")]
    next_try_at: Annotated[TimeText | None, Meta(description="While it is pending: when it is tried again.")]
    delivered_at: TimeText | None
    status: Annotated[int | None, Meta(description="The HTTP status that the last try was answered with, if any.")]
    error: Annotated[str | None, Meta(description="Why the last try did not succeed.")]


class CallbackList(msgspec.Struct, frozen=True):
    """Who is told of a task's ends, and what was told."""

    url: Annotated[str | None, Meta(description="As the start named it.")]
    callbacks: Annotated[list[CallbackBody], Meta(description="One for each end, oldest first.")]


class ToldBody(msgspec.Struct, frozen=True):
    """The body of a callback (Standard Webhooks)."""

    type: Annotated[str, Meta(description="`task.succeeded`, `task.failed` or `task.cancelled`.")]
    timestamp: Annotated[TimeText, Meta(description="When it ended.")]
    data: Annotated[TaskBody, Meta(description="The record at that end.")]


def callback_list(called: Called) -> CallbackList:
    """Who is told, and what was told."""
    return CallbackList(called.url, [_callback(each) for each in called.callbacks])


def told(task: Task, server: str = "") -> bytes:
    """What is told of a record at an end. `server` is where its API is found; a receiver may know that by itself."""
    ended_at = to_rfc3339(task.finished_at or task.updated_at)
    return _encode(ToldBody(f"task.{task.state}", ended_at, task_body(task, f"{server}/v1/tasks/{task.id}/result")))


def _callback(callback: Callback) -> CallbackBody:
    return CallbackBody(
        id=callback.id,
        state=callback.state,
        ended_at=to_rfc3339(callback.ended_at),
        attempts=callback.attempts,
        next_try_at=_time(callback.next_try_at),
        delivered_at=_time(callback.delivered_at),
        status=callback.status,
        error=callback.error,
    )


def _time(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)
