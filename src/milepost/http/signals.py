"""How do responses that last hear that a server which somebody else runs is about to stop?

ASGI tells an application so only once every response has ended; an event stream would keep the server from ever getting
there. So the signals that end a server are listened to, beside the handlers that it has set for them.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]


@contextlib.contextmanager
def heeded(stop: Callable[[], None], at_once: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call `stop` in the running event loop, beside what handles them already.

    A SIGINT that is not the first signal, from somebody who will not wait, calls `at_once` instead. A signal that
    nothing in the program handles is left alone, and so are all where this is not the main thread, as in most test
    clients: no server gets signals there.
    """
    loop = asyncio.get_running_loop()
    is_stopping = False

    def heed(number: int) -> None:
        nonlocal is_stopping
        if not is_stopping:
            stop()
        elif number == signal.SIGINT:
            at_once()
        is_stopping = True

    with contextlib.ExitStack() as set_back:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                before = signal.getsignal(number)
                if callable(before):
                    ours = _both(loop, heed, before)
                    signal.signal(number, ours)
                    set_back.callback(_set_back, number, ours, before)
        yield


def _both(loop: asyncio.AbstractEventLoop, heed: Callable[[int], None], before: Handler) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(heed, number)
        before(number, frame)

    return handle


def _set_back(number: int, ours: Handler, before: Handler) -> None:
    if signal.getsignal(number) is ours:  # else somebody has set another one since
        signal.signal(number, before)
