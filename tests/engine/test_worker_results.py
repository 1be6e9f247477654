"""How results get from a function into the record."""

import asyncio
import hashlib
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pytest

from milepost import BlockingContext, Context, File
from milepost.access.principal import LOCAL
from milepost.errors import NotFound
from milepost.files.protocol import StoredFile
from milepost.task import Counts, Failure, FileResult, JsonResult, State, Task
from tests.engine import jobs
from tests.engine.bench import Bench, until


@pytest.mark.parametrize("value", [None, 0, "text", [1, {"a": None}], "x" * 100_000])
async def test_any_json_value_is_a_result(bench: Bench, value: Any) -> None:
    @bench.app.task
    async def work(ctx: Context) -> Any:
        return value

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert isinstance(task.result, JsonResult)
    assert (task.result.value is None) == (task.result.size > 65536)  # large ones are not carried along
    assert await bench.result(task) == value


async def test_a_large_value_of_a_process_is_a_result(bench: Bench) -> None:
    bench.app.include(jobs.app)
    async with bench.working():
        task = await bench.end(await bench.start("large", {"size": 3_000_000}))
    assert await bench.result(task) == "x" * 3_000_000


def in_depth(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), in_depth(100_000), {"a": object()}])
async def test_a_value_that_json_can_not_say_fails_once(bench: Bench, value: Any) -> None:
    @bench.app.task(retries=3)
    async def work(ctx: Context) -> Any:
        return value

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert task.failure is not None
    assert (task.failure.code, task.attempt) == ("result_not_serialisable", 1)


async def test_that_of_a_process_too(bench: Bench) -> None:
    bench.app.include(jobs.app)
    async with bench.working():
        task = await bench.end(await bench.start("unserialisable"))
    assert task.failure is not None
    assert task.failure.code == "result_not_serialisable"


async def content(bench: Bench, task: Task) -> bytes:
    body = await bench.service.result(LOCAL, task.id)
    return b"".join([piece async for piece in body.read(0, None)])


async def test_a_file_is_streamed_into_the_file_store(bench: Bench) -> None:
    @bench.app.task
    def work(ctx: BlockingContext) -> File:
        path = ctx.folder / "Wallet_Export-1.csv"
        with path.open("wb") as file:
            for _ in range(3_000):
                file.write(b"0123456789" * 100)
        return File(path)

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert isinstance(task.result, FileResult)
    assert (task.result.name, task.result.media_type, task.result.size) == (
        "Wallet_Export-1.csv",
        "text/csv",
        3_000_000,
    )
    assert task.result.sha256 == hashlib.sha256(b"0123456789" * 300_000).hexdigest()
    assert await content(bench, task) == b"0123456789" * 300_000


async def test_a_file_has_the_name_and_type_that_it_is_given(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context, *, name: str | None = None, media_type: str | None = None) -> File:
        path = ctx.folder / "out"
        path.write_bytes(b"x")
        return File(path, name, media_type)

    async with bench.working():
        plain = await bench.end(await bench.start("work"))
        named = await bench.end(await bench.start("work", {"name": "a.json", "media_type": "application/x-a"}))
    assert isinstance(plain.result, FileResult)
    assert isinstance(named.result, FileResult)
    assert (plain.result.name, plain.result.media_type) == ("out", "application/octet-stream")
    assert (named.result.name, named.result.media_type) == ("a.json", "application/x-a")


async def test_a_file_of_a_process_is_taken_from_its_folder(bench: Bench) -> None:
    bench.app.include(jobs.app)
    async with bench.working():
        task = await bench.end(await bench.start("write", {"size": 10}))
    assert await content(bench, task) == b"x" * 10
    assert not Path(bench.app._place().folders, task.id).exists()


@pytest.mark.parametrize(("name", "attempts"), [("missing", 1), (".", 1)])
async def test_a_file_that_is_not_there_fails_once(bench: Bench, name: str, attempts: int) -> None:
    @bench.app.task(retries=2, backoff="0s")
    async def work(ctx: Context) -> File:
        return File(ctx.folder / name)

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert task.failure is not None
    assert (task.state, task.failure.code, task.attempt) == (State.FAILED, "result_not_stored", attempts)
    with pytest.raises(Exception, match="no result"):
        await bench.service.result(LOCAL, task.id)


async def test_a_file_that_can_not_be_stored_is_tried_again(bench: Bench) -> None:
    tries: list[int] = []

    @bench.app.task(retries=2, backoff="0s")
    async def work(ctx: Context) -> File:
        tries.append(ctx.task.attempt)
        if ctx.task.attempt == 1:
            return File("/proc/self/mem")  # can be opened, but not read
        path = ctx.folder / "out"
        path.write_bytes(b"x")
        return File(path)

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert (task.state, tries) == (State.SUCCEEDED, [1, 2])
    assert await content(bench, task) == b"x"


async def test_text_that_is_not_utf_8_fails_nothing(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.log("caf\udce9", name="caf\udce9")
        ctx.progress(0.5, message="caf\udce9")
        raise ValueError("caf\udce9")

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert task.failure is not None
    assert task.failure.message == "ValueError: caf\\udce9"
    assert (task.message, await bench.lines(task)) == ("caf\\udce9", ["caf\\udce9"])


async def test_a_deleted_task_is_unknown(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> int:
        return 1

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    await bench.service.delete(LOCAL, task.id)
    with pytest.raises(NotFound):
        await bench.get(task)


async def test_p2_an_outcome_that_no_store_can_take_is_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    @bench.app.task
    async def work(ctx: Context) -> File:
        path = ctx.folder / "out"
        path.write_text("x")
        return File(path)

    async def put(_: object) -> StoredFile:
        return StoredFile("\udc80", 1, "0" * 64)

    monkeypatch.setattr(bench.service.files, "put", put)
    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert task.failure is not None
    assert (task.state, task.failure.code) == (State.FAILED, "outcome_not_storable")


async def test_what_a_file_is_called_and_is_becomes_safe_in_the_record(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context) -> File:
        path = ctx.folder / "out"
        path.write_text("x")
        return File(path, "../a\r\nx: \udc80.html", "text/html\r\nx: y")

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert isinstance(task.result, FileResult)
    assert (task.result.name, task.result.media_type) == ("a__x: _.html", "application/octet-stream")


async def test_p2_an_outcome_that_can_t_be_settled_is_a_failure_and_frees_the_slot(bench: Bench) -> None:
    @bench.app.task(retries=1)
    async def work(ctx: Context, *, fails: bool) -> str:
        if fails:
            raise ValueError("first")
        return "done"

    async with bench.working(concurrency=1, jitter=lambda: 1 // 0):
        task = await bench.end(await bench.start("work", {"fails": True}))
        assert (await bench.end(await bench.start("work", {"fails": False}))).state is State.SUCCEEDED
    assert (task.state, task.losses) == (State.FAILED, 0)
    assert task.failure == Failure(
        "outcome_not_storable", "The outcome can't be stored: ZeroDivisionError: integer division or modulo by zero"
    )


async def test_p2_a_file_store_that_gives_nonsense_is_a_failure_and_frees_the_slot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @bench.app.task
    async def work(ctx: Context) -> File:
        path = ctx.folder / "out"
        path.write_text("x")
        return File(path)

    @bench.app.task
    async def nothing(ctx: Context) -> None: ...

    async def put(_: object) -> None: ...

    monkeypatch.setattr(bench.service.files, "put", put)
    async with bench.working(concurrency=1) as worker:
        task = await bench.end(await bench.start("work"))
        assert (await bench.end(await bench.start("nothing"))).state is State.SUCCEEDED
        await until(lambda: not worker._leases)
    assert task.failure is not None
    assert (task.state, task.failure.code, task.losses) == (State.FAILED, "outcome_not_storable", 0)
    assert "AttributeError" in task.failure.message
    assert f"The outcome of task {task.id} can't be stored" in caplog.messages


async def test_p2_a_record_that_was_damaged_while_it_ran_frees_its_slot(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def work(ctx: Context) -> None:
        ctx.progress(0, message="here")
        await go_on.wait()

    @bench.app.task
    async def nothing(ctx: Context) -> None: ...

    async with bench.working(concurrency=1):
        task = await bench.told(await bench.start("work"), "here")
        with closing(apsw.Connection(str(bench.app.path))) as connection:
            connection.execute("UPDATE task SET version = ? WHERE id = ?", (2**63 - 1, task.id))
        go_on.set()
        assert (await bench.end(await bench.start("nothing"))).state is State.SUCCEEDED
    assert (await bench.get(task)).state is State.RUNNING
    assert f"The record of task {task.id} can't be changed, it is left as it is" in caplog.messages


async def test_counts_are_whole_numbers_whatever_a_library_calls_a_number(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context, *, wrong: bool) -> None:
        ctx.progress(5, total=Decimal(10), failed=Decimal(1))  # type: ignore[arg-type]
        if wrong:
            ctx.progress("50%")  # type: ignore[arg-type]

    async with bench.working():
        right = await bench.end(await bench.start("work", {"wrong": False}))
        wrong = await bench.end(await bench.start("work", {"wrong": True}))
    assert right.counts == Counts(5, 10, 1, 0)
    assert wrong.failure is not None
    assert wrong.failure.message == "TypeError: done has to be a number, not str."


async def test_a_cancelled_task_that_runs_into_its_timeout_is_cancelled(bench: Bench) -> None:
    @bench.app.task(timeout=0.05)
    async def work(ctx: Context) -> None:
        await bench.service.cancel(LOCAL, ctx.id)
        await asyncio.sleep(60)

    async with bench.working():
        task = await bench.end(await bench.start("work"))
    assert (task.state, task.failure) == (State.CANCELLED, None)
