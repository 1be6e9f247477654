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
def heeded(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call `stop` in the running event loop, before what handled them already does.

    A signal that nothing in the program handles is left alone, and so are all where this is not the main thread, as in
    most test clients: no server gets signals there.
    """
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as set_back:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                before = signal.getsignal(number)
                if callable(before):
                    ours = _both(loop, stop, before)
                    signal.signal(number, ours)
                    set_back.callback(_set_back, number, ours, before)
        yield


def _both(loop: asyncio.AbstractEventLoop, stop: Callable[[], None], before: Handler) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        before(number, frame)

    return handle


def _set_back(number: int, ours: Handler, before: Handler) -> None:
    if signal.getsignal(number) is ours:  # else somebody has set another one since
        signal.signal(number, before)
