import asyncio
import mmap
import threading
import time
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


async def test_a_small_writer_is_not_starved_by_busy_ones(path: Path, tmp_path: Path) -> None:
    turns = tmp_path / "turns"
    turns.write_bytes(bytes(8))

    def visit() -> list[int]:
        """How many turns of the others passed by each time until it was ours."""
        passed = []
        with closing(Gate(path)) as gate, turns.open("r+b") as file, mmap.mmap(file.fileno(), 8) as counted:
            for _ in range(100):
                before = int.from_bytes(counted[:])
                with gate:
                    passed.append(int.from_bytes(counted[:]) - before)
                time.sleep(0.002)  # Who writes seldom is the one that starves.
        return passed

    crowd = [child("crowd", path, turns) for _ in range(3)]
    async with crowd[0] as one, crowd[1] as two, crowd[2] as three:
        for other in (one, two, three):
            assert await other.heard() == "there"
        passed = await bounded(asyncio.to_thread(visit))
    # About one turn of each. With one lock alone it would be dozens, and hundreds at worst.
    assert sorted(passed)[95] <= 12


async def test_the_gate_is_let_go_after_an_error(path: Path) -> None:
    with closing(Gate(path)) as gate:
        with pytest.raises(ZeroDivisionError), gate:
            raise ZeroDivisionError
        await bounded(asyncio.to_thread(pass_through, path))


def test_a_store_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Gate(tmp_path / "absent" / "milepost.db")
