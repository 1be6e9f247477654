"""Real processes, and pipes to talk to them."""

import asyncio
import os
import select
from pathlib import Path
from typing import Final

WITHIN: Final = 20.0
"""Seconds after which a wait has failed."""


class Pipe:
    """A named pipe: each side's opening waits for the other's."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)

    async def read(self) -> str:
        """What the other side writes."""
        return await asyncio.wait_for(asyncio.to_thread(Path(self.path).read_text), WITHIN)

    async def write(self, text: str) -> None:
        """Let the other side go on."""
        await asyncio.wait_for(asyncio.to_thread(Path(self.path).write_text, text), WITHIN)


async def gone(pid: int) -> None:
    """Return when a process has ended, also one that is nobody's child here."""
    await asyncio.wait_for(asyncio.to_thread(_wait_for_end, pid), WITHIN)


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], WITHIN)
        assert ended, f"process {pid} is still there"
    finally:
        os.close(descriptor)
