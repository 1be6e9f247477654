"""Conformance: tasks that wait for others."""

import asyncio

import pytest

from milepost import lifecycle
from milepost.store.protocol import Created, Deleted
from milepost.store.refusals import DependencyCycle, DependencyMissing, HasDependents, Missing, NotFinished, Refusal
from milepost.store.workers import Wanted
from milepost.task import State, Task
from milepost.times import DAY, HOUR
from milepost.trigger import Trigger

from .scene import ACME, ANN, BOB, START, Scene, bounded, draft, file_result, new_id, whole


async def state(scene: Scene, task: Task) -> State:
    return (await scene.read(task)).state


class Dependencies:
    """Edges: written, met, failed, revived, deleted."""

    async def test_p10_a_blocked_task_says_what_it_waits_for(self, scene: Scene) -> None:
        one, two = await scene.start(), await scene.start()
        task = await scene.start(depends_on=(two.id, one.id))
        assert task.state is State.BLOCKED
        assert task.blocked_by == task.depends_on == (two.id, one.id)
        assert task.blocked_reason
        assert task.blocked_at == START
        held = await scene.start(held=True)
        assert (held.state, held.blocked_by) == (State.BLOCKED, ())
        assert held.blocked_reason

    async def test_a_reason_that_was_given_is_kept(self, scene: Scene) -> None:
        task = await scene.start(held=True, blocked_reason="Ann has to look at it.")
        assert task.blocked_reason == "Ann has to look at it."

    async def test_dependents_are_freed_by_success_step_by_step(self, scene: Scene, other: Scene) -> None:
        one, two = await scene.run(), await scene.run()
        task = await scene.start(depends_on=(one.id, two.id))
        await scene.succeed(one)
        waiting = await other.read(task)
        assert (waiting.state, waiting.blocked_by, waiting.version) == (State.BLOCKED, (two.id,), 2)
        assert two.id in (waiting.blocked_reason or "")
        await scene.succeed(two)
        free = await other.read(task)
        assert (free.state, free.blocked_by, free.blocked_reason) == (State.QUEUED, (), None)
        assert free.depends_on == (one.id, two.id)
        assert whole(await scene.log(task))

    async def test_a_task_freed_before_its_time_is_scheduled(self, scene: Scene) -> None:
        one = await scene.run()
        task = await scene.start(depends_on=(one.id,), run_at=START + HOUR)
        await scene.succeed(one)
        assert await state(scene, task) is State.SCHEDULED

    async def test_a_held_task_stays_when_its_dependencies_are_met(self, scene: Scene) -> None:
        one = await scene.run()
        task = await scene.start(depends_on=(one.id,), held=True, blocked_reason="Wait for Ann.")
        await scene.succeed(one)
        held = await scene.read(task)
        assert (held.state, held.blocked_by, held.blocked_reason) == (State.BLOCKED, (), "Wait for Ann.")

    async def test_a_dependency_met_already_does_not_block(self, scene: Scene) -> None:
        done = await scene.succeeded()
        assert (await scene.start(depends_on=(done.id,))).state is State.QUEUED

    async def test_a_dependency_may_be_named_twice(self, scene: Scene) -> None:
        one = await scene.run()
        task = await scene.start(depends_on=(one.id, one.id))
        assert task.blocked_by == (one.id,)
        await scene.succeed(one)
        assert await state(scene, task) is State.QUEUED

    async def test_a_batch_can_name_its_own_earlier_tasks(self, scene: Scene) -> None:
        first = draft()
        second = draft(depends_on=(first.id,))
        assert isinstance(await scene.try_start(first), Created)
        outcome = await scene.try_start(second)
        assert isinstance(outcome, Created)
        assert outcome.task.state is State.BLOCKED

    @pytest.mark.parametrize("what", ["unknown", "other tenant", "not seen"])
    async def test_p10_only_tasks_of_the_tenant_that_the_caller_sees(self, scene: Scene, what: str) -> None:
        good = await scene.start()
        bad = {
            "unknown": new_id(),
            "other tenant": (await scene.start(tenant="other")).id,
            "not seen": (await scene.start(owner="ann")).id,
        }[what]
        refused = await scene.try_start(draft(depends_on=(good.id, bad)), scope=BOB)
        assert isinstance(refused, DependencyMissing)
        assert refused.index == 1
        edited = await scene.try_change(good, lambda t, _: lifecycle.Step(t), scope=BOB, depends_on=(bad,))
        assert isinstance(edited, DependencyMissing)
        assert edited.index == 0
        assert await scene.get(good) == good

    async def test_p10_a_service_can_not_join_tenants_either(self, scene: Scene) -> None:
        elsewhere = await scene.start(tenant="other")
        assert isinstance(await scene.try_start(draft(depends_on=(elsewhere.id,))), DependencyMissing)

    # Failure.

    @pytest.mark.parametrize("end", ["failed", "cancelled"])
    async def test_dependents_fail_with_it_however_deep(self, scene: Scene, end: str) -> None:
        root = await scene.run()
        child = await scene.start(depends_on=(root.id,))
        chain = [child]
        for _ in range(30):
            chain.append(await scene.start(depends_on=(chain[-1].id,)))
        if end == "failed":
            await scene.fail(root)
        else:
            await scene.change(root, lifecycle.cancel)
            await scene.settle(root, lifecycle.park)
        for task in chain:
            failed = await scene.read(task)
            assert failed.state is State.FAILED
            assert failed.failure is not None
            assert failed.failure.code == "dependency_failed"
            assert failed.blocked_by == ()
            assert whole(await scene.log(task))
        assert root.id in (await scene.read(child)).failure.message  # type: ignore[union-attr]

    async def test_a_dependent_may_run_all_the_same(self, scene: Scene) -> None:
        root, second = await scene.run(), await scene.run()
        task = await scene.start(depends_on=(root.id, second.id), on_dependency_failure="run")
        await scene.fail(root)
        assert (await scene.read(task)).blocked_by == (second.id,)
        await scene.fail(second)
        assert await state(scene, task) is State.QUEUED

    async def test_a_dependent_may_stay_blocked_and_says_why(self, scene: Scene) -> None:
        root, second = await scene.run(), await scene.run()
        task = await scene.start(depends_on=(root.id, second.id), on_dependency_failure="stay")
        await scene.fail(root)
        stays = await scene.read(task)
        assert (stays.state, stays.blocked_by) == (State.BLOCKED, (root.id, second.id))
        assert root.id in (stays.blocked_reason or "")
        await scene.succeed(second)
        stays = await scene.read(task)
        assert (stays.state, stays.blocked_by) == (State.BLOCKED, (root.id,))
        await scene.retry(root)
        assert (await scene.read(task)).blocked_reason != stays.blocked_reason
        (again,) = await scene.claim("w1", Wanted(root.type))
        await scene.succeed(again.task)
        assert await state(scene, task) is State.QUEUED

    async def test_a_second_failure_adds_nothing_to_what_a_blocked_task_says(self, scene: Scene) -> None:
        root, second = await scene.run(), await scene.run()
        task = await scene.start(depends_on=(root.id, second.id), on_dependency_failure="stay")
        await scene.fail(root)
        stays = await scene.read(task)
        await scene.fail(second)
        assert await scene.get(task) == stays
        await scene.retry(root)
        assert second.id in ((await scene.read(task)).blocked_reason or "")

    @pytest.mark.parametrize(
        ("wish", "expected"), [("fail", State.FAILED), ("run", State.QUEUED), ("stay", State.BLOCKED)]
    )
    async def test_a_dependency_that_failed_already_counts_at_once(
        self, scene: Scene, wish: str, expected: State
    ) -> None:
        gone = await scene.failed()
        task = await scene.start(depends_on=(gone.id,), on_dependency_failure=wish)
        assert task.state is expected
        assert await scene.get(task) == task
        if wish == "stay":
            assert gone.id in (task.blocked_reason or "")

    async def test_a_failed_run_of_a_repeating_task_is_not_its_end(self, scene: Scene) -> None:
        root = await scene.run(trigger=Trigger(every=HOUR, anchor=START))
        task = await scene.start(depends_on=(root.id,))
        between = await scene.fail(root)
        assert between.next_run_at is not None
        assert await state(scene, task) is State.BLOCKED
        scene.now = between.next_run_at
        await scene.store.enqueue_due(now=scene.now, limit=10)
        await scene.enlist()
        (again,) = await scene.claim("w1", Wanted(root.type))
        await scene.succeed(again.task)
        assert await state(scene, task) is State.QUEUED

    async def test_the_end_of_a_repetition_without_success_is_a_failure(self, scene: Scene) -> None:
        root = await scene.run(trigger=Trigger(every=HOUR, anchor=START))
        task = await scene.start(depends_on=(root.id,))
        await scene.fail(root)
        await scene.change(root, lifecycle.cancel)
        assert await state(scene, task) is State.FAILED

    async def test_a_first_success_meets_for_ever(self, scene: Scene) -> None:
        root = await scene.succeeded(trigger=Trigger(every=HOUR, anchor=START))
        scene.now += HOUR
        await scene.store.enqueue_due(now=scene.now, limit=10)
        await scene.enlist()
        (again,) = await scene.claim("w1", Wanted(root.type))
        await scene.fail(again.task)
        assert (await scene.start(depends_on=(root.id,))).state is State.QUEUED

    # Retry.

    async def test_a_retry_revives_those_that_failed_because_of_it(self, scene: Scene) -> None:
        root = await scene.run()
        child = await scene.start(depends_on=(root.id,))
        grandchild = await scene.start(depends_on=(child.id,))
        cancelled = await scene.start(depends_on=(root.id,))
        await scene.change(cancelled, lifecycle.cancel)
        await scene.fail(root)
        await scene.retry(root)
        for task, waits_for in ((child, root), (grandchild, child)):
            revived = await scene.read(task)
            assert (revived.state, revived.blocked_by) == (State.BLOCKED, (waits_for.id,))
            assert revived.failure is None
            assert revived.blocked_reason
        assert await state(scene, cancelled) is State.CANCELLED
        (again,) = await scene.claim("w1", Wanted(root.type))
        await scene.succeed(again.task)
        assert await state(scene, child) is State.QUEUED
        assert whole(await scene.log(child))

    async def test_a_retry_leaves_what_failed_for_another_reason(self, scene: Scene) -> None:
        root, second = await scene.run(), await scene.run()
        task = await scene.start(depends_on=(root.id, second.id))
        await scene.fail(root)
        await scene.fail(second)
        before = await scene.read(task)
        await scene.retry(second)
        assert await scene.get(task) == before
        await scene.fail((await scene.claim("w1", Wanted(second.type)))[0].task)
        # Now the other one begins again, but this one has failed too.
        await scene.retry(root)
        again = await scene.read(task)
        assert again.state is State.FAILED
        assert second.id in again.failure.message  # type: ignore[union-attr]
        await scene.retry(second)
        assert (await scene.read(task)).blocked_by == (root.id, second.id)
        # That it failed because of the first one once is forgotten.
        await scene.fail((await scene.claim("w1", Wanted(second.type)))[0].task)
        failed = await scene.read(task)
        await scene.fail((await scene.claim("w1", Wanted(root.type)))[0].task)
        await scene.retry(root)
        assert await scene.get(task) == failed

    async def test_a_retry_of_the_dependent_alone_does_not_help_it(self, scene: Scene) -> None:
        root = await scene.failed()
        task = await scene.start(depends_on=(root.id,))
        again = await scene.retry(task)
        assert again.state is State.FAILED
        assert again.version > task.version

    async def test_one_that_lost_its_unique_key_is_not_revived(self, scene: Scene) -> None:
        root = await scene.run()
        task = await scene.start(depends_on=(root.id,), unique_key="u")
        await scene.fail(root)
        await scene.start(unique_key="u")
        before = await scene.read(task)
        await scene.retry(root)
        assert await scene.get(task) == before

    # Edges of a task that is there already.

    async def test_edges_can_be_replaced(self, scene: Scene) -> None:
        one, two = await scene.run(), await scene.run()
        task = await scene.start(depends_on=(one.id,))
        changed = await scene.wait_for(task, [two.id])
        assert isinstance(changed, Task)
        assert (changed.depends_on, changed.blocked_by, changed.version) == ((two.id,), (two.id,), 2)
        assert await scene.find(depends_on=one.id) == []
        await scene.succeed(one)
        assert await scene.get(task) == changed
        free = await scene.wait_for(task, [])
        assert isinstance(free, Task)
        assert (free.state, free.depends_on) == (State.QUEUED, ())
        bound = await scene.wait_for(task, [two.id, one.id])
        assert isinstance(bound, Task)
        assert bound.blocked_by == (two.id,)

    async def test_replaced_edges_are_a_change_of_their_own(self, scene: Scene) -> None:
        done = await scene.succeeded()
        task = await scene.start()
        changed = await scene.try_change(task, lambda t, _: lifecycle.Step(t), depends_on=(done.id,))
        assert isinstance(changed, Task)
        assert (changed.depends_on, changed.version) == ((done.id,), 2)

    async def test_the_same_edges_again_change_nothing(self, scene: Scene) -> None:
        one = await scene.start()
        task = await scene.start(depends_on=(one.id,))
        assert await scene.try_change(task, lambda t, _: lifecycle.Step(t), depends_on=(one.id,)) == task

    async def test_a_new_edge_to_a_failed_task_counts_at_once(self, scene: Scene) -> None:
        gone = await scene.failed()
        one = await scene.start()
        task = await scene.start(depends_on=(one.id,))
        changed = await scene.wait_for(task, [one.id, gone.id])
        assert isinstance(changed, Task)
        assert changed.state is State.FAILED

    async def test_p10_a_cycle_is_refused(self, scene: Scene) -> None:
        one = await scene.start()
        two = await scene.start(depends_on=(one.id,))
        three = await scene.start(depends_on=(two.id,))
        free = await scene.start()
        for target, index in (([one.id], 0), ([free.id, two.id], 1), ([three.id], 0)):
            refused = await scene.wait_for(one, target)
            assert isinstance(refused, DependencyCycle)
            assert refused.index == index
        assert await scene.get(one) == one
        assert await scene.find(depends_on=free.id) == []

    async def test_p10_a_cycle_is_refused_under_concurrency(self, scene: Scene, other: Scene) -> None:
        for _ in range(10):
            one, two = await scene.start(), await scene.start()
            outcomes = await bounded(asyncio.gather(scene.wait_for(one, [two.id]), other.wait_for(two, [one.id])))
            kinds = {type(outcome) for outcome in outcomes}
            assert kinds == {Task, DependencyCycle}

    async def test_p10_a_start_never_misses_the_end_of_what_it_waits_for(self, scene: Scene, other: Scene) -> None:
        for _ in range(10):
            root = await scene.run()
            _, task = await bounded(asyncio.gather(scene.succeed(root), other.start(depends_on=(root.id,))))
            assert await state(scene, task) is State.QUEUED

    # Deletion.

    async def test_a_finished_task_can_be_deleted(self, scene: Scene, other: Scene) -> None:
        task = await scene.succeeded(file_result("f/7"))
        assert await scene.delete(task) == Deleted((task.id,), ("f/7",))
        assert await other.get(task) is None
        assert await other.find() == []
        assert isinstance(await scene.delete(task), Missing)

    async def test_a_file_that_another_record_knows_is_not_given_up(self, scene: Scene) -> None:
        one, two = await scene.succeeded(file_result("f/7")), await scene.succeeded(file_result("f/7"))
        assert await scene.delete(one) == Deleted((one.id,))
        assert await scene.delete(two) == Deleted((two.id,), ("f/7",))

    async def test_an_unfinished_task_can_not_be_deleted(self, scene: Scene) -> None:
        task = await scene.start()
        refused = await scene.delete(task)
        assert isinstance(refused, NotFinished)
        assert refused.task_id == task.id
        assert await scene.get(task) == task

    async def test_a_deletion_names_the_dependents_in_its_way(self, scene: Scene) -> None:
        root = await scene.succeeded()
        one, two = await scene.start(depends_on=(root.id,)), await scene.start(depends_on=(root.id,))
        refused = await scene.delete(root)
        assert isinstance(refused, HasDependents)
        assert set(refused.dependents) == {one.id, two.id}

    async def test_a_cascade_takes_all_dependents_or_nothing(self, scene: Scene) -> None:
        root = await scene.succeeded()
        child = await scene.succeeded(depends_on=(root.id,))
        both = await scene.succeeded(depends_on=(root.id, child.id))
        last = await scene.start(depends_on=(both.id,))
        refused = await scene.delete(root, cascade=True)
        assert isinstance(refused, NotFinished)
        assert refused.task_id == last.id
        assert await scene.get(child) == child
        await scene.change(last, lifecycle.cancel)
        deleted = await scene.delete(root, cascade=True)
        assert isinstance(deleted, Deleted)
        assert deleted.ids[0] == root.id
        assert set(deleted.ids) == {root.id, child.id, both.id, last.id}
        assert await scene.find() == []

    async def test_p6_dependents_out_of_sight_neither_stop_nor_show(self, scene: Scene) -> None:
        root = await scene.failed()
        task = await scene.start(owner="ann", depends_on=(root.id,), on_dependency_failure="stay")
        below = await scene.start(owner="ann", depends_on=(task.id,))
        for cascade in (False, True):
            refused: Deleted | Refusal = await scene.delete(root, scope=ANN, cascade=cascade)
            assert isinstance(refused, Missing)
        assert await scene.delete(root, scope=BOB) == Deleted((root.id,))
        for one in (task, below):
            assert await state(scene, one) is State.FAILED
        assert "is gone" in (await scene.read(task)).failure.message  # type: ignore[union-attr]
        assert await scene.find(ACME, depends_on=root.id) == []

    @pytest.mark.parametrize("how", ["deleted", "expired"])
    async def test_what_failed_because_of_one_that_is_gone_fails_again(self, scene: Scene, how: str) -> None:
        root = await scene.failed(keep_record=DAY)
        task = await scene.start(depends_on=(root.id,), owner="ann")
        if how == "deleted":
            await scene.delete(root, scope=BOB)
        scene.now += DAY
        await scene.store.expire(now=scene.now, limit=10)
        assert await scene.get(root) is None
        again = await scene.retry(task)
        assert again.state is State.FAILED
        assert again.failure is not None
        assert again.failure.message == f"Task {root.id}, which this one waits for, is gone."

    async def test_one_that_runs_all_the_same_does_so_when_its_dependency_is_gone(self, scene: Scene) -> None:
        root = await scene.failed()
        task = await scene.start(depends_on=(root.id,), owner="ann", on_dependency_failure="run", held=True)
        await scene.delete(root, scope=BOB)
        assert await state(scene, task) is State.BLOCKED
        assert (await scene.read(task)).blocked_by == ()

    async def test_what_succeeded_once_is_met_for_ever(self, scene: Scene) -> None:
        root = await scene.succeeded()
        task = await scene.run(depends_on=(root.id,))
        await scene.fail(task)
        await scene.delete(root, scope=BOB)
        assert (await scene.retry(task)).state is State.QUEUED

    async def test_a_retry_can_leave_those_alone_that_failed_because_of_it(self, scene: Scene) -> None:
        root = await scene.run()
        task = await scene.start(depends_on=(root.id,))
        await scene.fail(root)
        failed = await scene.read(task)
        await scene.retry(root, revives=False)
        assert await scene.get(task) == failed
        assert (await scene.retry(task)).blocked_by == (root.id,)

    async def test_an_expired_record_takes_its_edges_along(self, scene: Scene) -> None:
        root = await scene.succeeded(keep_record=DAY)
        child = await scene.succeeded(depends_on=(root.id,), keep_record=2 * DAY)
        scene.now += DAY
        assert (await scene.store.expire(now=scene.now, limit=10)).ids == (root.id,)
        assert await scene.delete(child) == Deleted((child.id,))
