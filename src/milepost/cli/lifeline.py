"""How do a server and the worker that it started know of each other's end?

They hold the two ends of a socket pair. The worker sends a byte each second from its event loop: when that falls
silent, something holds the interpreter or the loop, and every other task with it. The server sends nothing: the worker
reads the end of the stream when the server is gone, however it went.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Final

BEAT: Final = 1.0
"""Seconds between two bytes."""

LAST_RESORT: Final = 10.0
"""Seconds beyond its grace time after which a worker that was told to stop is ended by force."""


@contextlib.asynccontextmanager
async def held(fd: int, *, on_lost: Callable[[], None], grace: float) -> AsyncIterator[None]:
    """Beat on the socket `fd` while entered; when the other end is gone call `on_lost`.

    What is then not left within `grace` seconds, and some, is ended with the process.
    """
    end = socket.socket(fileno=fd)
    end.set_inheritable(False)  # it was, to come here; what tasks start has no part in it
    loop = asyncio.get_running_loop()
    left = threading.Event()

    def wait() -> None:
        with contextlib.suppress(ConnectionResetError):  # the server went with bytes that it had not read
            end.recv(1)
        if not left.is_set():
            loop.call_soon_threadsafe(on_lost)
            if not left.wait(grace + LAST_RESORT):
                os._exit(1)

    # A thread, because it has to notice while a task holds the loop.
    thread = threading.Thread(target=wait, name="lifeline", daemon=True)
    thread.start()
    beating = asyncio.create_task(_beat(end))
    try:
        yield
    finally:
        beating.cancel()
        left.set()
        with contextlib.suppress(OSError):  # the other end is closed
            end.shutdown(socket.SHUT_RDWR)
        thread.join()
        end.close()


async def _beat(end: socket.socket) -> None:
    while True:
        with contextlib.suppress(OSError):  # nobody listens any more, which the thread sees to
            end.send(b".", socket.MSG_DONTWAIT)
        await asyncio.sleep(BEAT)
