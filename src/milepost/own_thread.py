"""How does something that may hang take nobody else's thread, and not hold up the end of the process?

What an event loop has done in threads shares a few of them, and a process waits for these when it ends. A system's
resolver hangs for as long as it likes, and can't be told to stop.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(call: Callable[[], T], name: str) -> Future[T]:
    """Begin a call in a thread of its own, of that name, which ends with the process; nobody can take it back.

    Who bounds how many there are is who begins them.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from now on it can't be cancelled: who no longer waits just leaves

    def run() -> None:
        try:
            found = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(found)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
