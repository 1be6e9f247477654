"""How tasks wait for each other, from start to end."""

import asyncio
from typing import Any, Final

import pytest

from milepost import BlockingContext, Context, TaskError
from milepost.access.principal import LOCAL, Grant, Principal, Role
from milepost.errors import DependentsConflict
from milepost.start import Start
from milepost.task import State, Task
from milepost.update import Update
from tests.engine import jobs
from tests.engine.bench import Bench

TENANT: Final = "acme"
ANN: Final = Principal("ann", "Ann", (Grant(TENANT, Role.USER),))
ASSIGNEE: Final = Principal("assignee", "Assignee", (Grant(TENANT, Role.USER),))
MEMBER: Final = Principal("member", "Member", (Grant(TENANT, Role.MEMBER),))


class Shop:
    """Task types `price` (which does as it is told) and `total` (of all that it waits for)."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.may_succeed = asyncio.Event()
        self.order: list[str] = []

        @bench.app.task
        async def price(ctx: Context, *, amount: int = 1, fails: bool = False) -> int:
            self.order.append("price")
            if fails and not self.may_succeed.is_set():
                raise TaskError("no price", code="no_price")
            return amount

        @bench.app.task
        async def total(ctx: Context) -> int:
            self.order.append("total")
            return sum([await ctx.result_of(other.replace("-", "")) for other in ctx.task.depends_on])

        @bench.app.task(name="total-in-a-thread")
        def total_in_a_thread(ctx: BlockingContext) -> int:
            return sum(ctx.result_of(other) for other in ctx.task.depends_on)

    async def priced(self, owner: str, **fields: Any) -> Task:
        """A price of somebody's that is there."""
        await self.bench.publish()
        start = Start(type="price", tenant=TENANT, owner=owner, **fields)
        task = (await self.bench.service.start(LOCAL, start, origin="native")).task
        async with self.bench.working():
            return await self.bench.end(task)

    async def failing(self) -> Task:
        return await self.bench.start("price", {"fails": True})


@pytest.fixture
def shop(bench: Bench) -> Shop:
    """Task types that depend on each other."""
    return Shop(bench)


async def test_a_task_waits_for_all_that_it_depends_on_and_reads_their_results(bench: Bench, shop: Shop) -> None:
    first = await bench.start("price", {"amount": 2})
    second = await bench.start("price", {"amount": 3})
    totals = [await bench.start(name, depends_on=(first.id, second.id)) for name in ("total", "total-in-a-thread")]
    for task in totals:
        assert (task.state, task.blocked_by) == (State.BLOCKED, (first.id, second.id))
        assert task.blocked_at is not None
    async with bench.working():
        for task in totals:
            ended = await bench.end(task)
            assert (ended.state, ended.blocked_by, ended.blocked_at) == (State.SUCCEEDED, (), None)
            assert await bench.result(task) == 5
            assert await bench.states(task) == ["blocked", "queued", "running", "succeeded"]
    assert shop.order.index("total") > shop.order.index("price")


async def test_results_of_others_and_of_failed_ones_can_not_be_read(bench: Bench, shop: Shop) -> None:
    @bench.app.task
    async def nosy(ctx: Context, *, id: str) -> Any:
        return await ctx.result_of(id)

    failing, other = await shop.failing(), await bench.start("price")
    async with bench.working():
        await bench.end(other)
        foreign = await bench.end(await bench.start("nosy", {"id": other.id}))
        without = await bench.end(
            await bench.start("nosy", {"id": failing.id}, depends_on=(failing.id,), on_dependency_failure="run")
        )
    assert foreign.failure is not None
    assert foreign.failure.message == f"This task neither depends on {other.id} nor has started it."
    assert without.failure is not None
    assert without.failure.message == f"Task {failing.id} has no JSON result that this one may read."


async def test_a_task_reads_what_its_owner_sees_and_not_what_others_have_let_it_depend_on(
    bench: Bench, shop: Shop
) -> None:
    prices = {"own": await shop.priced("ann"), "assignee's": await shop.priced("assignee")}
    prices["reassigned"] = await shop.priced("other", assignee="ann")
    tasks = {}
    for name, price in prices.items():
        start = Start(type="total", tenant=TENANT, assignee="assignee", held=True)
        tasks[name] = (await bench.service.start(ANN, start, origin="native")).task
        who = ASSIGNEE if name == "assignee's" else ANN
        await bench.service.update(who, tasks[name].id, Update(depends_on=(price.id,)))
    await bench.service.update(LOCAL, prices["reassigned"].id, Update(assignee=None))
    async with bench.working():
        for name, task in tasks.items():
            await bench.service.update(ANN, task.id, Update(state=State.QUEUED))
            ended = await bench.end(task)
            if name == "own":
                assert await bench.result(task) == 1
                continue
            assert ended.failure is not None
            why = "has no JSON result that this one may read."
            assert (ended.failure.code, ended.failure.message) == ("no_result", f"Task {prices[name].id} {why}")
            told = (await bench.service.get(ANN, task.id)).failure
            assert told is not None
            assert told.message == f"Task (not shown) {why}"


async def test_a_task_of_a_member_reads_what_its_tenant_has(bench: Bench, shop: Shop) -> None:
    price = await shop.priced("other")
    start = Start(type="total", tenant=TENANT, depends_on=(price.id,))
    task = (await bench.service.start(MEMBER, start, origin="native")).task
    async with bench.working():
        await bench.end(task)
    assert await bench.result(task) == 1


async def test_what_others_call_the_child_of_a_task_is_none_to_it(bench: Bench, shop: Shop) -> None:
    children: dict[str, str] = {}

    @bench.app.task
    async def reads(ctx: Context) -> Any:
        return await ctx.result_of(children[ctx.id])

    @bench.app.task
    async def waits(ctx: Context) -> Any:
        return await ctx.wait(children[ctx.id])

    await bench.publish()
    async with bench.working():
        for name, code in (("reads", "no_result"), ("waits", "no_child")):
            start = Start(type=name, tenant=TENANT, assignee="assignee", held=True)
            task = (await bench.service.start(ANN, start, origin="native")).task
            child = Start(type="price", tenant=TENANT, parent=task.id)
            children[task.id] = (await bench.service.start(ASSIGNEE, child, origin="native")).task.id
            await bench.service.update(ANN, task.id, Update(state=State.QUEUED))
            ended = await bench.end(task)
            assert ended.failure is not None
            assert ended.failure.code == code


async def test_a_process_reads_results_too(bench: Bench, shop: Shop) -> None:
    bench.app.include(jobs.app)
    first, second = await bench.start("price", {"amount": 2}), await bench.start("price", {"amount": 3})
    async with bench.working():
        task = await bench.end(
            await bench.start("add", {"first": first.id, "second": second.id}, depends_on=(first.id, second.id))
        )
    assert await bench.result(task) == 5


async def test_by_default_a_task_fails_with_what_it_waits_for_and_so_do_those_behind(bench: Bench, shop: Shop) -> None:
    failing = await shop.failing()
    behind = await bench.start("total", depends_on=(failing.id,))
    last = await bench.start("total", depends_on=(behind.id,))
    async with bench.working():
        for task, cause in ((behind, failing), (last, behind)):
            ended = await bench.end(task)
            assert ended.failure is not None
            assert (ended.state, ended.failure.code, ended.attempt) == (State.FAILED, "dependency_failed", 0)
            assert cause.id in ended.failure.message
    assert shop.order == ["price"]


async def test_a_cancel_fails_dependents_too(bench: Bench, shop: Shop) -> None:
    first = await bench.start("price")
    behind = await bench.start("total", depends_on=(first.id,))
    await bench.service.cancel(LOCAL, first.id)
    ended = await bench.get(behind)
    assert ended.failure is not None
    assert ended.failure.message == f"Task {first.id}, which this one waits for, was cancelled."


async def test_a_task_may_run_all_the_same(bench: Bench, shop: Shop) -> None:
    @bench.app.task
    async def report(ctx: Context) -> str:
        return "written"

    failing = await shop.failing()
    behind = await bench.start("report", depends_on=(failing.id,), on_dependency_failure="run")
    async with bench.working():
        assert (await bench.end(behind)).state is State.SUCCEEDED


async def test_a_task_may_stay_until_what_it_waits_for_is_retried(bench: Bench, shop: Shop) -> None:
    failing = await shop.failing()
    behind = await bench.start("total", depends_on=(failing.id,), on_dependency_failure="stay")
    async with bench.working():
        await bench.end(failing)
        stays = await bench.get(behind)
        assert (stays.state, stays.blocked_by) == (State.BLOCKED, (failing.id,))
        shop.may_succeed.set()
        await bench.service.retry(LOCAL, failing.id)
        assert (await bench.end(behind)).state is State.SUCCEEDED


async def test_retry_revives_the_dependents_that_failed_because_of_it(bench: Bench, shop: Shop) -> None:
    failing = await shop.failing()
    behind = await bench.start("total", depends_on=(failing.id,))
    last = await bench.start("total", depends_on=(behind.id,))
    async with bench.working():
        assert (await bench.end(last)).state is State.FAILED
        shop.may_succeed.set()
        await bench.service.retry(LOCAL, failing.id)
        ended = await bench.until(last, lambda found: found.state is State.SUCCEEDED)
    assert ended.failure is None
    assert await bench.states(last) == ["blocked", "failed", "blocked", "queued", "running", "succeeded"]


async def test_what_others_depend_on_is_not_deleted_without_them(bench: Bench, shop: Shop) -> None:
    first = await bench.start("price")
    behind = await bench.start("total", depends_on=(first.id,))
    async with bench.working():
        await bench.end(behind)
    with pytest.raises(DependentsConflict):
        await bench.service.delete(LOCAL, first.id)
    deleted = await bench.service.delete(LOCAL, first.id, cascade=True)
    assert set(deleted.ids) == {first.id, behind.id}
