"""What the end of a try makes of the record."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from milepost import BlockingContext
from milepost.engine.outcome import Died, FileReturned, Outcome, Raised, Stopped, StopReason, ValueReturned
from milepost.engine.settle import Settlement
from milepost.engine.task_type import TaskType
from milepost.files.folder import FolderFiles
from milepost.lifecycle import NOTHING, Report, Step
from milepost.task import Failure, FileResult, JsonResult, State, Task
from milepost.times import SECOND
from tests.engine.leases import running

NOW = 1_776_436_202_331_384


def work(ctx: BlockingContext) -> None: ...


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[FolderFiles]:
    """Where result files go."""
    files = FolderFiles(tmp_path / "files")
    yield files
    await files.close()


async def settled(files: FolderFiles, outcome: Outcome, task: Task | None = None, report: Report = NOTHING) -> Step:
    task_type = TaskType(work, retries=2, backoff="2s")
    settlement = Settlement(files, clock=lambda: NOW, jitter=lambda: 0.5)
    ending = settlement.ending(task_type, await settlement.stored(outcome), report)
    return ending(task or running(max_attempts=3))


async def test_a_value_succeeds_with_what_was_told_last(files: FolderFiles) -> None:
    step = await settled(files, ValueReturned(b"[1]"), report=Report(message="last words"))
    assert (step.task.state, step.task.message) == (State.SUCCEEDED, "last words")
    assert step.task.result == JsonResult(3, msgspec.Raw(b"[1]"))


@pytest.mark.parametrize(
    ("name", "given", "media_type"),
    [
        ("a.csv", None, "text/csv"),
        ("a.csv.gz", None, "application/gzip"),
        ("a", None, "application/octet-stream"),
        ("a.csv", "text/plain", "text/plain"),
    ],
)
async def test_a_file_is_stored_first(
    tmp_path: Path, files: FolderFiles, name: str, given: str | None, media_type: str
) -> None:
    (tmp_path / "out").write_bytes(b"x")
    step = await settled(files, FileReturned(bytes(tmp_path / "out"), name, given))
    result = step.task.result
    assert isinstance(result, FileResult)
    assert (result.name, result.media_type, result.size) == (name, media_type, 1)
    assert b"".join([piece async for piece in files.read(result.key)]) == b"x"


async def test_a_file_whose_name_is_not_text_is_found(tmp_path: Path, files: FolderFiles) -> None:
    path = bytes(tmp_path) + b"/caf\xe9"
    with open(path, "wb") as file:  # noqa: PTH123 - Path takes no bytes
        file.write(b"x")
    step = await settled(files, FileReturned(path, "caf\\udce9", None))
    assert step.task.state is State.SUCCEEDED


async def test_a_file_that_is_gone_is_no_reason_to_try_again(tmp_path: Path, files: FolderFiles) -> None:
    step = await settled(files, FileReturned(bytes(tmp_path / "none"), "none", None))
    assert step.task.state is State.FAILED
    assert step.task.failure == Failure(
        "result_not_stored", "The file none could not be stored: No such file or directory."
    )


async def test_a_store_that_is_broken_is_one(tmp_path: Path, files: FolderFiles) -> None:
    (tmp_path / "files").write_text("in the way")
    (tmp_path / "out").write_bytes(b"x")
    step = await settled(files, FileReturned(bytes(tmp_path / "out"), "out", None))
    assert step.task.state is State.SCHEDULED


async def test_a_failed_try_waits_for_the_next(files: FolderFiles) -> None:
    step = await settled(files, Raised(Failure("exception", "x"), "trace"))
    assert (step.task.state, step.task.run_at, step.traceback) == (State.SCHEDULED, NOW + 3 * SECOND // 2, "trace")
    second = await settled(files, Raised(Failure("exception", "x")), running(attempt=2, max_attempts=3))
    assert second.task.run_at == NOW + 3 * SECOND
    third = await settled(files, Raised(Failure("exception", "x")), running(attempt=3, max_attempts=3))
    assert third.task.state is State.FAILED


async def test_the_function_may_say_when_or_not_at_all(files: FolderFiles) -> None:
    said = await settled(files, Raised(Failure("closed", "x"), retry_in=7 * SECOND))
    assert said.task.run_at == NOW + 7 * SECOND
    at_once = await settled(files, Raised(Failure("closed", "x"), retry_in=0))
    assert at_once.task.state is State.QUEUED
    never = await settled(files, Raised(Failure("closed", "x"), retry=False))
    assert (never.task.state, never.task.failure) == (State.FAILED, Failure("closed", "x"))


async def test_a_timeout_is_a_failed_try(files: FolderFiles) -> None:
    step = await settled(files, Stopped(StopReason.TIMEOUT), running(max_attempts=1))
    assert step.task.failure == Failure("timeout", "The task ran longer than its timeout allows.")


@pytest.mark.parametrize("reason", [StopReason.PAUSE, StopReason.CANCEL, StopReason.SHUTDOWN])
async def test_whoever_stopped_stands_where_the_record_says(files: FolderFiles, reason: StopReason) -> None:
    task = running()
    assert (await settled(files, Stopped(reason), task)).task.state is State.QUEUED
    assert (await settled(files, Stopped(reason), replace(task, pause_requested=True))).task.state is State.PAUSED
    assert (await settled(files, Stopped(reason), replace(task, cancel_requested=True))).task.state is State.CANCELLED


async def test_a_death_is_a_loss(files: FolderFiles) -> None:
    step = await settled(files, Died("exit code 4"))
    assert (step.task.state, step.task.losses, step.entries[0].message) == (State.QUEUED, 1, "exit code 4")


async def test_what_is_returned_is_as_large_as_it_may_be(files: FolderFiles, tmp_path: Path) -> None:
    settlement = Settlement(files, clock=lambda: NOW, jitter=lambda: 0.5, largest_value=5, largest_file=5)
    assert await settlement.stored(ValueReturned(b"12345")) == ValueReturned(b"12345")
    raised = await settlement.stored(ValueReturned(b"123456"))
    told = Failure("result_too_large", "The task returned 6 bytes of JSON, more than 5: return a File.")
    assert raised == Raised(told, retry=False)
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    returned = FileReturned(bytes(path), "a.txt", None)
    assert isinstance(await settlement.stored(returned), FileResult)
    path.write_bytes(b"123456")
    told = Failure("result_too_large", "The file a.txt has 6 bytes, more than 5.")
    assert await settlement.stored(returned) == Raised(told, retry=False)
    assert [file.read_bytes() for file in (tmp_path / "files").rglob("*") if file.is_file()] == [b"12345"]
