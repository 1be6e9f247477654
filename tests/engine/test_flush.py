"""When what running tasks tell is written."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from milepost.engine.channel import Lease
from milepost.engine.flush import FLUSH_EVERY, Flusher
from milepost.task import Entry
from tests.engine.leases import Book


class Sleep:
    """A sleep that ends when the test says so."""

    def __init__(self) -> None:
        self.lengths: asyncio.Queue[float] = asyncio.Queue()
        self._ends: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.lengths.put_nowait(seconds)
        await self._ends.get()

    def end(self) -> None:
        self._ends.put_nowait(None)


@contextlib.asynccontextmanager
async def flushing(sleep: Sleep) -> AsyncIterator[Flusher]:
    flusher = Flusher(sleep=sleep)
    running = asyncio.create_task(flusher.run())
    try:
        async with asyncio.timeout(10):
            yield flusher
    finally:
        running.cancel()


def line(text: str) -> Entry:
    return Entry(0, "log", 1, message=text)


async def test_the_first_line_is_written_at_once_and_the_rest_ten_times_a_second() -> None:
    assert FLUSH_EVERY == 0.1
    sleep, book = Sleep(), Book()
    async with flushing(sleep) as flusher:
        lease = book.lease(on_told=flusher.note)
        lease.tell(entry=line("a"))
        assert await sleep.lengths.get() == FLUSH_EVERY
        for text in "bcd":
            lease.tell(entry=line(text))
            await asyncio.sleep(0)
        assert [len(report.entries) for report in book.reports] == [1]
        sleep.end()
        await sleep.lengths.get()
        assert [len(report.entries) for report in book.reports] == [1, 3]
        assert book.lines == ["a", "b", "c", "d"]


async def test_all_tasks_are_flushed_together() -> None:
    sleep, books = Sleep(), [Book() for _ in range(3)]
    async with flushing(sleep) as flusher:
        for book in books:
            book.lease(on_told=flusher.note).tell(entry=line("a"))
        await sleep.lengths.get()
        assert [book.lines for book in books] == [["a"]] * 3


async def test_lines_of_other_threads_wake_it() -> None:
    sleep, book = Sleep(), Book()
    async with flushing(sleep) as flusher:
        lease = book.lease(on_told=flusher.note)
        thread = threading.Thread(target=lease.tell, kwargs={"entry": line("a")})
        thread.start()
        await sleep.lengths.get()
        assert book.lines == ["a"]
        thread.join()


async def test_a_lost_lease_stops_no_other() -> None:
    sleep, lost, book = Sleep(), Book(), Book()
    lost.is_lost = True
    async with flushing(sleep) as flusher:
        for each in (lost, book):
            each.lease(on_told=flusher.note).tell(entry=line("a"))
        await sleep.lengths.get()
        assert (lost.lines, book.lines) == ([], ["a"])


@pytest.mark.filterwarnings("error")
def test_a_thread_that_outlived_its_worker_may_go_on_telling() -> None:
    leases: list[Lease] = []

    async def work() -> None:
        leases.append(Book().lease(on_told=Flusher().note))

    asyncio.run(work())
    leases[0].tell(entry=line("a"))
    report = leases[0].take()
    assert report is not None
    assert [entry.message for entry in report.entries] == ["a"]
