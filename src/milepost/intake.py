"""What does a caller deliver to a standing task, and which start does that make?

An input that goes over the task's own, and files. These are in the file store before anything is started: what no task
has taken by then is deleted, or swept.
"""

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from milepost.errors import Conflict, TooLarge, Unavailable
from milepost.files.protocol import FileStore
from milepost.start import Start
from milepost.store.protocol import TypeInfo
from milepost.task import DeliveredFile, State, Task

MAX_FILES: Final = 100
"""Files that one delivery may bring."""
MAX_BYTES: Final = 1 << 30
"""Bytes that they may have together."""
MAX_FILE_NAME: Final = 255
"""Bytes of a file's name in UTF-8: what folders take."""
MAX_MEDIA_TYPE: Final = 255
"""Characters of a media type."""
UNNAMED: Final = "file"
UNKNOWN: Final = "application/octet-stream"

_SEPARATOR: Final = re.compile(r"[/\\]")


class Upload(msgspec.Struct, frozen=True):
    """A file on its way in. Where nothing is said of its media type, its name decides."""

    source: Path | AsyncIterable[bytes]
    name: str | None = None
    media_type: str | None = None


def check(standing: Task, info: TypeInfo | None, *, running: bool = True) -> None:
    """Whether this task takes deliveries, `running`: at this moment. Raises Conflict."""
    if standing.runner != "external":
        raise Conflict("Only a standing task takes deliveries, one with runner external, and a worker runs this one.")
    if info is None:
        raise Conflict(f"There is no task type {standing.type!r} here that could take what is delivered.")
    if running and standing.state is not State.RUNNING:
        raise Conflict(f"The task is {standing.state}, and takes deliveries only while it is running.")
    if running and standing.cancel_requested:
        raise Conflict("The task is to be cancelled, and takes no deliveries any more.")


def start_of(standing: Task, own: bytes, more: Mapping[str, Any]) -> Start:
    """What a delivery starts: `own` is the standing task's input, over which goes what was delivered.

    Who may see the one may see the other; and what was said of how the standing task's work is done, holds of it.
    """
    return Start(
        type=standing.type,
        input=msgspec.json.decode(own) | dict(more),
        tenant=standing.tenant,
        owner=standing.owner,
        assignee=standing.assignee,
        parent=standing.id,
        priority=standing.priority,
        timeout=standing.timeout,
        max_attempts=standing.max_attempts,
        keep_result=standing.keep_result,
        keep_record=standing.keep_record,
    )


async def keep(files: FileStore, uploads: Iterable[Upload]) -> tuple[DeliveredFile, ...]:
    """Put files into the store, or none of them. Raises TooLarge, Unavailable, and OSError for a path."""
    kept: list[DeliveredFile] = []
    try:
        for upload in uploads:
            if len(kept) == MAX_FILES:
                raise TooLarge(f"A delivery may bring up to {MAX_FILES} files.")
            kept.append(await _kept(files, upload, MAX_BYTES - sum(file.size for file in kept)))
    except BaseException:
        await discard(files, kept)
        raise
    return tuple(kept)


async def discard(files: FileStore, kept: Iterable[DeliveredFile]) -> None:
    """Delete files that no task has taken."""
    await files.delete([file.key for file in kept])


async def _kept(files: FileStore, upload: Upload, room: int) -> DeliveredFile:
    source = upload.source
    if isinstance(source, Path):
        if (await asyncio.to_thread(source.stat)).st_size > room:
            raise _too_large()
        stored = await files.put(source)
    else:
        try:
            stored = await files.put(_bounded(source, room))
        except OSError as error:
            raise Unavailable(
                f"The file could not be stored ({error.strerror or error}); nothing was changed."
            ) from error
    name = file_name(upload.name)
    media_type = upload.media_type or mimetypes.guess_type(name)[0] or UNKNOWN
    return DeliveredFile(stored.key, name, media_type[:MAX_MEDIA_TYPE], stored.size, stored.sha256)


async def _bounded(pieces: AsyncIterable[bytes], room: int) -> AsyncIterator[bytes]:
    async for piece in pieces:
        room -= len(piece)
        if room < 0:
            raise _too_large()
        yield piece


def _too_large() -> TooLarge:
    return TooLarge(f"The files of a delivery may have up to {MAX_BYTES} bytes together.")


def file_name(said: str | None) -> str:
    """What a file can be called in a folder: the end of what was said, if that is a path, without what no name has."""
    last = _SEPARATOR.split(said or "")[-1].strip()
    plain = "".join(character if character.isprintable() else "_" for character in last)
    cut = plain.encode()[:MAX_FILE_NAME].decode(errors="ignore")
    return cut if cut not in ("", ".", "..") else UNNAMED
