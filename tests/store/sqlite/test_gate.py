import asyncio
import fcntl
import threading
from contextlib import closing
from pathlib import Path

import pytest

from milepost.store.sqlite.gate import Gate
from tests.store.scene import BOUND, bounded

from .processes import child


def pass_through(path: Path) -> None:
    with closing(Gate(path)) as gate, gate:
        pass


async def test_one_at_a_time_among_threads(path: Path) -> None:
    inside = 0
    most = 0

    def go() -> None:
        nonlocal inside, most
        with closing(Gate(path)) as gate:
            for _ in range(50):
                with gate:
                    inside += 1
                    most = max(most, inside)
                    inside -= 1

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, BOUND)
    assert most == 1


async def test_one_at_a_time_among_processes(path: Path) -> None:
    async with child("hold", path) as other:
        assert await other.heard() == "held"
        passing = asyncio.create_task(asyncio.to_thread(pass_through, path))
        # The next in line has the turn and waits for the other lock: nobody else gets even that far.
        assert not (await asyncio.wait([passing], timeout=0.2))[0]
        other.tell("let go")
        await bounded(passing)
        await other.end()


async def test_the_gate_is_free_when_its_holder_is_killed(path: Path) -> None:
    async with child("hold", path) as other:
        assert await other.heard() == "held"
        passing = asyncio.create_task(asyncio.to_thread(pass_through, path))
        await other.kill()
        await bounded(passing)


async def test_who_waits_comes_before_who_asks_again(path: Path, tmp_path: Path) -> None:
    turns = tmp_path / "turns"
    turns.write_bytes(bytes(8))

    def visit() -> int:
        """How many turns the other has had when it is ours."""
        with closing(Gate(path)) as gate, gate:
            return int.from_bytes(turns.read_bytes())

    async with child("insist", path, turns) as other:
        for turn in range(1, 21):
            assert await other.heard() == "held"
            ours = asyncio.create_task(asyncio.to_thread(visit))
            await bounded(taken(path.with_name(f"{path.name}-turn")))
            other.tell("let go")
            # With one lock alone it would most often have it again before we have woken up.
            assert await bounded(ours) == turn


async def taken(lock: Path) -> None:
    """Return once somebody has the lock; nothing tells of that."""
    with lock.open("rb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(file, fcntl.LOCK_UN)
            await asyncio.sleep(0.001)


async def test_the_gate_is_let_go_after_an_error(path: Path) -> None:
    with closing(Gate(path)) as gate:
        with pytest.raises(ZeroDivisionError), gate:
            raise ZeroDivisionError
        await bounded(asyncio.to_thread(pass_through, path))


def test_a_store_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Gate(tmp_path / "absent" / "milepost.db")
