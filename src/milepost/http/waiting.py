"""How does a request wait without outliving its client or its server?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar, cast

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from milepost.http.stopping import Stopping

LEAVING: Final = "milepost.leaving"
"""Under this a server puts a `Leaving` into the scope of a request, if it has one."""

T = TypeVar("T")


async def interrupted(work: Awaitable[T], scope: Scope, receive: Receive, stopping: Stopping | None = None) -> T | None:
    """The result of `work`; None when `stopping` is set first. Raises ClientDisconnect when the client leaves first.

    Thousands do this at once: it takes no asyncio task where the server tells by itself who has left, else one.
    """
    here = _Here()
    told: Leaving | None = scope.get(LEAVING)
    leaving: Leaving | _Received = told if told is not None and told.is_whole() else _Received(receive)
    leaving.call(here.end_soon)
    if stopping is not None:
        stopping.call(here.end_soon)
    try:
        return await work
    except asyncio.CancelledError:
        if not here.was_ended():
            raise
        if leaving.has_left():
            raise ClientDisconnect from None
        return None
    finally:
        here.leave()
        leaving.leave()
        if stopping is not None:
            stopping.leave(here.end_soon)


class Leaving(Protocol):
    """Calls back when the client of a request has left."""

    def call(self, back: Callable[[], None]) -> None:
        """Call this when it has, which may be at once. Only where the body is whole: else nobody looks."""
        ...

    def is_whole(self) -> bool:
        """Whether all of the body of its request has come."""
        ...

    def has_left(self) -> bool:
        """Whether it has."""
        ...

    def leave(self) -> None:
        """Call nobody any more."""
        ...

    def break_off(self) -> None:
        """End the connection at once, though the answer is not complete."""
        ...


def break_off(scope: Scope) -> None:
    """End the connection of a client that does not take its answer, without a word where the server can do that.

    Any other breaks it off once the application returns, and logs that as an error of its own.
    """
    told: Leaving | None = scope.get(LEAVING)
    if told is not None:
        told.break_off()


class _Received:
    """The client of a request as any ASGI server tells of it: to who asks for more of its body."""

    __slots__ = ("_receive", "_waiting")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    def call(self, back: Callable[[], None]) -> None:
        self._waiting = asyncio.ensure_future(disconnection(self._receive))
        self._waiting.add_done_callback(lambda _: back())

    def is_whole(self) -> bool:
        return False

    def has_left(self) -> bool:
        return self._waiting.done()

    def leave(self) -> None:
        self._waiting.cancel()


class _Here:
    """What the running asyncio task does just now, to be ended from outside."""

    __slots__ = ("_before", "_is_over", "_task", "is_ended")

    def __init__(self) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._before = self._task.cancelling()
        self._is_over = False
        self.is_ended = False

    def end_soon(self, *_: object) -> None:
        """End it, unless it is over by then."""
        self._task.get_loop().call_soon(self._end)

    def _end(self) -> None:
        if not (self._is_over or self.is_ended):
            self.is_ended = True
            self._task.cancel()

    def was_ended(self) -> bool:
        """Whether it was cancelled by this, and by nobody else."""
        return self.is_ended and self._task.cancelling() <= self._before + 1

    def leave(self) -> None:
        """It is over: there is nothing to end any more."""
        self._is_over = True
        if self.is_ended:
            self._task.uncancel()


async def unless_stopped(work: Awaitable[T], stopping: asyncio.Event) -> T | None:
    """The result of `work`; None when `stopping` is set first."""
    working = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((working, stop), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await cancel(working, stop)


async def cancel(*tasks: "asyncio.Future[Any]") -> None:
    """End these and wait until they have ended, so that nothing they hold stays behind."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def disconnection(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
