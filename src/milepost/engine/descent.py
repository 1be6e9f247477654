"""How is something in a folder opened by a name that somebody else chose, so that nothing outside is ever reached?

Part by part, each by its name in the folder whose descriptor is open, and never through a link. There is no moment
between a check and a use: whoever swaps a folder for a link meanwhile gets a refusal, or the folder that was there. It
is what Linux' openat2 does with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, made of calls that every POSIX system has.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EISDIR, ELOOP, EMLINK, ENOTDIR, ENXIO
from typing import IO, Any, Final, Self

from milepost.engine.outcome import TaskError

LONGEST_PATH: Final = 4096
"""Bytes of a path."""
LONGEST_PART: Final = 255
"""Bytes of one of its parts."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_THROUGH: Final = _FOLDER | getattr(os, "O_PATH", 0)
"""A folder that is only on the way need not be readable, where the system can tell the difference."""
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""A pipe that took a file's place is not waited for."""
_OF_A_LINK: Final = frozenset({ELOOP, EMLINK})
"""How systems say that a name, which was not to be followed, is a link; where a folder is wanted, also ENOTDIR."""
_NO_FILE: Final = "is no regular file"


class PathRefused(TaskError):
    """A path that may not be followed, whatever is there: code `path_refused`, no retry. `why` ends a sentence."""

    def __init__(self, path: str, why: str, field: str | None = None) -> None:
        self.why = why
        said = f"The path {path!r} {why}." if field is None else f"{field}: The path {path!r} {why}."
        super().__init__(said, code="path_refused", retry=False)


def parts_of(path: str | os.PathLike[str], roots: Sequence[str] = ()) -> tuple[str, ...]:
    """The parts of a path; none for `.`. An absolute one has to begin with one of these folders. Raises PathRefused."""
    said = os.fspath(path)
    if (why := _wrong(said)) is not None:
        raise PathRefused(said, why)
    parts = tuple(part for part in said.split("/") if part not in ("", "."))
    if not said.startswith("/"):
        return parts
    for root in roots:
        above = tuple(part for part in root.split("/") if part)
        if parts[: len(above)] == above:
            return parts[len(above) :]
    raise PathRefused(said, "does not lie beneath the files root")


def _wrong(said: str) -> str | None:
    """Why this is no path, or leads upward; None for one that may be tried."""
    if not said:
        return "is empty; `.` is the files root itself"
    if "\0" in said:
        return "has a NUL in it"
    try:
        encoded = os.fsencode(said)
    except UnicodeEncodeError:
        return "has characters in it that no path has"
    if len(encoded) > LONGEST_PATH:
        return f"has more than {LONGEST_PATH} bytes"
    parts = encoded.removeprefix(b"/").removesuffix(b"/").split(b"/")
    if max(map(len, parts)) > LONGEST_PART:
        return f"has a part of more than {LONGEST_PART} bytes"
    if b".." in parts:
        return "leads upward"
    return "has an empty part" if b"" in parts and said != "/" else None


@contextmanager
def way(top: int, parts: Sequence[str], said: str) -> Iterator[int]:
    """The descriptor of the folder that these parts lead to, beneath one that is open; it can be gone through only.

    `said` names it in errors. Raises PathRefused, and OSError where there is none.
    """
    at = top
    try:
        for part in parts:
            below = _opened(part, _THROUGH, at, said)
            if at != top:
                os.close(at)
            at = below
        yield at
    finally:
        if at != top:
            os.close(at)


def _opened(name: str, flags: int, at: int, said: str, mode: int = 0o777) -> int:
    try:
        return os.open(name, flags, mode, dir_fd=at)
    except OSError as error:
        kind = _kind(name, at) if error.errno == ENOTDIR else 0
        if error.errno in _OF_A_LINK or stat.S_ISLNK(kind):
            raise PathRefused(said, "leads through a link") from error
        if kind and not stat.S_ISREG(kind):
            raise PathRefused(said, "is no folder") from error
        if error.errno == ENXIO:  # a socket, or a pipe that nobody reads
            raise PathRefused(said, _NO_FILE) from error
        raise OSError(error.errno, error.strerror, said) from error


def _kind(name: str, at: int) -> int:
    """The mode of what is there now, 0 of nothing."""
    with suppress(OSError):
        return os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
    return 0


def _check_is_file(status: os.stat_result, said: str) -> None:
    """Raises PathRefused, and IsADirectoryError."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), said)
    if stat.S_ISLNK(status.st_mode):
        raise PathRefused(said, "leads through a link")
    if not stat.S_ISREG(status.st_mode):
        raise PathRefused(said, _NO_FILE)


def _open_file(name: str, flags: int, at: int, said: str) -> int:
    with suppress(FileNotFoundError):  # to be made
        # Before it is opened, which a device may notice; what takes its place in between is looked at again.
        _check_is_file(os.stat(name, dir_fd=at, follow_symlinks=False), said)
    descriptor = _opened(name, flags | _FILE, at, said, 0o666)
    try:
        _check_is_file(os.fstat(descriptor), said)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Folder:
    """A folder that is open: what is found in it lies in it, whatever becomes of its name, and of all names, meanwhile.

    Paths are relative to it, with `/` between their parts; links, `..` and whatever is neither file nor folder are
    refused. It is a context manager, which closes it. Any thread may use it.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        """Open for reading, for calls with `dir_fd`; closed by `close`."""
        self.name = name
        """What it is called, without where it lies."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def open(self, path: str | os.PathLike[str], mode: str = "r", **options: Any) -> IO[Any]:
        """Open a file as `open` does, with its modes and options, for reading or writing.

        Raises PathRefused, OSError, and ValueError for a mode or option that is none.
        """
        return opened_file(self.descriptor, parts_of(path), os.fspath(path), mode, **options)

    def open_folder(self, path: str | os.PathLike[str]) -> "Folder":
        """Open a folder in it. Raises PathRefused, OSError."""
        return opened_folder(self.descriptor, parts_of(path), os.fspath(path), self.name)

    def stat(self, path: str | os.PathLike[str]) -> os.stat_result:
        """What is known of a file, a folder, or a link itself. Raises PathRefused, OSError."""
        parts = parts_of(path)
        if not parts:
            return os.fstat(self.descriptor)
        with way(self.descriptor, parts[:-1], os.fspath(path)) as at:
            return os.stat(parts[-1], dir_fd=at, follow_symlinks=False)

    def readlink(self, path: str | os.PathLike[str]) -> str:
        """Where a link says that it leads. Raises PathRefused, OSError."""
        parts = parts_of(path)
        with way(self.descriptor, parts[:-1], os.fspath(path)) as at:
            return os.readlink(parts[-1] if parts else ".", dir_fd=at)

    def files(self) -> list[str]:
        """The paths of all files in it and its subfolders, in order; of no links, and of nothing else."""
        return sorted(path for path, status in self.walk() if stat.S_ISREG(status.st_mode))

    def walk(
        self,
        *,
        leave_out: Callable[[str, os.stat_result], bool] = lambda path, status: False,  # noqa: ARG005
        on_error: Callable[[OSError], object] = lambda error: None,  # noqa: ARG005
    ) -> Iterator[tuple[str, os.stat_result]]:
        """Yields all that is in it and in its subfolders, as a path and what is known of it; links are not followed.

        Those that `leave_out` says are neither told nor entered. A folder that can't be read is passed over, and
        `on_error` told; what vanishes meanwhile is as if it had never been there.
        """
        left = [""]
        while left:
            above = left.pop()
            try:
                found = self._list(above)
            except PathRefused:
                continue  # a link has taken its place
            except OSError as error:
                on_error(error)
                continue
            for path, status in found:
                if not leave_out(path, status):
                    yield path, status
                    if stat.S_ISDIR(status.st_mode):
                        left.append(path)

    def _list(self, above: str) -> list[tuple[str, os.stat_result]]:
        found = []
        with self.open_folder(above or ".") as folder, os.scandir(folder.descriptor) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    path = f"{above}/{entry.name}" if above else entry.name
                    found.append((path, entry.stat(follow_symlinks=False)))
        return found


def opened_file(top: int, parts: Sequence[str], said: str, mode: str, **options: Any) -> IO[Any]:
    """See `Folder.open`; the folder is named by its descriptor."""
    if not parts:
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), said)

    def opener(_: str, flags: int) -> int:
        with way(top, parts[:-1], said) as at:
            return _open_file(parts[-1], flags, at, said)

    return open(said, mode, opener=opener, **options)


def opened_folder(top: int, parts: Sequence[str], said: str, name: str) -> Folder:
    """See `Folder.open_folder`; `name` is what the upper folder is called."""
    with way(top, parts[:-1], said) as at:
        last = parts[-1] if parts else "."
        return Folder(_opened(last, _FOLDER, at, said), parts[-1] if parts else name)
