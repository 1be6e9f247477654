"""What does a caller deliver to a standing task, what does that start, and how does it end?

An input that goes over the task's own, and files. These are in the file store before anything is started: what no task
has taken by then is deleted, or swept.
"""

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from errno import EINVAL
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.access.principal import Principal
from milepost.children import owner_of
from milepost.errors import Conflict, ParentLost, ParentStopping, ServiceError, TooLarge, Unavailable
from milepost.files.protocol import FileStore
from milepost.service import Service
from milepost.start import Start, draft
from milepost.store.protocol import Created, IdempotencyKey, TypeInfo
from milepost.store.refusals import StoreBusy, StoreFull
from milepost.task import DeliveredFile, State, Task
from milepost.update import Update

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


def stands(task: Task, info: TypeInfo | None) -> bool:
    """Whether this is a standing task, in whatever state: an external one of a type that workers run."""
    return task.runner == "external" and info is not None


def check(standing: Task, info: TypeInfo | None, *, running: bool = True) -> None:
    """Whether this task takes deliveries, `running`: at this moment. Raises Conflict."""
    if standing.runner != "external":
        raise Conflict("Only a standing task takes deliveries, one with runner external, and a worker runs this one.")
    if not stands(standing, info):
        raise Conflict(f"There is no task type {standing.type!r} here that could take what is delivered.")
    if running and standing.state is not State.RUNNING:
        raise Conflict(f"The task is {standing.state}, and takes deliveries only while it is running.")
    if running and standing.cancel_requested:
        raise Conflict("The task is to be cancelled, and takes no deliveries any more.")


def start_of(standing: Task, own: Mapping[str, Any], more: Mapping[str, Any]) -> Start:
    """What a delivery starts: `own` is the standing task's input, over which goes what was delivered.

    Who may see the one may see the other; and what was said of how the standing task's work is done, holds of it.
    """
    return Start(
        type=standing.type,
        input={**own, **more},
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


async def deliver(
    service: Service,
    principal: Principal,
    task_id: str,
    *,
    input: Mapping[str, Any] = {},
    files: Sequence[Upload] = (),
    idempotency_key: str | None = None,
) -> Created:
    """Have a standing task start a child: with its own input and, over that, this one, and with these files.

    Raises NotFound, Conflict (it takes no deliveries, or none now), Invalid, TooLarge, KeyConflict, Gone, Unavailable.
    """
    standing = await service.get(principal, task_id)
    info = await service.type_info(standing.type)
    # What was delivered before under its key is found again, whatever has become of the task since.
    check(standing, info, running=idempotency_key is None)
    start = start_of(standing, await service.starts.input_of(standing), input)
    if files and idempotency_key is None:
        whose = {"id": "", "tenant": standing.tenant, "owner": standing.owner, "origin": standing.origin}
        secret = await service.starts.secret_names(start.type)
        # Refused before they are read.
        draft(start, info, service.retention, now=service.clock(), roles=standing.roles, secret=secret, **whose)
    kept = await keep(service.files, files, service.limits)
    key = None
    if idempotency_key is not None:
        expires_at = service.clock() + service.retention.idempotency_key
        brought = fingerprint(await service.starts.disguised(start.type, input), kept)
        key = IdempotencyKey(idempotency_key, brought, expires_at, standing.id)
    start = replace(start, files=kept)
    try:
        created = await service.start(owner_of(standing), start, origin=standing.origin, parent=standing, known_by=key)
    except (ServiceError, StoreBusy, StoreFull) as refused:  # it is certain that no task has taken them
        await discard(service.files, kept)
        if isinstance(refused, ParentLost | ParentStopping):
            check(await service.get(principal, task_id), info)
        raise
    if created.replayed:
        await discard(service.files, kept)
        # Somebody else may have delivered it, to whom the standing task was assigned before.
        return Created(await service.get(principal, created.task.id), replayed=True)
    return created


async def dismiss(service: Service, principal: Principal, task_id: str) -> Task:
    """End a task for a client that is through with it; one that has ended stays as it is.

    A standing task is cancelled at once, since nobody else would end it, and what runs of it is cancelled too; any
    other as `Service.cancel` does. Raises NotFound.
    """
    task = await service.get(principal, task_id)
    try:
        if stands(task, await service.type_info(task.type)):
            return await service.update(principal, task_id, Update(state=State.CANCELLED))
        return await service.cancel(principal, task_id)
    except Conflict:  # it has ended
        return await service.get(principal, task_id)


def fingerprint(input: Mapping[str, Any], files: Iterable[DeliveredFile]) -> bytes:
    """A hash that is the same for the same delivery, although its files are stored anew each time."""
    brought = [(file.name, file.media_type, file.size, file.sha256) for file in files]
    return sha256(msgspec.json.encode([input, brought], order="deterministic")).digest()


async def keep(
    files: FileStore, uploads: Iterable[Upload], limits: Limits = DEFAULT_LIMITS
) -> tuple[DeliveredFile, ...]:
    """Put files into the store, or none of them. Raises TooLarge, Unavailable, and OSError for a path."""
    kept: list[DeliveredFile] = []
    try:
        for upload in uploads:
            if len(kept) == limits.delivery_files:
                raise TooLarge(f"A delivery may bring up to {limits.delivery_files} files.")
            room = limits.delivery - sum(file.size for file in kept)
            kept.append(await _kept(files, upload, room, limits.delivery))
    except BaseException:
        await discard(files, kept)
        raise
    return tuple(kept)


async def discard(files: FileStore, kept: Iterable[DeliveredFile]) -> None:
    """Delete files that no task has taken."""
    await files.delete([file.key for file in kept])


async def _kept(files: FileStore, upload: Upload, room: int, most: int) -> DeliveredFile:
    source = upload.source
    if isinstance(source, Path):
        status = await asyncio.to_thread(source.stat)
        if not S_ISREG(status.st_mode):  # a pipe may never end, and a device has no end
            raise OSError(EINVAL, "Not a regular file", str(source))
        if status.st_size > room:
            raise _too_large(most)
        stored = await files.put(source)
    else:
        try:
            stored = await files.put(_bounded(source, room, most))
        except OSError as error:
            raise Unavailable(
                f"The file could not be stored ({error.strerror or error}); nothing was changed."
            ) from error
    name = file_name(upload.name)
    media_type = upload.media_type or mimetypes.guess_type(name)[0] or UNKNOWN
    return DeliveredFile(stored.key, name, media_type[:MAX_MEDIA_TYPE], stored.size, stored.sha256)


async def _bounded(pieces: AsyncIterable[bytes], room: int, most: int) -> AsyncIterator[bytes]:
    async for piece in pieces:
        room -= len(piece)
        if room < 0:
            raise _too_large(most)
        yield piece


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The files of a delivery may have up to {most} bytes together.")


def file_name(said: str | None) -> str:
    """What a file can be called in a folder: the end of what was said, if that is a path, without what no name has."""
    last = _SEPARATOR.split(said or "")[-1].strip()
    plain = "".join(character if character.isprintable() else "_" for character in last)
    cut = plain.encode()[:MAX_FILE_NAME].decode(errors="ignore").rstrip()
    return cut if cut not in ("", ".", "..") else UNNAMED
