"""What must a file store be able to do?

A result can be a file. The worker puts it into a file store and then settles the task with the key that it was given;
if the worker dies in between, nobody knows the file and it is swept later. So it is with files that are delivered: they
are there before the task that is to have them. A file store knows keys and bytes, nothing else: a file's name, media
type, size and hash are on the record. What every file store promises, and the suite in `tests/files/conformance.py`
checks:

- A file whose `put` returned is durable: it survives `kill -9` and power loss.
- A file appears whole or not at all. One that is still being written, or whose writer died, can't be read.
- A file never changes. Who reads while it is deleted gets the right bytes to the end, or `FileMissing`; never others.
- What is interrupted leaves nothing behind; only a writer that was killed does, and `sweep` takes that away.
- Nothing blocks the event loop, and no file is ever whole in memory.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class FileMissing(LookupError):
    """No file is stored under this key: it was deleted, or never was there."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file that is durable. `size` is in bytes, `sha256` the hash of its bytes in lower-case hexadecimal."""

    key: str
    size: int
    sha256: str


class FileStore(Protocol):
    """Keeps files under keys that it chooses. Safe for many callers at once, in several processes too."""

    async def put(self, source: Path | AsyncIterable[bytes]) -> StoredFile:
        """Stores a file under a new key. It is durable, and readable by every process, when this returns.

        A path is copied, not moved: what it names stays as it is. Pieces of a stream may be of any size, none too.
        The key can't be guessed and has never been given out before, so that the same bytes put twice are two files.
        Raises OSError where the source can't be read or the file not be made durable (a full disk, a failed sync). On
        this, on an error of the stream, and when cancelled, nothing readable is left, nor an unfinished write.
        """
        ...

    def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from offset `start` up to, not including, `stop` (None: the end) in pieces of bounded size.

        A range past the end is cut there, so that it may be empty; offsets are not negative. Raises FileMissing with
        the first piece, an empty range included, when there is no such file, and later if the file was deleted while
        being read and the store can't finish. A key that no store gives out is as good as missing. Nothing stays open
        after the last piece, nor after `aclose()`, which who stops early must call.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Deletes the files under these keys. That one is gone already, or never was, is no error.

        Need not be durable at once: a file that is back after power loss is unknown by then, and swept.
        """
        ...

    async def sweep(self, *, older_than: int, now: int, known: Callable[[Sequence[str]], Awaitable[set[str]]]) -> int:
        """Deletes files and abandoned writes last written before `now - older_than` (microseconds, UTC), if unknown.

        `known` is asked about a bounded page of keys at a time and answers which of them some record has; unfinished
        writes have no key that a record could have. Answers how many were deleted. An error of `known` is passed on,
        and deletes nothing of its page.

        `older_than` must exceed what a task may need between a file's last byte and its settling, a stream's pause
        between two pieces, and the difference of the clocks: a younger file is never touched. A put that outlasts it
        unwritten fails.
        """
        ...

    async def close(self) -> None:
        """Frees threads and connections. Comes last: no other call may be under way, and none may follow."""
        ...
