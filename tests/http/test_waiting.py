import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from milepost.http.waiting import interrupted


def request(leaves: asyncio.Event) -> Request:
    async def receive() -> dict[str, Any]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


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


async def begun(work: Work, leaves: asyncio.Event, stopping: asyncio.Event) -> asyncio.Task[str | None]:
    waiting = asyncio.create_task(interrupted(work(), request(leaves), stopping))
    await asyncio.sleep(0)
    return waiting


async def test_the_work_s_result_is_given() -> None:
    work = Work()
    waiting = await begun(work, asyncio.Event(), asyncio.Event())
    work.done.set_result("done")
    assert await waiting == "done"


async def test_the_work_s_error_is_raised() -> None:
    work = Work()
    waiting = await begun(work, asyncio.Event(), asyncio.Event())
    work.done.set_exception(LookupError("none"))
    with pytest.raises(LookupError):
        await waiting


async def test_a_client_that_leaves_ends_the_work() -> None:
    work, leaves = Work(), asyncio.Event()
    waiting = await begun(work, leaves, asyncio.Event())
    leaves.set()
    with pytest.raises(ClientDisconnect):
        await waiting
    assert work.cancelled


async def test_a_server_that_stops_ends_the_work() -> None:
    work, stopping = Work(), asyncio.Event()
    waiting = await begun(work, asyncio.Event(), stopping)
    stopping.set()
    assert await waiting is None
    assert work.cancelled


async def test_cancelling_the_request_ends_the_work() -> None:
    work = Work()
    waiting = await begun(work, asyncio.Event(), asyncio.Event())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.cancelled
