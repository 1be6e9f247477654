import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from milepost.access.principal import LOCAL
from milepost.app import Milepost
from milepost.cli import lifeline
from milepost.cli.supervisor import LONGEST_PAUSE, Supervisor
from milepost.engine.source import load_file
from milepost.task import State
from milepost.times import SECOND
from tests.cli.processes import COMMAND, JOBS
from tests.shortage import no_descriptor_left

Told = asyncio.Queue[MutableMapping[str, Any]]


@pytest.fixture
def told() -> Iterator[Told]:
    """What is logged, as it comes."""
    queue: Told = asyncio.Queue()

    def take(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        queue.put_nowait(event)
        raise structlog.DropEvent

    structlog.configure(processors=[take])
    yield queue
    structlog.reset_defaults()


async def next_of(told: Told, text: str) -> MutableMapping[str, Any]:
    """The next thing logged with `text` in it."""
    async with asyncio.timeout(60):
        while text not in (event := await told.get())["event"]:
            pass
    return event


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator["asyncio.Task[None]"]:
    work = asyncio.create_task(supervisor.run())
    try:
        yield work
    finally:
        supervisor.stop()
        async with asyncio.timeout(60):
            await work


def python(code: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import os, signal, socket, sys, time\nline = socket.socket(fileno=int(sys.argv[1]))\n{code}",
    ]


SLEEPER = python("line.send(b'.')\nline.recv(1)")


async def test_a_worker_that_ends_is_started_again_ever_later(told: Told) -> None:
    async with running(Supervisor(python("sys.exit(3)"), grace=0)):
        pauses = [(await next_of(told, "ended"))["in_seconds"] for _ in range(4)]
    assert pauses == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] < LONGEST_PAUSE


async def test_how_it_ended_is_told(told: Told) -> None:
    async with running(Supervisor(python("sys.exit(3)"), grace=0)):
        assert (await next_of(told, "ended"))["how"] == "exit code 3"
    async with running(Supervisor(python("os.kill(os.getpid(), signal.SIGSEGV)"), grace=0)):
        assert (await next_of(told, "ended"))["how"] == "killed by SIGSEGV"


async def test_what_can_t_be_started_for_want_of_descriptors_is_tried_again_ever_later(told: Told) -> None:
    supervisor = Supervisor(SLEEPER, grace=30)
    with no_descriptor_left():
        work = asyncio.create_task(supervisor.run())
        short = [await next_of(told, "can't be started") for _ in range(2)]
    assert [line["in_seconds"] for line in short] == [0.1, 0.2]
    assert "Too many open files" in short[0]["why"]
    await next_of(told, "started")
    supervisor.stop()
    async with asyncio.timeout(30):
        await work


async def test_a_command_that_is_none_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await Supervisor(["/nowhere/python"], grace=0).run()


async def test_a_worker_that_lived_long_is_started_again_at_once(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.cli.supervisor.STEADY", 0.0)
    async with running(Supervisor(python("sys.exit(0)"), grace=0)):
        assert [(await next_of(told, "ended"))["in_seconds"] for _ in range(3)] == [0.1] * 3


async def test_stopping_asks_first(told: Told) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nline.send(b'.')\nwhile True: time.sleep(60)"
    supervisor = Supervisor(python(code), grace=30)
    async with running(supervisor):
        pid = (await next_of(told, "started"))["worker"]
        assert supervisor.pid == pid
    assert supervisor.pid is None
    assert told.empty()


async def test_who_does_not_listen_is_killed(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.cli.supervisor.LAST_RESORT", 0.1)
    async with running(Supervisor(python("signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"), grace=0)):
        await next_of(told, "started")


async def test_at_once_means_at_once(told: Told) -> None:
    supervisor = Supervisor(python("signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"), grace=60)
    async with running(supervisor) as work:
        await next_of(told, "started")
        supervisor.stop()
        supervisor.kill()
        async with asyncio.timeout(30):
            await work
    supervisor.kill()


async def test_stopped_before_it_began_it_starts_nothing(told: Told) -> None:
    supervisor = Supervisor(SLEEPER, grace=0)
    supervisor.stop()
    await supervisor.run()
    assert told.empty()


async def test_stopped_while_a_worker_is_being_started(told: Told) -> None:
    supervisor = Supervisor(SLEEPER, grace=30)
    work = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    supervisor.stop()
    async with asyncio.timeout(30):
        await work


async def test_stopped_during_the_pause(told: Told) -> None:
    async with running(Supervisor(python("sys.exit(1)"), grace=0)):
        for _ in range(3):
            await next_of(told, "ended")


async def test_cancelled_it_leaves_nobody_behind(told: Told) -> None:
    supervisor = Supervisor(SLEEPER, grace=30)
    work = asyncio.create_task(supervisor.run())
    pid = (await next_of(told, "started"))["worker"]
    descriptor = os.pidfd_open(pid)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, gone.set)
    async with asyncio.timeout(30):
        await gone.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


async def test_a_silent_worker_is_killed_with_whatever_it_started(told: Told) -> None:
    code = "line.send(b'.')\nif os.fork() == 0: time.sleep(60)\ntime.sleep(60)"
    async with running(Supervisor(python(code), grace=0, silence=0.3)):
        held = await next_of(told, "holds the worker's event loop")
        assert held["seconds"] == 0.3
        assert (await next_of(told, "ended"))["how"] == "killed by SIGKILL"


async def test_a_worker_that_beats_is_left_alone(told: Told) -> None:
    code = "for _ in range(12):\n  line.send(b'.')\n  time.sleep(0.1)"
    async with running(Supervisor(python(code), grace=0, silence=1.0)):
        assert (await next_of(told, "ended"))["how"] == "exit code 0"


async def test_p2_a_task_that_holds_the_loop_ends_and_so_do_its_neighbours(told: Told, tmp_path: Path) -> None:
    app = Milepost(tmp_path / "tasks.db")
    app.include(load_file(JOBS).app)
    async with app.opened() as service:
        store = ("--store", str(app.path), "--log-level", "error", "--lifeline")
        supervisor = Supervisor([*COMMAND, "worker", str(JOBS), *store], grace=0, silence=2)
        async with running(supervisor):
            held = await app.start("hog")
            await next_of(told, "holds the worker's event loop")
            neighbour = await app.start("echo", {"text": "hi"})
            for task in (held, neighbour):
                ended = await service.wait(LOCAL, task.id, timeout=60 * SECOND, until_end=True)
                assert ended.state is State.SUCCEEDED


async def test_a_lifeline_beats_and_tells_of_the_servers_end() -> None:
    ours, theirs = socket.socketpair()
    lost = asyncio.Event()
    async with lifeline.held(theirs.detach(), on_lost=lost.set, grace=60):
        reader, writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(30):
            assert await reader.readexactly(2) == b".."
            writer.close()
            await lost.wait()


async def test_a_lifeline_tells_also_of_a_server_that_did_not_read_it_any_more() -> None:
    ours, theirs = socket.socketpair()
    lost, beaten = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    async with lifeline.held(theirs.detach(), on_lost=lost.set, grace=60), asyncio.timeout(30):
        loop.add_reader(ours, beaten.set)
        await beaten.wait()
        loop.remove_reader(ours)
        ours.close()
        await lost.wait()


async def test_a_lifeline_is_not_handed_on_to_what_tasks_start() -> None:
    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    fd = theirs.detach()
    with ours:
        async with lifeline.held(fd, on_lost=lambda: None, grace=60):
            assert not os.get_inheritable(fd)


def test_a_worker_without_its_server_ends_even_when_its_tasks_do_not() -> None:
    ours, theirs = socket.socketpair()
    code = (
        "import asyncio, sys, time\nfrom milepost.cli import lifeline\nlifeline.LAST_RESORT = 0.1\n"
        "async def main():\n"
        " async with lifeline.held(int(sys.argv[1]), on_lost=lambda: None, grace=0.1):\n"
        "  time.sleep(3600)\n"
        "asyncio.run(main())"
    )

    process = subprocess.Popen([sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    ours.close()
    assert process.wait(60) == 1
