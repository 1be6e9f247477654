"""How do these tests see what Python code does with files and folders?

By the calls of `os` that make, move, remove and sync them; all are passed on. What is written does not come by, but it
is there to be read whenever it matters: when the file is synced, and when it gets another name.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .lossy_disk import Event, Name, Resize, Sync, SyncFolder, Write


class WatchedCalls:
    """Notes in `events` what happens to files and folders beneath `root`."""

    def __init__(self, events: list[Event], root: Path, patch: pytest.MonkeyPatch) -> None:
        self._events = events
        self._root = str(root)
        # By inode, so that a descriptor leads back to them. These numbers are far from those of a WatchedVfs.
        self._numbers: dict[int, int] = {}
        self._folders: dict[int, str] = {}
        self._note_folder(self._root)
        for name in ("open", "mkdir", "rename", "unlink", "fsync"):
            patch.setattr(os, name, self._watching(getattr(os, name), getattr(self, f"_{name}")))

    def _watching(self, call: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def watching(*arguments: Any, **named: Any) -> Any:
            outcome = call(*arguments, **named)
            note(outcome, *arguments)
            return outcome

        return watching

    def _open(self, descriptor: int, path: Any, flags: int, *mode: int) -> None:
        if flags & os.O_CREAT and self._beneath(path):
            made = os.fstat(descriptor).st_ino not in self._numbers
            number = self._number(os.fstat(descriptor))
            self._events += [Name(str(path), number), *([Resize(number, 0)] if made else [])]

    def _mkdir(self, _: None, path: Any, *mode: int) -> None:
        if self._beneath(path):
            self._note_folder(str(path))
            self._events.append(Name(str(path), 0))

    def _rename(self, _: None, source: Any, target: Any) -> None:
        if self._beneath(target):
            number = self._number(os.stat(target))  # noqa: PTH116 - these are the calls of os
            self._written(number, Path(target).read_bytes())
            self._events += [Name(str(target), number), Name(str(source), None)]

    def _unlink(self, _: None, path: Any) -> None:
        if self._beneath(path):
            self._events.append(Name(str(path), None))

    def _fsync(self, _: None, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if found.st_ino in self._folders:
            self._events.append(SyncFolder(self._folders[found.st_ino]))
        elif found.st_ino in self._numbers:
            number = self._number(found)
            self._written(number, os.pread(descriptor, found.st_size, 0))
            self._events.append(Sync(number))

    def _written(self, number: int, data: bytes) -> None:
        self._events += [Write(number, 0, data), Resize(number, len(data))]

    def _number(self, found: os.stat_result) -> int:
        return self._numbers.setdefault(found.st_ino, 1_000_000 + len(self._numbers))

    def _note_folder(self, path: str) -> None:
        self._folders[os.stat(path).st_ino] = path  # noqa: PTH116 - these are the calls of os

    def _beneath(self, path: Any) -> bool:
        return str(path).startswith(f"{self._root}/")


@contextmanager
def watched_calls(events: list[Event], root: Path) -> Iterator[None]:
    """Have the files beneath `root`, which is there and durable, watched meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        WatchedCalls(events, root, patch)
        yield
