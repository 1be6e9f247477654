"""How does the clock of a machine jump, for the processes of one run alone? See interpreter/sitecustomize.py."""

import mmap
import struct
from pathlib import Path
from typing import Final

from milepost import times

INTERPRETER: Final = Path(__file__).with_name("interpreter")
"""What has to be on the path of the processes' interpreters."""


class MachineClock:
    """The clock that all processes of a run read, through the file `path`. Times and offsets are in µs."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)
        self.path = path
        self._highest = 0

    @property
    def offset(self) -> int:
        """How far it is ahead of the real one."""
        return int(struct.unpack("<q", self._offset)[0])

    def now(self) -> int:
        """What the processes take for the time."""
        now = times.now() + self.offset
        self._highest = max(self._highest, now)
        return now

    @property
    def highest(self) -> int:
        """The latest time that it has shown so far."""
        self.now()
        return self._highest

    def jump(self, by: int) -> None:
        """Set it forward, or back."""
        self.now()
        self._offset[:] = struct.pack("<q", self.offset + by)

    def close(self) -> None:
        """Let go of the file."""
        self._offset.close()
