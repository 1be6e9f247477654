"""What a function can say and ask while it runs."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost import BlockingContext, Context, Parked, TaskError
from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.outcome import StopReason
from milepost.lifecycle import Report
from milepost.task import Counts
from tests.engine.leases import Book, running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A worker's folders."""
    root = tmp_path / "root"
    root.mkdir()
    return Place(str(tmp_path / "folders"), str(root))


def context_of(lease: Lease, place: Place | None = None) -> Context:
    return Context(lease, place or Place("", ""))


def told(say: Callable[[Context], None]) -> Report:
    lease = Book().lease()
    say(context_of(lease))
    report = lease.take()
    assert report is not None
    return report


# Progress.


def test_a_float_is_a_fraction() -> None:
    assert told(lambda ctx: ctx.progress(0.25, message="reading")) == Report(0.25, "reading")
    assert told(lambda ctx: ctx.progress(1.0)).counts is None


def test_whole_numbers_are_counts() -> None:
    assert told(lambda ctx: ctx.progress(3)) == Report(None, None, Counts(3))
    assert told(lambda ctx: ctx.progress(3, 12, failed=1, skipped=2)) == Report(0.25, None, Counts(3, 12, 1, 2))
    assert told(lambda ctx: ctx.progress(3.0, 12)) == Report(0.25, None, Counts(3, 12))
    assert told(lambda ctx: ctx.progress(0, 0)) == Report(None, None, Counts(0, 0))


def test_a_message_may_come_alone() -> None:
    assert told(lambda ctx: ctx.progress(message="waiting")) == Report(None, "waiting")


def test_counts_that_are_not_said_again_stay() -> None:
    lease = Book().lease(running(counts=Counts(5, 10, 1)))
    ctx = context_of(lease)
    ctx.progress(6, skipped=1)
    assert lease.take() == Report(0.6, None, Counts(6, 10, 1, 1))
    ctx.progress(7, failed=2)
    assert lease.take() == Report(0.7, None, Counts(7, 10, 2, 1))
    ctx.progress(failed=3)
    assert lease.take() == Report(0.7, None, Counts(7, 10, 3, 1))


@settings(deadline=None)
@given(st.integers(-5, 20) | st.floats(allow_nan=True), st.none() | st.integers(-5, 20))
def test_the_record_stays_between_0_and_1_whatever_is_said(done: int | float, total: int | None) -> None:
    if isinstance(done, float) and total is not None:
        done = 0.5
    report = told(lambda ctx: ctx.progress(done, total))
    assert 0 <= report.onto(running()).progress <= 1


# Log.


def entry(say: Callable[[Context], None]) -> tuple[str, str, Any]:
    (line,) = told(say).entries
    assert (line.kind, line.attempt, line.time > 0) == ("log", 1, True)
    return line.message, line.level, line.fields


def test_a_line_has_a_level_and_fields() -> None:
    assert entry(lambda ctx: ctx.log("hello")) == ("hello", "info", None)
    assert entry(lambda ctx: ctx.log("page", "warning", rows=5, part={"a": [1]})) == (
        "page",
        "warning",
        {"rows": 5, "part": {"a": [1]}},
    )


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (Path("/a"), "/a"),
        (10**30, 10**30),
        (float("nan"), None),
        ({1: 2}, {"1": 2}),
        ("half \ud83d", "'half \\ud83d'"),
        (circle(), "[[...]]"),
    ],
)
def test_any_field_can_be_kept(value: Any, kept: Any) -> None:
    _, _, fields = entry(lambda ctx: ctx.log("x", value=value))
    assert fields == {"value": kept}
    assert msgspec.json.decode(msgspec.json.encode(fields)) == fields


def test_text_that_is_not_utf_8_can_be_told() -> None:
    name = os.fsdecode(b"caf\xe9")
    assert entry(lambda ctx: ctx.log(name))[0] == "caf\\udce9"
    assert told(lambda ctx: ctx.progress(1, message=name)).message == "caf\\udce9"


def test_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="'loud' is no level; take debug, info, warning, error, critical"):
        entry(lambda ctx: ctx.log("x", "loud"))  # type: ignore[arg-type]


# Checkpoints.


async def test_a_checkpoint_is_written_with_what_was_told_before() -> None:
    book = Book()
    ctx = context_of(book.lease(saved=b'{"row":1}'))
    assert ctx.saved == {"row": 1}
    ctx.progress(0.5)
    await ctx.checkpoint({"row": 2})
    assert book.reports == [Report(0.5, checkpoint=b'{"row":2}')]
    assert ctx.saved == {"row": 2}
    assert context_of(book.lease()).saved is None


@pytest.mark.parametrize("reason", StopReason)
async def test_a_checkpoint_parks_when_something_is_due_and_has_saved(reason: StopReason) -> None:
    book = Book()
    lease = book.lease()
    ctx = context_of(lease)
    await ctx.checkpoint(1)
    assert not ctx.stopping
    lease.stop(reason)
    assert ctx.stopping
    with pytest.raises(Parked) as parked:
        await ctx.checkpoint(2)
    assert parked.value.reason is reason
    assert book.checkpoints == ([1] if reason is StopReason.LEASE_LOST else [1, 2])


async def test_a_state_that_json_does_not_know_is_the_functions_error() -> None:
    book = Book()
    with pytest.raises(TypeError):
        await context_of(book.lease()).checkpoint(object())
    assert book.reports == []


async def test_flush_writes_what_was_told_and_parks_nothing() -> None:
    book = Book()
    lease = book.lease()
    ctx = context_of(lease)
    lease.stop(StopReason.PAUSE)
    ctx.log("a")
    await ctx.flush()
    assert book.lines == ["a"]


async def test_results_of_other_tasks_can_be_read() -> None:
    book = Book()
    book.results["a"] = b"[1]"
    ctx = context_of(book.lease())
    assert await ctx.result_of("a") == [1]
    with pytest.raises(TaskError, match="Task b has no JSON result"):
        await ctx.result_of("b")


# The same, blocking.


async def test_plain_functions_have_the_same_names_and_wait() -> None:
    book = Book()
    book.results["a"] = b"[1]"
    lease = book.lease(saved=b"1")
    ctx = BlockingContext(lease, Place("", ""), asyncio.get_running_loop())

    def work() -> None:
        assert ctx.saved == 1
        ctx.log("a")
        ctx.flush()
        assert book.lines == ["a"]
        ctx.checkpoint(2)
        assert (book.checkpoints, ctx.saved) == ([2], 2)
        assert ctx.result_of("a") == [1]
        with pytest.raises(TaskError):
            ctx.result_of("b")
        lease.stop(StopReason.PAUSE)
        with pytest.raises(Parked):
            ctx.checkpoint(3)
        assert book.checkpoints == [2, 3]

    await asyncio.to_thread(work)


def test_a_thread_that_outlived_its_worker_is_parked() -> None:
    contexts: list[BlockingContext] = []

    async def work() -> None:
        contexts.append(BlockingContext(Book().lease(), Place("", ""), asyncio.get_running_loop()))

    asyncio.run(work())
    reasons: list[StopReason] = []

    def go_on() -> None:
        with pytest.raises(Parked) as parked:
            contexts[0].checkpoint(1)
        reasons.append(parked.value.reason)

    thread = threading.Thread(target=go_on)
    thread.start()
    thread.join(10)
    assert reasons == [StopReason.LEASE_LOST]


def test_a_thread_that_waits_when_its_worker_goes_is_parked() -> None:
    reasons: list[StopReason] = []
    threads: list[threading.Thread] = []

    async def work() -> None:
        book = Book()
        book.is_open.clear()
        ctx = BlockingContext(book.lease(), Place("", ""), asyncio.get_running_loop())

        def wait() -> None:
            with pytest.raises(Parked) as parked:
                ctx.checkpoint(1)
            reasons.append(parked.value.reason)

        threads.append(threading.Thread(target=wait))
        threads[0].start()
        await book.begun.wait()

    asyncio.run(work())  # and with its end whatever still runs on the loop is cancelled
    threads[0].join(10)
    assert reasons == [StopReason.LEASE_LOST]


# Folders and paths.


def test_the_private_folder_is_made_on_first_use(place: Place) -> None:
    ctx = context_of(Book().lease(), place)
    assert not Path(place.folders).exists()
    assert ctx.folder == Path(place.folders, ctx.task.id, str(ctx.task.epoch))
    assert (ctx.id, ctx.owner, ctx.tenant, ctx.roles) == (ctx.task.id, ctx.task.owner, ctx.task.tenant, ctx.task.roles)
    assert ctx.folder.stat().st_mode & 0o777 == 0o700
