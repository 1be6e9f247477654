"""How does a request wait without outliving its client or its server?"""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

T = TypeVar("T")


async def interrupted(work: Coroutine[Any, Any, T], request: Request, stopping: asyncio.Event) -> T | None:
    """The result of `work`; None when `stopping` is set first. Raises ClientDisconnect when the client leaves first."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnection(request.receive))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((working, leaving, stop), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise ClientDisconnect
        return None
    finally:
        await cancel(working, leaving, stop)


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
