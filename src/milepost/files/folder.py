"""How does a folder keep files?

Beneath the root, a file is `partial/<key>` while it is written and `<last two digits of the key>/<key>` ever after. A
key is a UUIDv7 in hexadecimal: its first digits are the time, its last ones random, so that files spread evenly over
256 folders whenever they are written. Several processes may share a root; it must be one filesystem, and a local one or
one whose fsync and rename keep their word. No link in it is followed: there is none that a store has made.
"""

import asyncio
import hashlib
import os
import re
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from errno import ELOOP, ENOENT, ENOTDIR
from io import FileIO
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Final, TypeVar, TypeVarTuple

import uuid_utils

from milepost.files.protocol import FileMissing, StoredFile

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

KEY: Final = re.compile(r"[0-9a-f]{32}")
WRITE_SIZE: Final = 1 << 20
"""Bytes hashed and written at a time."""

READ_SIZE: Final = 256 << 10
"""Bytes in a piece that is read."""

PAGE: Final = 500
"""Keys that a sweep asks about at a time."""

THREADS: Final = 32
"""Blocking calls at a time; they wait for the disk, not for a processor."""


class FolderFiles:
    """Keeps files in the folder `root`, which is made where it is missing. Files are 0600, folders 0700."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._partial = self._root / "partial"
        self._shelves = [self._root / f"{number:02x}" for number in range(256)]
        self._prepared = False
        # Threads of its own: copies of many gigabytes would hold up whatever else the process runs in asyncio's.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="milepost-files")

    async def put(self, source: Path | AsyncIterable[bytes]) -> StoredFile:
        """See `FileStore.put`."""
        key = uuid_utils.uuid7().hex
        write = _Write(self._partial / key, self._place(key))
        try:
            await self._in_thread(self._prepare)
            await self._in_thread(write.open)
            if isinstance(source, Path):
                await self._in_thread(write.copy, source, on_cancel=write.stop.set)
            else:
                await self._copy_stream(write, source)
            return await self._in_thread(write.finish)
        except BaseException:
            await self._in_thread(write.discard)
            raise

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """See `FileStore.read`. A file that is deleted meanwhile is read to its end."""
        place = self._place(key)
        at, end = start, sys.maxsize if stop is None else stop
        opened = ExitStack()  # filled in the thread, so that a cancellation can't lose the open file
        try:
            try:
                file = await self._in_thread(lambda: opened.enter_context(_open(place, os.O_RDONLY)))
            except OSError as error:
                if error.errno not in (ENOENT, ELOOP):
                    raise
                raise FileMissing(key) from None
            while piece := await self._in_thread(os.pread, file.fileno(), max(0, min(READ_SIZE, end - at)), at):
                at += len(piece)
                yield piece
        finally:
            # In a thread as well: closing a deleted file is what frees its gigabytes.
            await self._in_thread(opened.close)

    async def delete(self, keys: Sequence[str]) -> None:
        """See `FileStore.delete`."""
        await self._in_thread(_remove, [self._place(key) for key in keys if KEY.fullmatch(key)])

    async def sweep(self, *, older_than: int, now: int, known: Callable[[Sequence[str]], Awaitable[set[str]]]) -> int:
        """See `FileStore.sweep`. A file's modification time says when it was last written."""
        before = now - older_than
        await self._in_thread(self._prepare)
        removed = await self._in_thread(_remove, _written_before(before, [self._partial]))
        old = _written_before(before, self._shelves)
        while page := await self._in_thread(lambda: list(islice(old, PAGE))):
            keep = await known([path.name for path in page])
            removed += await self._in_thread(_remove, [path for path in page if path.name not in keep])
        return removed

    async def close(self) -> None:
        """See `FileStore.close`."""
        await asyncio.to_thread(self._threads.shutdown)

    def _place(self, key: str) -> Path:
        """Where the file of a key is. Raises FileMissing for what is no key, so that no path leads out of the root."""
        if not KEY.fullmatch(key):
            raise FileMissing(key)
        return self._root / key[-2:] / key

    def _prepare(self) -> None:
        """Makes the folders, once."""
        if self._prepared:
            return
        for folder in (*reversed(self._root.parents), self._root, self._partial, *self._shelves):
            folder.mkdir(mode=0o700, exist_ok=True)
        if linked := [folder for folder in (self._partial, *self._shelves) if folder.is_symlink()]:
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(linked[0]))
        # Those that are there may be another process' doing, and not durable yet: all that one could change is synced.
        for folder in (self._root, *self._root.parents):
            if os.access(folder, os.W_OK):
                _sync(folder)
        self._prepared = True

    async def _copy_stream(self, write: "_Write", source: AsyncIterable[bytes]) -> None:
        """Writes a stream, small pieces together: for them, going through a thread costs more than the writing."""
        held = bytearray()
        async for piece in source:
            held += piece
            if len(held) >= WRITE_SIZE:
                await self._in_thread(write.append, held)
                held = bytearray()
        await self._in_thread(write.append, held)

    async def _in_thread(self, call: Callable[[*Ts], T], *args: *Ts, on_cancel: Callable[[], None] = lambda: None) -> T:
        """Runs a blocking call in a thread, and waits for its end even when cancelled.

        Nobody may close or remove what a thread still uses. The CancelledError raised then is the one that came: anyio
        knows its own by their message.
        """
        future = asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
                on_cancel()
        if cancelled is not None:
            raise cancelled from future.exception()
        return future.result()


class _Write:
    """A file on its way to its place. Every method blocks; one thread at a time may use it."""

    def __init__(self, partial: Path, place: Path) -> None:
        self._partial = partial
        self._place = place
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._opened = ExitStack()
        self.stop = threading.Event()
        """Ends `copy` early."""

    def open(self) -> None:
        """Makes the file, aside from where it would be read."""
        self._file = self._opened.enter_context(_open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Hashes and writes more bytes."""
        self._sha256.update(data)
        self._size += len(data)
        rest = memoryview(data)
        while rest:  # a write near the end of the space takes less than it was given
            rest = rest[self._file.write(rest) :]

    def copy(self, source: Path) -> None:
        """Appends what a file contains by now: one that is still written to might never come to an end."""
        block = memoryview(bytearray(WRITE_SIZE))
        with source.open("rb", buffering=0) as file:
            # Of a pipe, and of what the system makes up in /proc, the size is not known.
            left = os.fstat(file.fileno()).st_size or sys.maxsize
            while left and not self.stop.is_set() and (size := file.readinto(block[: min(left, WRITE_SIZE)])):
                self.append(block[:size])
                left -= size

    def finish(self) -> StoredFile:
        """Moves the file to its place. Its bytes are durable before it is seen, its name before anybody is told."""
        os.fsync(self._file.fileno())
        self._opened.close()
        self._partial.rename(self._place)
        _sync(self._place.parent)
        return StoredFile(self._place.name, self._size, self._sha256.hexdigest())

    def discard(self) -> None:
        """Removes the file wherever it is, since nobody was told its key. What can't be removed is left to a sweep."""
        for remove in (self._opened.close, self._partial.unlink, self._place.unlink):
            with suppress(OSError):
                remove()


def _open(path: Path, flags: int) -> FileIO:
    """Open a file, unless it is a link; a new one is the user's alone. Raises OSError."""
    return FileIO(
        path, "rb+" if flags & os.O_RDWR else "rb", opener=lambda *_: os.open(path, flags | os.O_NOFOLLOW, 0o600)
    )


def _sync(folder: Path) -> None:
    """Makes the names in a folder durable. Raises OSError where that fails."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(paths: Iterable[Path]) -> int:
    """Removes files and counts those that were there."""
    removed = 0
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
            removed += 1
    return removed


def _written_before(moment: int, folders: Iterable[Path]) -> Iterator[Path]:
    """Yields the files in these folders that a store made and last wrote before a moment, in microseconds."""
    for folder in folders:
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # deleted since it was listed
                if KEY.fullmatch(path.name):
                    status = path.lstat()
                    if S_ISREG(status.st_mode) and status.st_mtime_ns < moment * 1000:
                        yield path
