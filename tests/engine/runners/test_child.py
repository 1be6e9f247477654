"""What the process does that runs a try, when its worker does not do its part."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator

import msgspec
import pytest

from milepost.engine.context import Place
from milepost.engine.runners import child
from milepost.engine.runners.wire import Begin, FromProcess, Told, Wire
from tests.engine import jobs
from tests.engine.leases import running
from tests.engine.processes import WITHIN, Pipe


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The worker's end of a wire, and the process's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def start(theirs: socket.socket, parent: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", child.__name__, str(theirs.fileno()), str(parent)),
        pass_fds=[theirs.fileno()],
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_does_not_begin_when_its_worker_is_gone(ends: tuple[socket.socket, socket.socket]) -> None:
    process = await start(ends[1], parent=1)
    _, errors = await asyncio.wait_for(process.communicate(), WITHIN)
    assert (process.returncode, errors) == (1, b"The worker is gone.\n")


async def test_it_ends_when_it_is_told_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    process = await start(ends[1], parent=os.getpid())
    for end in ends:
        end.close()
    _, errors = await asyncio.wait_for(process.communicate(), WITHIN)
    assert (process.returncode, errors) == (0, b"")


async def test_it_ends_when_the_wire_does(ends: tuple[socket.socket, socket.socket], pipe: Pipe) -> None:
    ours, theirs = ends
    process = await start(theirs, parent=os.getpid())
    theirs.close()
    wire = await Wire[FromProcess].over(ours, FromProcess)
    source = jobs.app.types["step"].source
    assert source is not None
    given = msgspec.json.encode({"pipe": pipe.path})
    wire.send(Begin(source, sys.path, running("step"), given, None, Place("", "")))
    assert isinstance(await asyncio.wait_for(wire.receive(), WITHIN), Told)
    wire.close()
    _, errors = await asyncio.wait_for(process.communicate(), WITHIN)
    assert (process.returncode, errors) == (1, b"")
