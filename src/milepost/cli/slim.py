"""How little memory does a connection take whose request waits?

uvicorn gives each three queues that stay empty (of two events, and for requests that come before the answer to the one
before), and an application learns that the client has left only by an asyncio task that waits for it. With thousands
that wait, this is a quarter of what they take.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal
from weakref import ref

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from milepost.http.waiting import LEAVING


class Signal:
    """An asyncio.Event without a queue: of those that wait for it there is hardly ever more than one."""

    __slots__ = ("_is_set", "_waiting", "back")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()
        self.back: Callable[[], None] | None = None
        """Called whenever it is set."""

    def set(self) -> None:
        """See asyncio.Event."""
        self._is_set = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        if self.back is not None:
            self.back()

    def clear(self) -> None:
        """See asyncio.Event."""
        self._is_set = False

    def is_set(self) -> bool:
        """See asyncio.Event."""
        return self._is_set

    def is_awaited(self) -> bool:
        """Whether anybody waits for it now, or is to be called back."""
        return self.back is not None or not all(waiting.done() for waiting in self._waiting)

    async def wait(self) -> Literal[True]:
        """See asyncio.Event."""
        if not self._is_set:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting = (*self._waiting, waiting)
            try:
                await waiting
            finally:
                self._waiting = tuple(other for other in self._waiting if other is not waiting)
        return True


class Leaving:
    """Calls back when the client of a request has left. See `milepost.http.waiting.LEAVING`."""

    __slots__ = ("_back", "_cycle", "_has_ended", "_signal")

    def __init__(self, cycle: RequestResponseCycle, signal: Signal) -> None:
        self._cycle = ref(cycle)  # which has this in its scope: it goes as soon as nobody needs it
        self._signal = signal
        self._has_ended = False

    def end(self) -> bool:
        """The client sends nothing more, and may be gone: for who waits it is. Whether nobody did so far."""
        self._has_ended = True
        return not self._signal.is_awaited()

    def call(self, back: Callable[[], None]) -> None:
        """Call this when the client has left."""
        self._back = back
        self._signal.back = self._told
        self._told()

    def is_whole(self) -> bool:
        """Whether all of the body has come."""
        cycle = self._cycle()
        return cycle is not None and not cycle.more_body

    def has_left(self) -> bool:
        """Whether the client has."""
        cycle = self._cycle()
        return cycle is None or cycle.disconnected or self._has_ended

    def leave(self) -> None:
        """Call nobody any more."""
        self._signal.back = None

    def break_off(self) -> None:
        """End the connection at once: uvicorn takes the client for one that has left."""
        cycle: Any = self._cycle()  # it is there for as long as its application runs
        cycle.disconnected = True
        cycle.transport.abort()

    def _told(self) -> None:
        if self.has_left():
            self._back()


class _Queue(list[Any]):
    """What is used of a deque, of which an empty one takes ten times as much."""

    __slots__ = ()

    def appendleft(self, item: Any) -> None:
        """See collections.deque."""
        self.insert(0, item)


_known: Final[dict[tuple[str, int | None] | None, tuple[str, int | None] | None]] = {}
"""The addresses that this process is reached at, once each. They are few."""


class SlimProtocol(HttpToolsProtocol):
    """uvicorn's, for its option `http`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.server = _known.setdefault(self.server, self.server)
        self.pipeline = _Queue()  # type: ignore[assignment]
        writable: Any = Signal()
        writable.set()
        self.flow._is_writable_event = writable  # noqa: SLF001 it has no other way in

    def on_headers_complete(self) -> None:
        """A head is complete."""
        before = self.cycle
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is not before:
            signal: Any = Signal()  # the one of before has not been waited for: the application begins later
            cycle.message_event = signal
            scope: Any = self.scope  # it knows no others' keys
            scope[LEAVING] = Leaving(cycle, signal)
