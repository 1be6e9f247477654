"""How do these tests run other processes?"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

from tests.store.scene import BOUND

ROOT = Path(__file__).parents[3]


class Child:
    """A process that runs a function of `child.py`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def heard(self) -> str:
        """The next line that it says; "" when it says no more."""
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND):
            return (await self.process.stdout.readline()).decode().strip()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        async with asyncio.timeout(BOUND):
            assert await self.process.wait() == 0


@asynccontextmanager
async def child(what: str, *paths: Path) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.sqlite.child", what, *map(str, paths), stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
