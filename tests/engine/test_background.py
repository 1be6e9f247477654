"""How loops in the background go on, whatever a round meets."""

import asyncio
import logging
from pathlib import Path
from typing import ClassVar

import pytest

from milepost.engine.background import BackgroundLoop, run_together
from milepost.times import SECOND
from tests.engine.bench import Bench


class Reader(BackgroundLoop):
    """Reads a file in each round."""

    every: ClassVar[int] = 3 * SECOND
    file = Path()
    read: ClassVar[list[str]] = []

    async def round(self) -> int:
        """See BackgroundLoop."""
        self.read.append(self.file.read_text())
        return SECOND


async def test_a_round_that_fails_is_logged_and_the_next_comes(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    pauses: list[float] = []
    over = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        match len(pauses):
            case 1:
                loop.file.write_text("there")
            case 2:
                loop.file.unlink()
            case 3:
                over.set()
        await asyncio.sleep(0)

    loop = Reader(bench.store, bench.service.files, bench.clock, sleep)
    loop.file = bench.folder / "file"
    async with run_together([loop]):
        await asyncio.wait_for(over.wait(), 10)
    assert pauses[:3] == [3, 1, 3]
    assert loop.read == ["there"]
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert failures[0].getMessage() == "Reader failed; next try in 3 s"
    assert failures[0].exc_info is not None
    assert isinstance(failures[0].exc_info[1], FileNotFoundError)


async def test_loops_outlive_a_store_that_is_closed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    rounds = asyncio.Semaphore(0)

    async def sleep(_: float) -> None:
        rounds.release()
        await asyncio.sleep(0)

    loops = bench.app._loops()
    for loop in loops:
        loop._sleep = sleep
    await bench.store.close()
    async with run_together(loops):
        for _ in range(20):
            await asyncio.wait_for(rounds.acquire(), 10)
    assert {record.getMessage().split()[0] for record in caplog.records if record.levelno == logging.ERROR} >= {
        "Rescue",
        "Due",
        "Expire",
    }
    await bench.store.open()


async def test_they_end_with_the_block(bench: Bench) -> None:
    before = asyncio.all_tasks()
    async with run_together(bench.app._loops()):
        assert len(asyncio.all_tasks() - before) == 6
    assert asyncio.all_tasks() == before
