"""Tasks that start others, wait for them without a slot, and are cancelled together with them."""

import asyncio
from typing import Any

import pytest

from milepost import BlockingContext, Context, TaskError
from milepost.access.principal import LOCAL
from milepost.service import Filter
from milepost.task import State, Task
from tests.engine import jobs
from tests.engine.bench import Bench


@pytest.fixture(autouse=True)
def _types(bench: Bench) -> None:
    bench.app.include(jobs.app)

    @bench.app.task
    async def double(ctx: Context, *, n: int) -> int:
        if n < 0:
            raise TaskError("Too small.", code="too_small", retry=False)
        return 2 * n

    @bench.app.task
    async def hang(ctx: Context) -> None:
        ctx.progress(0, message="hanging")
        while True:
            await asyncio.sleep(0.01)
            await ctx.checkpoint()


async def children(bench: Bench, parent: Task) -> list[Task]:
    found = (await bench.service.find(LOCAL, Filter(parent=parent.id))).tasks
    return sorted(found, key=lambda task: task.number)


async def test_a_parent_waits_without_a_slot_and_carries_on_with_the_same_attempt(bench: Bench) -> None:
    @bench.app.task
    async def total(ctx: Context, *, upto: int) -> list[int]:
        started = [await ctx.start("double", {"n": n}) for n in range(upto)]
        done = await ctx.wait(*started, state={"began": True})
        assert ctx.saved == {"began": True}
        return [await ctx.result_of(task.id) for task in done]

    async with bench.working(concurrency=1):
        task = await bench.start("total", {"upto": 3}, title="Doubles")
        ended = await bench.end(task)
    assert await bench.result(task) == [0, 2, 4]
    assert (ended.state, ended.attempt, ended.losses) == (State.SUCCEEDED, 1, 0)
    assert await bench.states(task) == ["queued", "running", "blocked", "queued", "running", "succeeded"]
    for child in await children(bench, task):
        assert (child.parent, child.owner, child.tenant, child.origin) == (task.id, task.owner, task.tenant, "python")
    assert len(await children(bench, task)) == 3


async def test_a_failure_leaves_the_children_alone_and_a_retry_finds_them(bench: Bench) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def slow(ctx: Context) -> str:
        ctx.progress(0, message="going on")
        await go_on.wait()
        return "done"

    @bench.app.task
    async def careless(ctx: Context) -> Any:
        child = await ctx.start("slow")
        await ctx.wait(await ctx.start("double", {"n": -1}), check=not go_on.is_set())
        await ctx.wait(child)
        return await ctx.result_of(child)

    async with bench.working():
        task = await bench.start("careless")
        failed = await bench.end(task)
        slow_child = next(child for child in await children(bench, task) if child.type == "slow")
        running = await bench.told(slow_child, "going on")
        assert (failed.state, running.state, running.cancel_requested) == (State.FAILED, State.RUNNING, False)
        go_on.set()
        assert (await bench.end(slow_child)).state is State.SUCCEEDED
        await bench.service.retry(LOCAL, task.id)
        await bench.reach(task, State.SUCCEEDED)
    assert await bench.result(task) == "done"
    assert len(await children(bench, task)) == 2


async def test_p10_a_parent_that_waits_says_for_which_children(bench: Bench) -> None:
    @bench.app.task
    async def two(ctx: Context) -> None:
        await ctx.wait(await ctx.start("hang"), await ctx.start("double", {"n": 1}, run_at=10**17))

    async with bench.working():
        task = await bench.start("two")
        waiting = await bench.reach(task, State.BLOCKED)
        first, second = await children(bench, task)
        assert waiting.blocked_by == (first.id, second.id)
        assert waiting.blocked_reason == "Waits for 2 tasks."
        await bench.service.cancel(LOCAL, second.id)
        waiting = await bench.until(task, lambda found: found.blocked_by == (first.id,))
        assert (waiting.depends_on, waiting.worker) == ((), None)


async def test_p5_a_cancel_reaches_the_children_and_theirs(bench: Bench) -> None:
    @bench.app.task
    async def nest(ctx: Context, *, depth: int) -> None:
        await ctx.wait(await ctx.start("nest", {"depth": depth - 1}) if depth else await ctx.start("hang"))

    async with bench.working():
        task = await bench.start("nest", {"depth": 2})
        line = [task]
        while len(line) < 4:
            await bench.reach(line[-1], State.BLOCKED)
            line += await children(bench, line[-1])
        await bench.told(line[-1], "hanging")
        assert (await bench.service.cancel(LOCAL, task.id)).state is State.CANCELLED
        assert (await bench.end(line[-1])).state is State.CANCELLED
        assert {(await bench.get(one)).state for one in line} == {State.CANCELLED}


async def test_a_task_that_is_to_be_cancelled_starts_no_more(bench: Bench) -> None:
    asked = asyncio.Event()

    @bench.app.task
    async def late(ctx: Context) -> None:
        ctx.progress(0, message="ready")
        await asked.wait()
        await ctx.start("hang")

    async with bench.working():
        task = await bench.start("late")
        await bench.told(task, "ready")
        await bench.service.cancel(LOCAL, task.id)
        asked.set()
        assert (await bench.end(task)).state is State.CANCELLED
    assert await children(bench, task) == []


async def test_a_later_try_finds_the_children_of_the_first(bench: Bench) -> None:
    @bench.app.task(retries=1, backoff=0)
    async def twice(ctx: Context) -> list[str]:
        started = [await ctx.start("double", {"n": 1}), await ctx.start("double", {"n": 1}, key="another")]
        await ctx.wait(*started)
        if ctx.task.attempt == 1:
            raise RuntimeError("once more")
        return [child.id for child in started]

    async with bench.working():
        task = await bench.start("twice")
        assert (await bench.end(task)).attempt == 2
    assert await bench.result(task) == [child.id for child in await children(bench, task)]


async def test_a_child_that_failed_fails_its_parent_unless_that_looks_for_itself(bench: Bench) -> None:
    @bench.app.task(retries=3, backoff=0)
    async def strict(ctx: Context, *, check: bool) -> list[str]:
        child = await ctx.start("double", {"n": -1})
        return [str(found.state) for found in await ctx.wait(child, check=check)]

    async with bench.working():
        failed = await bench.end(await bench.start("strict", {"check": True}))
        lenient = await bench.start("strict", {"check": False})
        await bench.end(lenient)
    (child,) = await children(bench, failed)
    assert failed.failure is not None
    assert failed.failure.code == "child_failed"
    assert failed.failure.message == f"Task {child.id}, which this one started, failed: Too small."
    assert failed.attempt == 1
    assert await bench.result(lenient) == ["failed"]


async def test_a_retry_of_the_parent_begins_again_with_the_children_that_failed(bench: Bench) -> None:
    tries: list[int] = []

    @bench.app.task
    async def flaky(ctx: Context) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise TaskError("Not yet.", retry=False)
        return len(tries)

    @bench.app.task
    async def parent(ctx: Context) -> Any:
        (child,) = await ctx.wait(await ctx.start("flaky"))
        return await ctx.result_of(child.id)

    async with bench.working():
        task = await bench.start("parent")
        assert (await bench.end(task)).state is State.FAILED
        await bench.service.retry(LOCAL, task.id)
        await bench.reach(task, State.SUCCEEDED)
    assert await bench.result(task) == 2
    assert len(await children(bench, task)) == 1


async def test_a_retried_parent_starts_again_the_children_that_were_deleted(bench: Bench) -> None:
    @bench.app.task
    async def parent(ctx: Context) -> list[str]:
        children = [await ctx.start("double", {"n": n}, key=str(n)) for n in range(2)]
        await ctx.wait(*children)
        if not ctx.saved:
            await ctx.checkpoint({"began": True})
            raise TaskError("Not yet.", retry=False)
        return [child.id for child in children]

    async with bench.working():
        task = await bench.start("parent")
        assert (await bench.end(task)).state is State.FAILED
        kept, deleted = await children(bench, task)
        await bench.service.delete(LOCAL, deleted.id)
        await bench.service.retry(LOCAL, task.id)
        await bench.reach(task, State.SUCCEEDED)
    again = await children(bench, task)
    assert await bench.result(task) == [child.id for child in again]
    assert [child.id == before.id for child, before in zip(again, (kept, deleted), strict=True)] == [True, False]


async def test_a_parent_whose_child_is_deleted_as_it_waits_starts_it_again(bench: Bench) -> None:
    @bench.app.task
    async def parent(ctx: Context) -> str:
        (child,) = await ctx.wait(await ctx.start("hang"), check=False)
        return child.id

    async with bench.working():
        task = await bench.start("parent")
        await bench.reach(task, State.BLOCKED)
        (first,) = await children(bench, task)
        await bench.service.pause_type(LOCAL, "parent")
        await bench.service.cancel(LOCAL, first.id)
        await bench.end(first)
        await bench.service.delete(LOCAL, first.id)
        await bench.service.resume_type(LOCAL, "parent")
        waiting = await bench.until(
            task, lambda found: found.state is State.BLOCKED and first.id not in found.blocked_by
        )
        (second,) = waiting.blocked_by
        await bench.service.cancel(LOCAL, second)
        assert (await bench.end(task)).state is State.SUCCEEDED
        assert await bench.result(task) == second


@pytest.mark.parametrize(
    ("input", "code"),
    [
        ({"type": "nothing", "input": {}}, "child_refused"),
        ({"type": "double", "input": {"n": "one"}}, "child_refused"),
        ({"type": "double", "input": {"n": 1}, "options": {"colour": "red"}}, "child_refused"),
        ({"type": "double", "input": {"n": 1}, "wait": "01a20761-6b03-7624-9c56-3962462f175b"}, "no_child"),
    ],
)
@pytest.mark.parametrize("runner", ["start_one", "start_one_in_thread", "start_one_in_process"])
async def test_what_can_not_be_started_or_waited_for_is_told(
    bench: Bench, input: dict[str, Any], code: str, runner: str
) -> None:
    async with bench.working():
        failed = await bench.end(await bench.start(runner, input))
    assert failed.failure is not None
    assert failed.failure.code == code


@pytest.mark.parametrize("runner", ["start_one", "start_one_in_thread", "start_one_in_process"])
async def test_every_runner_can_start_and_wait(bench: Bench, runner: str) -> None:
    async with bench.working():
        task = await bench.start(runner, {"type": "double", "input": {"n": 21}, "options": {"timeout": "1m"}})
        ended = await bench.end(task)
    assert ended.state is State.SUCCEEDED, ended.failure
    assert await bench.result(task) == 42
    (child,) = await children(bench, task)
    assert child.timeout == 60_000_000


@pytest.mark.parametrize("type", ["wait_saying", "wait_saying_in_thread", "wait_saying_in_process"])
async def test_what_is_saved_by_a_wait_is_there_as_by_a_checkpoint(bench: Bench, type: str) -> None:
    async with bench.working(concurrency=1):  # so that the child can't have ended before it is waited for
        task = await bench.start(type)
        await bench.end(task)
    assert await bench.result(task) == [{"n": 1}, {"n": 2}]
    left = [entry.fields for entry in await bench.entries(task) if entry.message == "left"]
    assert left == [{"saved": {"n": 1}}] * 2
    assert await bench.saved(task) == {"n": 2}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"owner": "ada"}, "owner can't be given: the parent of a child is"),
        ({"tenant": "acme"}, "tenant can't be given: the parent of a child is"),
        ({"parent": "x"}, "parent can't be given: the parent of a child is"),
        ({"key": 5}, "key must be text, not a value of type int"),
        ({"timeout": "soon"}, "timeout: not a duration"),
        ({"timeout": []}, "timeout: a duration is text such as 90s"),
    ],
)
@pytest.mark.parametrize("runner", ["start_one", "start_one_in_thread", "start_one_in_process"])
async def test_what_no_child_can_be_given_is_named(
    bench: Bench, options: dict[str, Any], why: str, runner: str
) -> None:
    async with bench.working():
        task = await bench.start(runner, {"type": "double", "input": {"n": 1}, "options": options})
        failed = await bench.end(task)
    assert failed.failure is not None
    assert (failed.failure.code, why in failed.failure.message) == ("exception", True), failed.failure
    assert await children(bench, task) == []


async def test_children_are_named_one_by_one(bench: Bench) -> None:
    told: list[str] = []

    @bench.app.task
    async def confused(ctx: Context) -> Any:
        child = await ctx.start("double", {"n": 4})
        for work in (ctx.wait([child]), ctx.result_of(4), ctx.start("double", [4])):  # type: ignore[arg-type]
            try:
                await work
            except TypeError as error:
                told.append(str(error))
        await ctx.wait(child)
        return await ctx.result_of(child)

    async with bench.working():
        task = await bench.start("confused")
        await bench.end(task)
    assert await bench.result(task) == 8
    assert told[:3] == [
        "A task is named by its record or its id, not by a value of type list; of several write *tasks.",
        "A task is named by its record or its id, not by a value of type int; of several write *tasks.",
        "input must be a mapping of the child's arguments, not a value of type list.",
    ]


async def test_a_child_is_kept_until_its_parent_has_ended(bench: Bench) -> None:
    @bench.app.task
    async def patient(ctx: Context) -> list[str]:
        brief = await ctx.start("double", {"n": 1}, keep_record=0)
        found = await ctx.wait(brief, await ctx.start("double", {"n": 2}))
        return [str(child.state) for child in found]

    async with bench.working(concurrency=1):
        task = await bench.start("patient")
        await bench.end(task)
    assert await bench.result(task) == ["succeeded", "succeeded"]
    assert len(await children(bench, task)) == 1


async def test_a_circle_of_waits_fails_the_one_that_closes_it(bench: Bench) -> None:
    @bench.app.task
    async def parent(ctx: Context) -> None:
        child = await ctx.start("double", {"n": 1}, depends_on=(ctx.id,))
        await ctx.wait(child)

    async with bench.working():
        failed = await bench.end(await bench.start("parent"))
    assert failed.failure is not None
    assert failed.failure.code == "dependency_cycle"
    (child,) = await children(bench, failed)
    assert child.id in failed.failure.message
    assert child.state is State.FAILED


async def test_p2_what_has_lost_its_lease_starts_nothing(bench: Bench) -> None:
    go_on = asyncio.Event()

    @bench.app.task
    async def late(ctx: Context) -> None:
        if ctx.task.losses:
            return
        ctx.progress(0, message="ready")
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        await ctx.start("double", {"n": 1})

    async with bench.working() as worker:
        task = await bench.start("late")
        await bench.told(task, "ready")
        await bench.store.dismiss(worker.id, now=bench.clock())
        await bench.end(task)
        go_on.set()
    assert await children(bench, task) == []


async def test_a_blocking_context_has_the_same_names() -> None:
    names = {name for name in dir(Context) if not name.startswith("_")}
    assert names == {name for name in dir(BlockingContext) if not name.startswith("_")}
