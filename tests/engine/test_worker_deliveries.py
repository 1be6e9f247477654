"""Standing tasks: what is delivered runs on ordinary workers, with its files, and adds up."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from milepost import Context
from milepost.access.principal import LOCAL
from milepost.task import Counts, DeliveredFile, State, Task
from milepost.update import Update
from tests.engine import jobs
from tests.engine.bench import Bench

RUNNERS = ["read_files", "read_files_in_thread", "read_files_in_process"]


@pytest.fixture(autouse=True)
def _types(bench: Bench) -> None:
    bench.app.include(jobs.app)


async def stand(bench: Bench, type: str, **input: Any) -> Task:
    return await bench.start(type, input, runner="external", state=State.RUNNING)


@pytest.mark.parametrize("type", RUNNERS)
async def test_every_runner_reads_what_was_delivered(bench: Bench, tmp_path: Path, type: str) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "zwei.bin"
    one.write_text("a\nb\n" * 200_000)
    two.write_text("")
    standing = await stand(bench, type, lines=5)
    child = await bench.app.deliver(standing, {"lines": 2}, files=[one, str(two)])
    async with bench.working():
        ended = await bench.end(child)
    assert ended.state is State.SUCCEEDED, ended.failure
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, two)]
    assert await bench.result(child) == [
        ["one.csv", "one.csv", "text/csv", 800_000, hashes[0], ["a", "b"]],
        ["zwei.bin", "zwei.bin", "application/octet-stream", 0, hashes[1], []],
    ]
    assert (await bench.get(standing)).counts == Counts(1, 1)


@pytest.mark.parametrize("type", RUNNERS)
async def test_a_task_that_nothing_was_delivered_with_has_no_files(bench: Bench, type: str) -> None:
    async with bench.working():
        task = await bench.start(type)
        await bench.end(task)
    assert await bench.result(task) == []


@pytest.mark.parametrize("type", RUNNERS)
async def test_a_file_that_is_gone_fails_its_task_with_a_code(bench: Bench, tmp_path: Path, type: str) -> None:
    (tmp_path / "a.txt").touch()
    child = await bench.app.deliver(await stand(bench, type), files=[tmp_path / "a.txt"])
    (file,) = (await bench.service.cold(LOCAL, child.id)).files
    await bench.service.files.delete([file.key])
    async with bench.working():
        failed = await bench.end(child)
    assert failed.failure is not None
    assert (failed.failure.code, failed.failure.message) == ("file_missing", "The file a.txt is not there any more.")


async def test_another_tasks_file_is_refused(bench: Bench) -> None:
    @bench.app.task
    async def take(ctx: Context) -> None:
        await ctx.fetch(DeliveredFile("0" * 32, "b.txt", "text/plain", 1, ""))

    async with bench.working():
        failed = await bench.end(await bench.start("take"))
    assert failed.failure is not None
    assert failed.failure.code == "no_file"


async def test_a_try_that_was_parked_finds_its_files_again(bench: Bench, tmp_path: Path) -> None:
    @bench.app.task
    async def twice(ctx: Context) -> list[str]:
        (path,) = [await ctx.fetch(file) for file in ctx.files]
        if ctx.saved is None:
            ctx.progress(0, message="fetched")
            while not ctx.stopping:
                await asyncio.sleep(0.001)
        await ctx.checkpoint(str(path.stat().st_ino))
        return [str(ctx.saved), path.read_text()]

    (tmp_path / "a.txt").write_text("content")
    standing = await stand(bench, "twice")
    async with bench.working():
        child = await bench.app.deliver(standing.id, files=[tmp_path / "a.txt"])
        await bench.told(child, "fetched")
        await bench.service.pause(LOCAL, child.id)
        await bench.reach(child, State.PAUSED)
        before = await bench.saved(child)
        await bench.service.resume(LOCAL, child.id)
        await bench.end(child)
    assert await bench.result(child) == [before, "content"], "the copy of the first try itself"


async def test_many_deliveries_run_and_add_up_while_it_stands_and_after(bench: Bench) -> None:
    @bench.app.task(retries=1, backoff=0)
    async def check(ctx: Context, *, n: int, limit: int) -> int:
        if n >= limit:
            raise ValueError("Too much.")
        return n

    standing = await stand(bench, "check", limit=30)
    async with bench.working():
        children = await asyncio.gather(*(bench.app.deliver(standing, {"n": n}) for n in range(40)))
        done = await bench.until(standing, lambda found: found.counts.done == 40)
        assert (done.state, done.counts, done.progress) == (State.RUNNING, Counts(40, 40, 10), 1.0)
        await bench.service.retry(LOCAL, children[35].id)
        await bench.end(children[35])
        again = await bench.until(standing, lambda found: found.version == done.version + 2)
        assert again.counts == Counts(40, 40, 10)
        await bench.service.update(LOCAL, standing.id, Update(state=State.SUCCEEDED))
    ended = await bench.get(standing)
    assert (ended.state, ended.counts, ended.progress) == (State.SUCCEEDED, Counts(40, 40, 10), 1.0)


async def test_what_ends_while_deliveries_run_leaves_them_running(bench: Bench) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def wait(ctx: Context) -> str:
        ctx.progress(0, message="waiting")
        await go_on.wait()
        return "done"

    standing = await stand(bench, "wait")
    async with bench.working():
        child = await bench.app.deliver(standing)
        await bench.told(child, "waiting")
        ended = await bench.service.update(LOCAL, standing.id, Update(state=State.SUCCEEDED))
        go_on.set()
        assert (await bench.end(child)).state is State.SUCCEEDED
    assert await bench.get(standing) == ended


async def test_p5_a_cancel_reaches_what_runs_of_it(bench: Bench) -> None:
    @bench.app.task
    async def wait(ctx: Context) -> None:
        ctx.progress(0, message="waiting")
        while True:
            await asyncio.sleep(0.001)
            await ctx.checkpoint()

    standing = await stand(bench, "wait")
    async with bench.working():
        child = await bench.app.deliver(standing)
        await bench.told(child, "waiting")
        asked = await bench.service.cancel(LOCAL, standing.id)
        assert (asked.state, asked.cancel_requested, asked.counts) == (State.RUNNING, True, Counts(0, 1))
        assert (await bench.end(child)).state is State.CANCELLED
    assert (await bench.get(standing)).counts == Counts(1, 1, 1)
