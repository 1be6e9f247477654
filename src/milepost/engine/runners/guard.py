"""What ends the programs that tasks have started, when their worker is killed?

The kernel ends a process that runs a task together with its worker, but not the programs that it has started. A guard
does: a shell outside their group, which waits for the end of a pipe whose other end the worker alone holds. That end
comes however the worker goes, and then the guard kills the group, or what is left of it.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_SHELL: Final = ("/bin/sh", "-c", "trap '' HUP INT TERM; read -r _; kill -s KILL -- \"-$1\"", "guard")
"""Takes a thousandth of a second to start, and a third of a megabyte."""
_PYTHON: Final = (
    *(sys.executable, "-I", "-S", "-c"),
    """
import os, sys, signal
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
os.read(0, 1)
os.killpg(int(sys.argv[1]), signal.SIGKILL)
""",
)
"""For images without a shell: a hundredth of a second, and four megabytes."""
COMMAND: Final = _SHELL if Path(_SHELL[0]).exists() else _PYTHON


class Guard:
    """Kills the group of the process `leader` when this process has ended, unless it was closed before.

    Raises OSError when no process can be started.
    """

    def __init__(self, leader: int) -> None:
        waits, self._end = os.pipe()
        _ends.add(self._end)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command stands above
                [*COMMAND, str(leader)],
                stdin=waits,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # what is sent to a group, the leader's or the worker's, is not for the guard
            )
        except OSError:
            self._let_go()
            raise
        finally:
            os.close(waits)

    async def aclose(self) -> None:
        """Nothing is left to be guarded."""
        self._process.kill()
        try:
            await asyncio.to_thread(self._process.wait)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        _ends.discard(self._end)
        os.close(self._end)


_ends: Final[set[int]] = set()


def _forget() -> None:
    """A fork of this process, made by a task in a thread, must not hold the ends open when this one has ended."""
    while _ends:
        os.close(_ends.pop())


os.register_at_fork(after_in_child=_forget)
