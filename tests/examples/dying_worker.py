"""A worker of the exports that dies of SIGKILL: right after it has written the page that follows a certain row.

python dying_worker.py STORE ROW
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.examples.running import example, running, served

store, row = Path(sys.argv[1]), int(sys.argv[2])
exports: Any = example("exports")
next_page = exports.next_page


def deadly_next_page(*arguments: Any) -> Any:
    """Write the page, but don't live to save that."""
    page = next_page(*arguments)
    if arguments[-1].row >= row:
        os.kill(os.getpid(), signal.SIGKILL)
    return page


exports.next_page = deadly_next_page


async def main() -> None:
    """Work until dead."""
    async with running(served(exports, store.parent)):
        await asyncio.Event().wait()


asyncio.run(main())
