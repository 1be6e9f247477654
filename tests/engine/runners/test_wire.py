"""How messages go between a worker and a process that runs a task."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from milepost.engine.outcome import StopReason
from milepost.engine.runners.wire import FromProcess, Stop, Wire

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS)
def test_what_is_sent_to_nobody_raises_nothing(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def send() -> None:
        ours, theirs = socket.socketpair()
        wire = await Wire[FromProcess].over(ours, FromProcess)
        theirs.close()
        assert await wire.receive() is None
        for _ in range(10):
            wire.send(Stop(StopReason.CANCEL))
            await asyncio.sleep(0)
        wire.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(send())


@pytest.mark.parametrize("body", [b"{", b'"\xff"', b'{"type":"other"}', b"[" * 100_000, b""])
async def test_what_is_no_message_ends_it(body: bytes) -> None:
    ours, theirs = socket.socketpair()
    wire = await Wire[FromProcess].over(ours, FromProcess)
    with theirs:
        theirs.sendall(len(body).to_bytes(4) + body)
        assert await wire.receive() is None
    wire.close()
