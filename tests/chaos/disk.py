"""How does a disk run full, without harm to the machine? A small file system in memory holds the store."""

import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

BLOCKS: Final = (1 << 20, 1 << 12)
"""Bytes that the ballast grows by: large ones first, then whatever still fits."""


class SmallDisk:
    """A file system of some megabytes, mounted at `path` while entered. Needs the rights to mount."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        self._megabytes = megabytes
        self._ballast = path / "ballast"

    def __enter__(self) -> Self:
        self.path.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m", "chaos", str(self.path)], check=True, timeout=20
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        subprocess.run(["umount", str(self.path)], check=True, timeout=20)

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for block in BLOCKS:
                self._grow(ballast.fileno(), bytes(block))

    @staticmethod
    def _grow(descriptor: int, block: bytes) -> None:
        try:
            while os.write(descriptor, block) == len(block):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)
