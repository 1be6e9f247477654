"""How is a task followed live: its log and its record as server-sent events (WHATWG HTML, section 9.2)?

A `log` event carries one entry and no id; the `task` event behind it carries the record, and its version as id. Who is
cut off between the two comes back with the last version that was complete, and gets the entries since then again,
rather than not at all; their sequence numbers tell the doubles. When the task has ended the stream ends; an EventSource
then comes back once and is told by a 204 that there is nothing more.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from milepost.errors import Fault, Invalid, ServiceError
from milepost.http.dialect import Call
from milepost.http.stream import Stream
from milepost.task import Entry, Task
from milepost.times import SECOND

HEARTBEAT: Final = 15 * SECOND
"""µs of silence after which a comment tells that the stream lives, well below the idle limits of proxies."""

EVENT_STREAM: Final = "text/event-stream"

_HEADERS: Final = {
    "content-type": EVENT_STREAM,
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would keep the events back
    "x-content-type-options": "nosniff",
}
_RETRY: Final = b"retry: 1000\n\n"
"""Milliseconds after which a client that was cut off comes back."""


async def event_stream(
    call: Call[Any, Any],
    task_id: str,
    *,
    since_version: int | None,
    render_task: Callable[[Task], bytes],
    render_entry: Callable[[Entry], bytes],
    heartbeat: int = HEARTBEAT,
) -> Response:
    """The stream of a task from the version on that the client has seen, or 204 if that was its last.

    `Last-Event-ID` goes before `since_version`. What renders gives JSON. Raises NotFound, Invalid.
    """
    seen = last_event_id(call.request)
    seen = (since_version or 0) if seen is None else seen
    task = await call.service.get(call.principal, task_id)
    if task.state.terminal and task.next_run_at is None and seen >= task.version:
        return Response(status_code=204, headers={"cache-control": "no-store"})
    pieces = _pieces(call, task.id, seen, render_task, render_entry, heartbeat)
    return Stream(pieces, headers=_HEADERS, until=call.stopping)


def last_event_id(request: Request) -> int | None:
    """The version that the client saw last, from the header that an EventSource sends. Raises Invalid."""
    text = request.headers.get("last-event-id")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Invalid(Fault("This is not the id of an event of this stream.", parameter="Last-Event-ID"))
    return int(text)


async def _pieces(
    call: Call[Any, Any],
    task_id: str,
    seen: int,
    render_task: Callable[[Task], bytes],
    render_entry: Callable[[Entry], bytes],
    heartbeat: int,
) -> AsyncGenerator[bytes, None]:
    yield _RETRY
    try:
        following = call.service.follow(call.principal, task_id, since_version=seen, pause=heartbeat)
        async with aclosing(following):
            async for news in following:
                await call.check()
                for entry in news.entries:
                    yield b"event: log\ndata: %b\n\n" % _on_one_line(render_entry(entry))
                if news.task is not None:
                    yield b"event: task\nid: %d\ndata: %b\n\n" % (
                        news.task.version,
                        _on_one_line(render_task(news.task)),
                    )
                elif not news.entries:
                    yield b":\n\n"
                del news  # thousands wait for the next
    except ServiceError:
        return  # deleted meanwhile, or the key was revoked: who comes back is told so


def _on_one_line(json: bytes) -> bytes:
    """The same JSON: a line break in it, as a result that was stored as it came may have, can only be white space."""
    return json.replace(b"\n", b" ").replace(b"\r", b" ")
