"""How is the result of a task read as bytes, whatever it is?"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final, NamedTuple

from milepost.errors import Conflict, Gone, NotFound, NotReady
from milepost.files.protocol import FileMissing, FileStore
from milepost.store.protocol import Scope, TaskStore
from milepost.task import FileResult, JsonResult, State, Task
from milepost.times import Clock

PART: Final = 4 << 20
"""Bytes of a JSON result that are read at once. To begin with a part, a store may have to pass over all before it."""
PIECE: Final = 256 << 10
"""Bytes that are passed on at once: who has them sent may keep a second copy."""
JSON_NAME: Final = "result.json"
"""What a JSON result is called where it is saved."""

_PAST: Final = "The result is past its retention."


class ResultBody(NamedTuple):
    """A result as bytes: its size, and a reader of a half-open range of them, which raises Gone where they are no more.

    `mark` is another one for other bytes, of the same task.
    """

    name: str
    media_type: str
    size: int
    mark: str
    read: Callable[[int, int | None], AsyncGenerator[bytes, None]]


async def result_body(task: Task, store: TaskStore, files: FileStore, scope: Scope, *, clock: Clock) -> ResultBody:
    """The result of a task. Raises NotFound, NotReady, Conflict (ended without one), Gone (past its retention)."""
    match task.result:
        case FileResult() as file:
            read = partial(_read_file, files, file.key)
            return ResultBody(file.name, file.media_type, file.size, file.sha256, read)
        case JsonResult() as json:
            # A run has one result, which never changes: to hash it, all of it would have to be read first.
            mark = f"{task.id}-{task.run}"
            stored = partial(store.result, task.id, scope, run=task.run)
            value = json.value
            read = partial(_read_json, stored, clock, json.size) if value is None else partial(_slice, bytes(value))
            return ResultBody(JSON_NAME, "application/json", json.size, mark, read)
    if not task.state.terminal:
        raise NotReady(f"The task is {task.state}; there is no result yet.")
    if task.state is not State.SUCCEEDED:
        raise Conflict(f"The task was {task.state}, it has no result.")
    if task.result_expires_at is not None:
        raise Gone(_PAST)
    raise NotFound("The task ended without a result.")


async def _read_file(files: FileStore, key: str, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(files.read(key, start, stop)) as chunks:
            async for chunk in chunks:
                yield chunk
    except FileMissing as error:
        raise Gone(_PAST) from error


async def _read_json(
    read: Callable[..., Awaitable[bytes | None]], clock: Clock, size: int, start: int, stop: int | None
) -> AsyncGenerator[bytes, None]:
    """A part at a time, each as it is looked up then: it may have expired, or the next run's be there."""
    stop = size if stop is None else stop
    for first in range(start, stop, PART):
        part = await read(start=first, stop=min(stop, first + PART), now=clock())
        if part is None:
            raise Gone(_PAST)
        for begin in range(0, len(part), PIECE):
            yield part[begin : begin + PIECE]


async def _slice(body: bytes, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
    yield body[start:stop]
