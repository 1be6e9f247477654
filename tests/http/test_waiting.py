import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from milepost.http.stopping import Stopping
from milepost.http.waiting import interrupted


def receiving(leaves: asyncio.Event) -> Receive:
    async def receive() -> dict[str, Any]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    return receive


class Work:
    """Work that ends when it is told to, and knows whether it was cancelled."""

    def __init__(self) -> None:
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.cancelled = False

    async def __call__(self) -> str:
        try:
            return await self.done
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def begun(work: Work, leaves: asyncio.Event, stopping: Stopping) -> asyncio.Task[str | None]:
    waiting = asyncio.create_task(interrupted(work(), {}, receiving(leaves), stopping))
    await asyncio.sleep(0)
    return waiting


async def test_the_work_s_result_is_given() -> None:
    work = Work()
    waiting = await begun(work, asyncio.Event(), Stopping())
    work.done.set_result("done")
    assert await waiting == "done"


async def test_the_work_s_error_is_raised() -> None:
    work = Work()
    waiting = await begun(work, asyncio.Event(), Stopping())
    work.done.set_exception(LookupError("none"))
    with pytest.raises(LookupError):
        await waiting


async def test_a_client_that_leaves_ends_the_work() -> None:
    work, leaves = Work(), asyncio.Event()
    waiting = await begun(work, leaves, Stopping())
    leaves.set()
    with pytest.raises(ClientDisconnect):
        await waiting
    assert work.cancelled


async def test_a_server_that_stops_ends_the_work() -> None:
    work, stopping = Work(), Stopping()
    waiting = await begun(work, asyncio.Event(), stopping)
    stopping.set()
    assert await waiting is None
    assert work.cancelled


async def test_cancelling_the_request_ends_the_work() -> None:
    work = Work()
    waiting = await begun(work, asyncio.Event(), Stopping())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.cancelled
