import asyncio
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from milepost.http.signals import heeded


class Handler:
    """A handler as servers set one: says which signals it got."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.got.append(number)


def nothing() -> None:
    """What does not matter."""


@pytest.fixture
def handlers() -> Iterator[dict[int, Any]]:
    """What is set now; it is set again after the test."""
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_both_hear_a_signal(number: signal.Signals, handlers: dict[int, Any]) -> None:
    server, stopped = Handler(), asyncio.Event()
    got = server.got
    signal.signal(number, server)
    with heeded(stopped.set, nothing):
        signal.raise_signal(number)
        async with asyncio.timeout(10):
            await stopped.wait()
    assert got == [number]
    assert signal.getsignal(number) is server
    signal.raise_signal(number)
    assert got == [number] * 2


async def test_another_ctrl_c_means_at_once(handlers: dict[int, Any]) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    for number in handlers:
        signal.signal(number, Handler())
    with heeded(lambda: heard.put_nowait("stop"), lambda: heard.put_nowait("at once")):
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            signal.raise_signal(number)
        async with asyncio.timeout(10):
            assert [await heard.get() for _ in range(3)] == ["stop", "at once", "at once"]
    assert heard.empty()


async def test_the_event_loop_s_own_handlers_hear_it_too(handlers: dict[int, Any]) -> None:
    server, stopped = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.set)
    with heeded(stopped.set, nothing):
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await server.wait()
            await stopped.wait()
    assert loop.remove_signal_handler(signal.SIGTERM)


async def test_several_hear_it(handlers: dict[int, Any]) -> None:
    server, first, second = Handler(), asyncio.Event(), asyncio.Event()
    signal.signal(signal.SIGTERM, server)
    with heeded(first.set, nothing), heeded(second.set, nothing):
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await first.wait()
            await second.wait()
    assert server.got == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is server


async def test_what_nothing_handles_is_left_alone(handlers: dict[int, Any]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with heeded(nothing, nothing):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


async def test_a_handler_that_was_set_later_stays(handlers: dict[int, Any]) -> None:
    signal.signal(signal.SIGTERM, Handler())
    later = Handler()
    with heeded(nothing, nothing):
        signal.signal(signal.SIGTERM, later)
    assert signal.getsignal(signal.SIGTERM) is later


async def test_in_another_thread_nothing_is_set(handlers: dict[int, Any]) -> None:
    before = {number: signal.getsignal(number) for number in handlers}
    seen: list[Any] = []

    async def run() -> None:
        with heeded(nothing, nothing):
            seen.append({number: signal.getsignal(number) for number in handlers})

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert seen == [before]
