"""How functions run in processes of their own."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from milepost import BlockingContext
from milepost.engine.channel import Lease
from milepost.engine.context import Place, folder_of
from milepost.engine.outcome import Died, FileReturned, Outcome, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.runners import guard, process
from milepost.engine.runners.process import ProcessRunner
from milepost.engine.runners.protocol import Ended
from milepost.engine.source import Source, load_file
from milepost.engine.task_type import TaskType
from tests.engine import jobs
from tests.engine.leases import Book, lease_for
from tests.engine.processes import WITHIN, Pipe, gone

TYPES = jobs.app.types


class Run:
    """A try in a process."""

    def __init__(self, name: str, place: Place, **input: Any) -> None:
        self.book = Book()
        self.task_type = TYPES[name]
        self.lease: Lease = lease_for(self.book, self.task_type, input)
        self.place = place

    def begin(self) -> "asyncio.Task[Ended]":
        return asyncio.create_task(ProcessRunner().run(self.task_type, self.lease, self.place))

    async def outcome(self) -> Outcome:
        ended = await asyncio.wait_for(self.begin(), WITHIN)
        assert ended.lingering is None
        return ended.outcome


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A worker's folders."""
    return Place(str(tmp_path / "folders"), str(tmp_path))


@contextlib.asynccontextmanager
async def begun(run: Run) -> AsyncIterator["asyncio.Task[Ended]"]:
    running = run.begin()
    try:
        async with asyncio.timeout(WITHIN):
            yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_it_runs_elsewhere_with_all_that_a_context_has(place: Place) -> None:
    run = Run("tell", place, part={"start": 5})
    outcome = await run.outcome()
    assert isinstance(outcome, ValueReturned)
    value = msgspec.json.decode(outcome.body)
    assert value["pid"] != os.getpid()
    assert {**value, "pid": 0} == {"saved": {"row": 5}, "stop": 10, "pid": 0, "tried": 1}
    assert run.book.lines == ["line 0", "line 1", "line 2", "from logging"]
    assert run.book.entries[0].level == "warning"
    assert run.book.entries[0].fields == {"big": 10**30}
    assert run.book.entries[3].fields == {"logger": "tests.jobs"}
    assert run.book.checkpoints == [{"row": 5}]
    latest = [report.counts for report in run.book.reports if report.counts][-1]
    assert (latest.done, latest.total) == (3, 3)
    assert Path(place.folders, run.lease.task.id, str(run.lease.task.epoch), "mark").exists()


async def test_async_functions_have_a_loop_there(place: Place) -> None:
    run = Run("tell_async", place, lines=2)
    outcome = await run.outcome()
    assert isinstance(outcome, ValueReturned)
    assert int(outcome.body) != os.getpid()
    assert run.book.lines == ["line 0", "line 1", "from logging"]


async def test_it_finds_what_was_saved_and_asks_for_results(place: Place) -> None:
    run = Run("add", place, first="a", second="b")
    run.book.results = {"a": b"1", "b": b"2"}
    assert await run.outcome() == ValueReturned(b"3")
    run = Run("add", place, first="a", second="b")
    run.book.results = {"a": b"1"}
    outcome = await run.outcome()
    assert isinstance(outcome, Raised)
    assert outcome.failure.message == "Task b has no JSON result."


async def test_a_question_may_be_given_up(place: Place) -> None:
    run = Run("ask_in_vain", place, id="a")
    assert await run.outcome() == ValueReturned(b'"gone on"')
    assert run.book.checkpoints == ["on"]


async def test_it_returns_files_and_large_values(place: Place) -> None:
    run = Run("write", place, size=10)
    assert await run.outcome() == FileReturned(
        os.fsencode(folder_of(place, run.lease.task) / "out.txt"), "out.txt", None
    )
    outcome = await Run("large", place, size=5_000_000).outcome()
    assert outcome == ValueReturned(b'"' + b"x" * 5_000_000 + b'"')


@pytest.mark.parametrize(
    ("how", "code", "message", "retry"),
    [
        ("error", "no_index", "no such index", False),
        ("exit", "exception", "SystemExit: 3", True),
        ("other", "exception", "ValueError: other", True),
    ],
)
async def test_what_it_raises_is_the_outcome(place: Place, how: str, code: str, message: str, retry: bool) -> None:
    run = Run("fail", place, how=how)
    outcome = await run.outcome()
    assert isinstance(outcome, Raised)
    assert (outcome.failure.code, outcome.failure.message, outcome.retry) == (code, message, retry)
    assert "in fail" in (outcome.traceback or "")
    assert run.book.lines == [f"failing: {how}"]


@pytest.mark.parametrize(("how", "died"), [("os._exit", "exit code 4"), ("signal", "signal SIGSEGV")])
async def test_an_end_without_a_word_is_a_death(place: Place, how: str, died: str) -> None:
    assert await Run("fail", place, how=how).outcome() == Died(died)


async def test_a_closure_can_not_be_found(place: Place) -> None:
    def work(ctx: BlockingContext) -> None: ...

    task_type = TaskType(work)
    ended = await ProcessRunner().run(task_type, lease_for(Book(), task_type), place)
    assert isinstance(ended.outcome, Raised)
    assert (ended.outcome.failure.code, ended.outcome.retry) == ("no_source", False)


@pytest.mark.parametrize("module", ["raise SystemExit(3)", "import nothing_of_that_name", "VERSION = 2"])
async def test_a_module_that_does_not_load_any_more_is_said(tmp_path: Path, place: Place, module: str) -> None:
    file = tmp_path / "jobs.py"
    file.write_text("from milepost import Milepost\napp = Milepost()\n@app.task(runner='process')\ndef work(): ...\n")
    task_type = load_file(file).app.types["work"]
    assert task_type.source == Source(task_type.function.__module__, str(file), "work")
    file.write_text(module)
    ended = await ProcessRunner().run(task_type, lease_for(Book(), task_type), place)
    assert isinstance(ended.outcome, Raised)
    assert (ended.outcome.failure.code, ended.outcome.retry) == ("not_loadable", False)
    assert ended.outcome.failure.message.startswith("work could not be loaded: ")


async def test_it_stops_at_a_checkpoint_and_a_pause_can_be_taken_back(place: Place, pipe: Pipe) -> None:
    run = Run("step", place, pipe=pipe.path)
    async with begun(run) as running:
        await run.book.until(lambda book: book.lines == ["passed 1"])
        run.lease.stop(StopReason.PAUSE)
        run.lease.carry_on()
        pipe.write("go on")
        await run.book.until(lambda book: book.lines == ["passed 1", "passed 2"])
        run.lease.stop(StopReason.PAUSE)
        pipe.write("go on")
        assert (await running).outcome == Stopped(StopReason.PAUSE)
        assert run.book.checkpoints == [1, 2, 3]


async def test_a_lost_lease_ends_it(place: Place, pipe: Pipe) -> None:
    run = Run("step", place, pipe=pipe.path)
    async with begun(run) as running:
        await run.book.until(lambda book: book.lines == ["passed 1"])
        run.book.is_lost = True
        pipe.write("go on")
        assert (await running).outcome == Stopped(StopReason.LEASE_LOST)
        assert run.book.checkpoints == [1]


@pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.TIMEOUT])
async def test_sigterm_reaches_it_and_it_parks_at_the_next_checkpoint(
    place: Place, pipe: Pipe, reason: StopReason
) -> None:
    run = Run("step", place, pipe=pipe.path)
    async with begun(run) as running:
        await run.book.until(lambda book: book.lines == ["passed 1"])
        run.lease.stop(reason)
        assert run.lease.forced
        pipe.write("go on")
        assert isinstance((await running).outcome, Stopped)
        assert run.book.checkpoints == [1, 2]


async def test_sigterm_also_reaches_what_it_started(place: Place, pipe: Pipe) -> None:
    run = Run("call_a_program", place, pipe=pipe.path)
    async with begun(run) as running:
        await pipe.read()
        run.lease.stop(StopReason.CANCEL)
        outcome = (await running).outcome
        assert isinstance(outcome, Raised)  # which does not count, as force was used
        assert "SIGTERM" in outcome.failure.message


async def test_force_kills_it_and_what_it_started(place: Place, pipe: Pipe) -> None:
    run = Run("ignore", place, pipe=pipe.path)
    async with begun(run) as running:
        pids = [int(pid) for pid in (await pipe.read()).split()]
        run.lease.stop(StopReason.CANCEL)
        run.lease.force(StopReason.CANCEL)
        assert (await running).outcome == Died("signal SIGKILL")
        for pid in pids:
            await gone(pid)


async def test_force_also_ends_a_call_that_holds_the_interpreter(place: Place, pipe: Pipe) -> None:
    run = Run("hold", place, pipe=pipe.path)
    async with begun(run) as running:
        pid = int(await pipe.read())
        run.lease.stop(StopReason.CANCEL)
        run.lease.force(StopReason.CANCEL)
        assert (await running).outcome == Died("signal SIGKILL")
        await gone(pid)


@pytest.mark.parametrize(("then", "outcome"), [("die", Died("exit code 5")), ("return", ValueReturned(b"1"))])
async def test_what_it_leaves_behind_ends_with_it(place: Place, pipe: Pipe, then: str, outcome: Outcome) -> None:
    run = Run("leave_children", place, pipe=pipe.path, then=then)
    async with begun(run) as running:
        child = int(await pipe.read())
        assert (await running).outcome == outcome
        await gone(child)


async def test_a_process_that_does_not_exit_by_itself_is_killed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "EXIT_WITHIN", 0.1)
    assert await Run("linger", place).outcome() == ValueReturned(b"1")


async def test_a_process_that_closes_the_wire_is_killed(
    place: Place, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "EXIT_WITHIN", 0.1)
    run = Run("close_the_wire", place, pipe=pipe.path)
    async with begun(run) as running:
        pid = int(await pipe.read())
        assert isinstance((await running).outcome, Died)
        await gone(pid)


@pytest.mark.parametrize("reason", [StopReason.PAUSE, StopReason.CANCEL, StopReason.LEASE_LOST])
async def test_a_request_that_came_before_the_process_counts(place: Place, pipe: Pipe, reason: StopReason) -> None:
    run = Run("step", place, pipe=pipe.path)
    run.lease.stop(reason)
    assert await run.outcome() in (Stopped(reason), Died("signal SIGTERM"), Died("signal SIGKILL"))
    assert run.book.checkpoints in ([], [1])


async def test_it_ends_with_the_try(place: Place, pipe: Pipe) -> None:
    run = Run("ignore", place, pipe=pipe.path)
    async with begun(run) as running:
        pid = int((await pipe.read()).split()[0])
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await gone(pid)


async def test_a_killed_process_is_a_death(place: Place, pipe: Pipe) -> None:
    run = Run("hold", place, pipe=pipe.path)
    async with begun(run) as running:
        os.kill(int(await pipe.read()), signal.SIGKILL)
        assert (await running).outcome == Died("signal SIGKILL")


async def test_what_a_killed_process_has_started_ends_with_it(place: Place, pipe: Pipe) -> None:
    run = Run("raise_a_family", place, pipe=pipe.path)
    async with begun(run) as running:
        itself, *family = (int(pid) for pid in (await pipe.read()).split())
        os.kill(itself, signal.SIGKILL)
        assert (await running).outcome == Died("signal SIGKILL")
        for pid in family:
            await gone(pid)


async def test_its_guard_goes_with_it_and_leaves_nothing_open(place: Place) -> None:
    await Run("large", place, size=10).outcome()  # now what is opened once and for all is open
    before = psutil.Process().num_fds()
    await Run("large", place, size=10).outcome()
    assert psutil.Process().children() == []
    assert psutil.Process().num_fds() == before


async def test_a_function_has_no_child_that_it_did_not_start(place: Place) -> None:
    assert await Run("count_children", place).outcome() == ValueReturned(b"0")


async def test_a_process_without_a_guard_runs_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "COMMAND", ("/nowhere/sh",))
    run = Run("fail", place, how="os._exit")
    with pytest.raises(FileNotFoundError):
        await run.outcome()
    async with asyncio.timeout(WITHIN):
        while psutil.Process().children():
            await asyncio.sleep(0)
    assert run.book.lines == []


@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_a_process_that_can_not_be_started_is_the_workers_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError):
        await Run("linger", place).outcome()
