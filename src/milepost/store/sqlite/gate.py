"""Whose turn is it to write, among the processes that share a store?

SQLite's own lock is not fair: a process that commits without pause keeps the others waiting for seconds. Here each
writer first takes the lock *turn*, then *write*, then gives *turn* back: while one writes, one waits for it, and the
others queue behind that one in the kernel.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType


class Gate:
    """A context in which nobody else writes, in any process or thread that has a gate of the same store.

    The locks are flock(2) locks on two files beside the store. The kernel frees them when their holder dies, however
    it does. They belong to what `os.open` gave: a thread needs a gate of its own, and a process that was forked while
    holding one shares it.
    """

    def __init__(self, path: Path) -> None:
        self._turn = _open(path, "turn")
        self._write = _open(path, "write")

    def __enter__(self) -> None:
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._write, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        fcntl.flock(self._write, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the files back."""
        os.close(self._turn)
        os.close(self._write)


def _open(path: Path, lock: str) -> int:
    return os.open(path.with_name(f"{path.name}-{lock}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
