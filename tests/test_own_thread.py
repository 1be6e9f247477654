"""How something runs in a thread of its own."""

import asyncio
import threading

import pytest

from milepost import own_thread


async def test_it_is_its_own_and_ends_with_the_process() -> None:
    thread = await asyncio.wrap_future(own_thread.begin(threading.current_thread, "one"))
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("one", True)


async def test_what_it_raises_is_raised() -> None:
    def fail() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        own_thread.begin(fail, "one").result()


async def test_who_leaves_takes_it_from_nobody_else() -> None:
    go = threading.Event()
    future = own_thread.begin(go.wait, "one")
    leaving, staying = asyncio.wrap_future(future), asyncio.wrap_future(future)
    leaving.cancel()
    go.set()
    assert await staying
