"""Whatever a function does that it should not, its record tells the truth, its worker lives, its neighbours go on."""

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from milepost import Context
from milepost.engine.context import LARGEST_CHECKPOINT
from milepost.engine.fields import LONGEST_FIELDS, MOST_FIELDS
from milepost.engine.text import LONGEST
from milepost.task import Failure, FileResult, State
from tests.engine import misbehaving
from tests.engine.bench import Bench, until

ONCE, TWICE = 1, 2
"""Attempts, of two: what would go the same way again is not tried again."""

FAILS: dict[str, tuple[str, int, str]] = {
    "object": ("result_not_serialisable", ONCE, "type object"),
    "recursive": ("result_not_serialisable", ONCE, "recursion"),
    "surrogate": ("result_not_serialisable", ONCE, "surrogates"),
    "odd keys": ("result_not_serialisable", ONCE, "keys"),
    "digits": ("result_not_serialisable", ONCE, "digits"),
    "function": ("result_not_serialisable", ONCE, "function"),
    "unspeakable": ("exception", TWICE, "<Unspeakable without a text>"),
    "untraceable": ("exception", TWICE, "Untraceable: x"),
    "nameless": ("exception", TWICE, "The task raised an exception that can't be told."),
    "unmade": ("exception", TWICE, "Unmade (what it says of itself can't be used: "),
    "odd error": ("<object object at ", TWICE, r"b'\xff'"),
    "long error": ("exception", TWICE, "ValueError: xxx"),
    "NUL": ("exception", TWICE, r"ValueError: a\x00b"),
    "surrogate error": ("exception", TWICE, r"ValueError: \ud800"),
    "recursion": ("exception", TWICE, "RecursionError: "),
    "chain": ("exception", TWICE, "RuntimeError: number 1999"),
    "exit": ("exception", TWICE, "SystemExit: 3"),
    "memory": ("exception", TWICE, "MemoryError"),
    "stop iteration": ("exception", TWICE, "StopIteration"),
    "generator exit": ("exception", TWICE, "GeneratorExit"),
    "cancelled": ("exception", TWICE, "CancelledError"),
    "parked": ("exception", TWICE, "The task raised Parked, though nothing had asked it to stop."),
    "parked for good": ("exception", TWICE, "The task raised Parked, though nothing had asked it to stop."),
    "parked in its own way": ("exception", TWICE, "The task raised Leaving, though nothing had asked it to stop."),
    "no number": ("exception", TWICE, "TypeError: done has to be a number"),
    "no level": ("exception", TWICE, "ValueError: 'loud' is no level"),
    "folder": ("result_not_stored", ONCE, "Is a directory"),
    "fifo": ("result_not_stored", ONCE, "The file pipe could not be stored: it is no regular file."),
    "device": ("result_not_stored", ONCE, "The file zero could not be stored: it is no regular file."),
    "vanished": ("result_not_stored", ONCE, "No such file"),
    "linked to itself": ("result_not_stored", ONCE, "The file report could not be stored"),
    "NUL in the path": ("result_not_stored", ONCE, "The file a_b could not be stored: embedded null byte."),
    "long path": ("result_not_stored", ONCE, "too long"),
    "empty path": ("result_not_stored", ONCE, "Is a directory"),
}
"""Code, attempts, and what the message has in it."""

FILES = {
    "newline": ("a__b: c.txt", "text/plain"),
    "slash": ("passwd", "application/octet-stream"),
    "NUL in the name": ("a_b.txt", "text/plain"),
    "long name": ("x" * 251 + ".txt", "text/plain"),
    "bytes": ("caf__.csv", "text/csv"),
    "surrogate name": ("_", "application/octet-stream"),
    "no name": ("5", "application/octet-stream"),
    "odd type": ("a", "application/octet-stream"),
    "surrogate type": ("a", "application/octet-stream"),
}
"""Name and media type as they are kept: made safe."""

RUNNERS = ("on_the_loop", "in_a_thread", "in_a_process")


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.app.include(misbehaving.app)
    return bench


@pytest.mark.parametrize("runner", RUNNERS)
async def test_p2_every_failure_is_told_as_it_was(bench: Bench, runner: str) -> None:
    @bench.app.task
    async def neighbour(ctx: Context, *, number: int) -> int:
        await ctx.checkpoint(number)
        return number

    async with bench.working() as worker:
        await bench.end(await bench.start("neighbour", {"number": 0}))
        began = worker.id
        tasks = {how: await bench.start(runner, {"how": how}) for how in FAILS}
        neighbours = [await bench.start("neighbour", {"number": number}) for number in range(20)]
        for how, (code, attempts, part) in FAILS.items():
            task = await bench.end(tasks[how])
            assert isinstance(task.failure, Failure), how
            assert task.failure.code.startswith(code), (how, task.failure)
            assert part in task.failure.message, (how, task.failure)
            assert (task.state, task.attempt, task.losses, task.result) == (State.FAILED, attempts, 0, None), how
            assert len(task.failure.message) <= LONGEST + 100
        for task in neighbours:
            done = await bench.end(task)
            assert (done.state, done.losses) == (State.SUCCEEDED, 0)
        assert worker.id == began, "it is the same worker, under the same lease"


@pytest.mark.parametrize("runner", RUNNERS)
async def test_files_with_odd_names_are_kept(bench: Bench, runner: str) -> None:
    async with bench.working():
        tasks = {how: await bench.start(runner, {"how": how}) for how in FILES}
        for how, told in FILES.items():
            task = await bench.end(tasks[how])
            assert isinstance(task.result, FileResult), (how, task.failure)
            assert (task.result.name, task.result.media_type) == told, how
            assert task.result.size == len("content")


@pytest.mark.parametrize("runner", RUNNERS)
async def test_numbers_that_json_lacks_are_written_as_javascript_does(bench: Bench, runner: str) -> None:
    async with bench.working():
        task = await bench.end(await bench.start(runner, {"how": "numbers"}))
    assert await bench.result(task) == [None, None, 2**64, {"1": [2]}, "AA=="]


@pytest.mark.parametrize("runner", RUNNERS)
async def test_too_much_of_everything_is_cut_and_said(bench: Bench, runner: str) -> None:
    async with bench.working():
        names = ("long line", "long message", "long field", "many fields", "long exception", "flood", "odd progress")
        tasks = {how: await bench.start(runner, {"how": how}) for how in (*names, "odd message", "odd line")}
        ends = {how: await bench.end(task) for how, task in tasks.items()}
    logs = {how: [e for e in await bench.entries(task) if e.kind == "log"] for how, task in tasks.items()}
    assert {end.state for end in ends.values()} == {State.SUCCEEDED}
    assert [len(entry.message) for entry in logs["long line"]] == [LONGEST + 2]
    assert len(str(ends["long message"].message)) == LONGEST + 2
    long, after = logs["long field"]
    assert long.fields is not None
    assert (long.fields["n"], long.fields["text"][:3], long.fields["list"][:3]) == (1, "xxx", "[1,")
    assert len(msgspec.json.encode(long.fields)) <= LONGEST_FIELDS + 100
    assert after.message == "after", "one long line does not fill the log"
    many, _ = logs["many fields"]
    assert many.fields is not None
    assert (len(many.fields), many.fields["fields_dropped"]) == (MOST_FIELDS + 1, 100_000 - MOST_FIELDS)
    assert logs["long exception"][0].fields is not None
    assert logs["long exception"][0].fields["exception"].startswith("ValueError: xxx")
    assert ends["flood"].log_dropped + len(logs["flood"]) - 1 == 100_000
    assert logs["flood"][-1].message.startswith("The log is full")
    outcome = (await bench.entries(tasks["flood"]))[-2]
    assert outcome.fields is not None
    assert outcome.fields["log_dropped"] == ends["flood"].log_dropped
    assert str(ends["odd message"].message).startswith("<object object at ")
    assert [(entry.message, entry.fields) for entry in logs["odd line"]] == [
        (r"b'\xff'", {"x": "<Unspeakable without a text>"})
    ]


@pytest.mark.parametrize("runner", ["on_the_loop", "in_a_thread"])
async def test_p3_what_a_function_says_after_its_end_changes_nothing(bench: Bench, runner: str) -> None:
    async with bench.working() as worker:
        misbehaving.ended = threading.Event()
        misbehaving.said = threading.Event()
        task = await bench.end(await bench.start(runner, {"how": "late"}))
        entries = await bench.entries(task)
        misbehaving.ended.set()
        await until(misbehaving.said.is_set)
        next_one = await bench.end(await bench.start(runner, {"how": "numbers"}))
        assert (next_one.state, next_one.worker is None, worker.id != "") == (State.SUCCEEDED, True, True)
        await asyncio.sleep(0)
    assert await bench.get(task) == task
    assert await bench.entries(task) == entries


@pytest.mark.parametrize("type", ["checkpoint_on_the_loop", "checkpoint_in_a_thread", "checkpoint_in_a_process"])
async def test_a_checkpoint_has_a_limit(bench: Bench, type: str) -> None:
    async with bench.working():
        most, more = LARGEST_CHECKPOINT - 2, LARGEST_CHECKPOINT - 1  # with its quotes
        kept = await bench.start(type, {"size": most})
        refused = await bench.start(type, {"size": more})
        assert (await bench.end(kept)).state is State.SUCCEEDED
        failed = await bench.end(refused)
    assert failed.failure is not None
    assert (failed.failure.code, failed.attempt) == ("checkpoint_too_large", 1)
    assert str(LARGEST_CHECKPOINT) in failed.failure.message


class Broken(msgspec.Struct):
    """An argument that checks itself, and badly."""

    value: Any

    def __post_init__(self) -> None:
        raise KeyError(self.value)


async def test_an_argument_that_can_t_be_made_fails_its_task(bench: Bench) -> None:
    @bench.app.task(retries=2)
    def work(*, broken: Broken) -> None:
        pass

    async with bench.working():
        task = await bench.end(await bench.start("work", {"broken": {"value": "x"}}))
    assert task.failure is not None
    assert (task.failure.code, task.attempt, task.losses) == ("invalid_input", 1, 0)
    assert "KeyError: 'x'" in task.failure.message


async def test_a_file_store_that_fails_in_its_own_way_fails_the_task(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def put(*_: Any) -> Any:
        raise LookupError("no such bucket")

    monkeypatch.setattr(bench.service.files, "put", put)
    async with bench.working():
        task = await bench.end(await bench.start("on_the_loop", {"how": "slash"}))
    assert task.failure is not None
    assert (task.failure.code, task.attempt) == ("result_not_stored", TWICE)
    assert "no such bucket" in task.failure.message
