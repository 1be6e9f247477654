"""How do these tests see, and disturb, what SQLite does with its files?

SQLite reaches the disk through a VFS. This one passes everything on to the one for Unix and notes what changes a file;
before an operation it can fail it, as a disk would. While it is there it is the default of the process, so that stores
and connections use it without knowing. The index of the write-ahead log (`-shm`) does not come by: it is memory that
processes share, and is built anew when it is gone.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from .lossy_disk import Event, Name, Resize, Sync, SyncFailed, SyncFolder, Write

_UNIX: Final = "unix"
_OPEN_DIRECTORY: Final = "openDirectory"
_OpenDirectory = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int))

Before = Callable[[str, str], None]
"""Called with an operation (open, read, write, truncate, sync, delete) and the path of the file, "" for a temporary
one; what it raises is what the disk answers."""


def as_told(operation: str, path: str) -> None:
    """A disk that does what it is told."""


class WatchedVfs(apsw.VFS):
    """Notes what happens to files in `events`. `before` may be exchanged at any time."""

    def __init__(self) -> None:
        super().__init__("watched", _UNIX, makedefault=True)
        self.events: list[Event] = []
        self.before: Before = as_told
        self._files: dict[str, int] = {}
        self._made = 0
        self._lock = threading.Lock()

    def adopt(self, path: Path) -> None:
        """Know a file that was there, and durable, before."""
        data = path.read_bytes()
        file = self._number(str(path))
        self.events += [Write(file, 0, data), Sync(file), SyncFolder(str(path.parent))]

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self.before("open", path)
        file = WatchedFile(self, path, name, flags)
        file.number = self._number(path) if path else 0
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        self.before("delete", filename)
        # First of all, as the folder is synced on the way.
        if self._files.pop(filename, None) is not None:
            self.events.append(Name(filename, None))
        super().xDelete(filename, syncdir)

    def _number(self, path: str) -> int:
        with self._lock:
            if path not in self._files:
                self._made += 1
                self._files[path] = self._made
                self.events += [Name(path, self._made), Resize(self._made, 0)]
            return self._files[path]


class WatchedFile(apsw.VFSFile):
    """A file of a WatchedVfs; it keeps its number when its name is taken away."""

    number: int

    def __init__(self, vfs: WatchedVfs, path: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(_UNIX, name, flags)
        self._vfs = vfs
        self._path = path

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's
        self._vfs.before("read", self._path)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        self._vfs.before("write", self._path)
        super().xWrite(data, offset)
        self._vfs.events.append(Write(self.number, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        self._vfs.before("truncate", self._path)
        super().xTruncate(newsize)
        self._vfs.events.append(Resize(self.number, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        try:
            self._vfs.before("sync", self._path)
        except apsw.Error:
            self._vfs.events.append(SyncFailed(self.number))
            raise
        super().xSync(flags)
        self._vfs.events.append(Sync(self.number))


@contextmanager
def watched(*adopted: Path) -> Iterator[WatchedVfs]:
    """Have SQLite watched meanwhile; `adopted` are the files of stores that were there before."""
    vfs = WatchedVfs()
    for path in adopted:
        vfs.adopt(path)
    unix = vfs.xGetSystemCall(_OPEN_DIRECTORY)
    assert unix is not None
    opens_directory = _OpenDirectory(unix)

    def opened(path: bytes, descriptor: "ctypes._Pointer[ctypes.c_int]") -> int:
        # The VFS for Unix opens the folder of a file in order to sync it, and for nothing else.
        vfs.events.append(SyncFolder(os.path.dirname(os.fsdecode(path))))  # noqa: PTH120 - as the system says it
        return int(opens_directory(path, descriptor))

    open_directory = _OpenDirectory(opened)
    vfs.xSetSystemCall(_OPEN_DIRECTORY, ctypes.cast(open_directory, ctypes.c_void_p).value or 0)
    try:
        yield vfs
    finally:
        vfs.xSetSystemCall(_OPEN_DIRECTORY, unix)
        vfs.unregister()


class FailOnce:
    """Fails the `nth` operation of a kind, counted from 1; in the thread of that name, if one is given."""

    def __init__(self, operation: str, nth: int, code: int, *, thread: str | None = None) -> None:
        self._operation = operation
        self._left = nth
        self._code = code
        self._thread = thread
        self.told = False
        """Whether somebody was told of it; whoever is sets this."""
        self._lock = threading.Lock()

    @property
    def failed(self) -> bool:
        """Whether it came to that."""
        return self._left <= 0

    def __call__(self, operation: str, path: str) -> None:
        if operation != self._operation or self._thread not in (None, threading.current_thread().name):
            return
        with self._lock:
            self._left -= 1
            left = self._left
        if left == 0:
            raise failure(self._code)


def failure(code: int) -> apsw.Error:
    """What SQLite makes of an answer of the disk, by its extended code."""
    error = apsw.exception_for(code)
    assert isinstance(error, apsw.Error)
    return error


def code_of(error: apsw.Error) -> int | None:
    """The extended code of what SQLite answered; None where the error is apsw's own."""
    code: int | None = getattr(error, "extendedresult", None)
    return code
