"""How does a task's function get at what a caller named by a path?

All such paths lie beneath one folder, the files root, and are opened from there: see `milepost.engine.descent`. What is
refused names the field of the input that had the path, as far as one has it (RFC 6901).
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Annotated, Any, TypeAlias

import msgspec

from milepost.engine.descent import LONGEST_PATH, Folder, PathRefused, opened_file, opened_folder, parts_of, way
from milepost.file_name import PATH_PATTERN

NamedPath: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=LONGEST_PATH,
        pattern=PATH_PATTERN,
        description="A path beneath the files root, or from it on; `.` is the root itself.",
    ),
]
"""`folder: NamedPath`: what leads upward, or is no path, is refused at the start, and not when the task runs."""


class NamedPaths:
    """What a context can do with paths that callers named, absolute or relative to the files root.

    `root` is where that is, `input` gives the task's input as JSON. Every path raises TaskError (code `path_refused`,
    no retry) where it leads out of the root, upward, through a link, or to what is neither a file nor a folder; and
    OSError, such as FileNotFoundError, as `open` would.
    """

    def __init__(self, root: str, input: Callable[[], bytes]) -> None:
        self._files_root = root
        self._input = input

    def open(self, path: str | os.PathLike[str], mode: str = "r", **options: Any) -> IO[Any]:
        """Open a file that a caller named, as `open` does, with its modes and options."""
        with self._named(path) as (top, parts):
            return opened_file(top, parts, os.fspath(path), mode, **options)

    def open_folder(self, path: str | os.PathLike[str]) -> Folder:
        """Open a folder that a caller named, to find and open what is in it. Close it, or use it in a `with`."""
        with self._named(path) as (top, parts):
            return opened_folder(top, parts, os.fspath(path), Path(self._files_root).name)

    def resolve(self, path: str | os.PathLike[str]) -> Path:
        """The place of a file or folder that a caller named, for programs that take nothing but a path; it may lack.

        It is as it says at this moment only: where others can write beneath the files root, prefer `open` and
        `open_folder`.
        """
        with self._named(path) as (top, parts):
            try:
                with way(top, parts[:-1], os.fspath(path)) as at:
                    found = os.stat(parts[-1] if parts else ".", dir_fd=at, follow_symlinks=False).st_mode
            except (FileNotFoundError, NotADirectoryError):
                found = stat.S_IFREG
            if stat.S_ISLNK(found):
                raise PathRefused(os.fspath(path), "leads through a link")
            if not (stat.S_ISREG(found) or stat.S_ISDIR(found)):
                raise PathRefused(os.fspath(path), "is neither a file nor a folder")
            return Path(os.path.realpath(self._files_root), *parts)

    @contextmanager
    def _named(self, path: str | os.PathLike[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The descriptor of the files root, and the parts of a path beneath it."""
        try:
            parts = parts_of(path, (self._files_root, os.path.realpath(self._files_root)))
            root = os.open(self._files_root or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                yield root, parts
            finally:
                os.close(root)
        except PathRefused as refused:
            said = os.fspath(path)
            raise PathRefused(said, refused.why, field_of(said, self._input())) from refused


def field_of(path: str, input: bytes) -> str | None:
    """Which field of an input, which is JSON, has a path as its value: a pointer; None where none has."""
    left: list[tuple[str, Any]] = [("/input", msgspec.json.decode(input))]
    while left:
        place, value = left.pop()
        if isinstance(value, str):
            if value == path or (value and path and PurePath(value) == PurePath(path)):
                return place
        elif isinstance(value, dict):
            left += [(f"{place}/{name.replace('~', '~0').replace('/', '~1')}", value[name]) for name in reversed(value)]
        elif isinstance(value, list):
            left += [(f"{place}/{number}", value[number]) for number in reversed(range(len(value)))]
    return None
