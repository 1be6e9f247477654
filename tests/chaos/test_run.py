"""Is what takes too long broken off, and nothing else?"""

import asyncio

import pytest

from tests.chaos.run import within


async def test_what_ends_in_time_is_well() -> None:
    assert await within(60, asyncio.sleep(0))


async def test_what_does_not_end_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert not await within(0, work())
    assert cancelled.is_set()


async def test_what_fails_by_itself_fails() -> None:
    async def work() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await within(60, work())
