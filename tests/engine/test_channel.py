"""How what a function tells reaches its worker, and what its worker asks reaches the function."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.engine import channel
from milepost.engine.channel import Lease
from milepost.engine.outcome import Parked, StopReason
from milepost.lifecycle import Report
from milepost.task import Counts, Entry
from tests.engine.leases import Book

WEAK_TO_STRONG = [
    StopReason.PAUSE,
    StopReason.SHUTDOWN,
    StopReason.CANCEL,
    StopReason.TIMEOUT,
    StopReason.LEASE_LOST,
]


def line(text: str) -> Entry:
    return Entry(0, "log", 1, message=text)


def test_what_is_told_is_taken_once_and_the_latest_counts() -> None:
    told: list[Lease] = []
    lease = Book().lease(on_told=told.append)
    assert lease.take() is None
    lease.tell(progress=0.1, message="one")
    lease.tell(progress=0.2, entry=line("a"))
    lease.tell(counts=Counts(3), entry=line("b"))
    assert told == [lease] * 3
    assert lease.take() == Report(0.2, "one", Counts(3), (line("a"), line("b")))
    assert lease.take() is None
    assert lease.take(b"1") == Report(checkpoint=b"1")


def test_lines_that_nobody_takes_are_dropped_past_a_limit_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MOST_WAITING", 1000)
    lease = Book().lease()
    for number in range(9):
        lease.tell(entry=Entry(number, "log", 1, message="x", fields={"text": "y" * 200}))
    lease.tell(entry=Entry(9, "log", 1, message="short"))
    lease.tell(progress=0.5, message="still told")
    report = lease.take()
    assert report is not None
    assert (report.progress, report.message) == (0.5, "still told")
    *kept, last = report.entries
    assert [entry.time for entry in kept] == [0, 1, 2]
    assert last == Entry(9, "log", 1, "warning", "7 lines were dropped here: there were more than could be written.")
    assert lease.take() is None
    lease.tell(entry=line("a" * 900))
    lease.tell(entry=line("b"))
    report = lease.take()
    assert report is not None
    assert report.entries[1].message.startswith("1 line was dropped here")


async def test_nothing_to_save_writes_nothing() -> None:
    book = Book()
    lease = book.lease()
    await lease.save()
    assert book.reports == []
    await lease.save(b"1")
    assert book.reports == [Report(checkpoint=b"1")]


async def test_saves_are_written_one_after_the_other_in_the_order_of_telling() -> None:
    book = Book()
    lease = book.lease()
    book.is_open.clear()
    lease.tell(entry=line("a"))
    first = asyncio.create_task(lease.save())
    await book.begun.wait()
    lease.tell(entry=line("b"))
    second = asyncio.create_task(lease.save(b"2"))
    await asyncio.sleep(0)
    book.is_open.set()
    await asyncio.gather(first, second)
    assert book.lines == ["a", "b"]
    assert book.at_once == 1


async def test_who_stops_waiting_for_a_save_loses_nothing() -> None:
    book = Book()
    lease = book.lease()
    book.is_open.clear()
    lease.tell(entry=line("a"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await lease.save(b"1")
    book.is_open.set()
    await lease.save(b"2")
    assert book.lines == ["a"]
    assert book.checkpoints == [1, 2]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_nobody_waits_for_any_more_ends_in_silence_unless_it_fails(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    book = Book()
    book.is_open.clear()
    lease = book.lease()
    lease.tell(entry=line("a"))
    waiting = asyncio.create_task(lease.save())
    await book.begun.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    book.is_lost, book.fails = not fails, fails
    book.is_open.set()
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()  # it is then that asyncio complains of an exception that nobody has seen
    assert not lease.writing.locked()
    assert complaints == []
    assert caplog.messages == [f"What task {lease.task.id} told could not be written"] * fails


async def test_a_lost_lease_parks_and_writes_nothing_any_more() -> None:
    book = Book()
    lease = book.lease()
    book.is_lost = True
    for _ in range(2):  # the second time without asking
        lease.tell(progress=0.5)
        with pytest.raises(Parked) as parked:
            await lease.save()
        assert parked.value.reason is StopReason.LEASE_LOST
    assert book.reports == []


async def test_lines_from_many_threads_all_arrive() -> None:
    book = Book()
    lease = book.lease()

    def tell(name: str) -> None:
        for number in range(200):
            lease.tell(entry=line(f"{name}{number}"), progress=number / 200)

    threads = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await lease.save()
        await asyncio.sleep(0)
    await lease.save()
    for name in "abcd":
        assert [text for text in book.lines if text[0] == name] == [f"{name}{number}" for number in range(200)]


@settings(deadline=None)
@given(st.lists(st.sampled_from(WEAK_TO_STRONG)))
def test_the_strongest_reason_to_stop_stands(reasons: list[StopReason]) -> None:
    passed_on: list[StopReason | None] = []
    lease = Book().lease()
    lease.hook(on_stop=passed_on.append, on_force=_never)
    for reason in reasons:
        before = lease.stopping
        assert lease.stop(reason) is (lease.stopping is not before)
    assert lease.stopping == max(reasons, key=WEAK_TO_STRONG.index, default=None)
    assert passed_on == sorted(set(passed_on), key=lambda reason: WEAK_TO_STRONG.index(reason or StopReason.PAUSE))


def _never(_: StopReason) -> None:
    raise AssertionError("no force was used")


@pytest.mark.parametrize("reason", WEAK_TO_STRONG)
def test_only_a_pause_can_be_taken_back(reason: StopReason) -> None:
    passed_on: list[StopReason | None] = []
    lease = Book().lease()
    lease.hook(on_stop=passed_on.append, on_force=_never)
    lease.carry_on()
    lease.stop(reason)
    lease.carry_on()
    is_pause = reason is StopReason.PAUSE
    assert lease.stopping == (None if is_pause else reason)
    assert passed_on == ([reason, None] if is_pause else [reason])


def test_force_goes_to_the_function_while_it_runs() -> None:
    forced: list[StopReason] = []
    ignore: Callable[[StopReason | None], None] = lambda _: None  # noqa: E731
    lease = Book().lease()
    lease.hook(on_stop=ignore, on_force=forced.append)
    lease.force(StopReason.CANCEL)
    assert lease.forced
    lease.unhook()
    lease.force(StopReason.SHUTDOWN)
    lease.stop(StopReason.CANCEL)
    assert forced == [StopReason.CANCEL]
