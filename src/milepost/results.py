"""How is the result of a task read as bytes, whatever it is?"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from milepost.errors import Conflict, Gone, NotFound, NotReady
from milepost.files.protocol import FileMissing, FileStore
from milepost.store.protocol import Scope, TaskStore
from milepost.task import FileResult, JsonResult, State, Task

_PAST = "The result is past its retention."


class ResultBody(NamedTuple):
    """A result as bytes: its size, and a reader of a half-open range of them."""

    name: str | None
    media_type: str
    size: int
    sha256: str | None
    read: Callable[[int, int | None], AsyncGenerator[bytes, None]]


async def result_body(task: Task, store: TaskStore, files: FileStore, scope: Scope, *, now: int) -> ResultBody:
    """The result of a task. Raises NotFound, NotReady, Conflict (ended without one), Gone (past its retention)."""
    match task.result:
        case FileResult() as file:
            read = partial(_read_file, files, file.key)
            return ResultBody(file.name, file.media_type, file.size, file.sha256, read)
        case JsonResult():
            body = await store.result(task.id, scope, now=now)
            if body is None:
                raise Gone(_PAST)
            return ResultBody(None, "application/json", len(body), None, partial(_slice, body))
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


async def _slice(body: bytes, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
    yield body[start:stop]
