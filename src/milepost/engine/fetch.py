"""How does a task's function get at the files that were delivered with it?

As a copy in the task's private folder: wherever the file store keeps them, and in whichever process the function runs,
a path is what every program can read. A copy that an earlier try has fetched is there already.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from milepost.engine.context import Place, folder_of, make_private
from milepost.engine.outcome import TaskError
from milepost.files.protocol import FileMissing, FileStore
from milepost.task import DeliveredFile, Task

FOLDER = "delivered"
"""Where the copies are, beneath the task's private folder."""

Fetch = Callable[[Task, int, DeliveredFile], Awaitable[Path]]
"""Gives the path of a file of a task that runs, which is the so manyth of them. Raises TaskError."""


async def fetch(files: FileStore, place: Place, task: Task, number: int, file: DeliveredFile) -> Path:
    """See Fetch."""
    target = folder_of(place, task) / FOLDER / str(number) / file.name
    try:
        if not await asyncio.to_thread(_is_there, target, file.size):
            await _copy(files, file.key, target)
    except FileMissing as error:
        message = f"The file {file.name} is not there any more."
        raise TaskError(message, code="file_missing", retry=False) from error
    except OSError as error:
        raise TaskError(f"The file {file.name} could not be fetched: {error.strerror}.", code="not_fetched") from error
    return target


def _is_there(target: Path, size: int) -> bool:
    return target.is_file() and target.stat().st_size == size


async def _copy(files: FileStore, key: str, target: Path) -> None:
    partial = await asyncio.to_thread(_begin, target.parent)
    try:
        async with aclosing(files.read(key)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(_append, partial, piece)
        await asyncio.to_thread(_finish, partial, target)
    except BaseException:
        await asyncio.to_thread(partial.unlink, missing_ok=True)
        raise


def _begin(folder: Path) -> Path:
    """An empty file of one's own: a function may fetch the same file twice at once."""
    make_private(folder)
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    return Path(name)


def _append(partial: Path, piece: bytes) -> None:
    # Opened each time: who is cancelled leaves a thread behind that still writes, and must not write elsewhere.
    with partial.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(piece)


def _finish(partial: Path, target: Path) -> None:
    """From now on it is there, whole, and for reading only: another try relies on it."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.chmod(0o400)
    partial.rename(target)
