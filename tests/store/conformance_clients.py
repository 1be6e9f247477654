"""Conformance: what clients do with tasks that no worker is at: name what blocks them, and delete them unfinished."""

from typing import Any

import pytest

from milepost import lifecycle
from milepost.lifecycle import Step
from milepost.store.protocol import EVERYTHING, Deleted, Deletion
from milepost.store.refusals import HasDependents, NotFinished
from milepost.task import State, Task

from .scene import BOB, Scene, new_id

X, Y = new_id(), new_id()


async def held(scene: Scene, **fields: Any) -> Task:
    return await scene.start(held=True, **fields)


class Clients:
    """What is named, and what goes."""

    # What blocks a task beside its dependencies, as whoever holds it says.

    @pytest.mark.parametrize("runner", ["loop", "external"])
    async def test_what_blocks_a_task_that_is_held_is_kept_as_it_was_named(self, scene: Scene, runner: str) -> None:
        task = await held(scene, runner=runner, blocked_by=(X, Y))
        assert (task.state, task.blocked_by, task.depends_on) == (State.BLOCKED, (X, Y), ())
        assert await scene.get(task) == task
        free = await scene.change(task, lifecycle.unblock)
        assert (free.state, free.blocked_by) == (State.QUEUED, ())

    async def test_it_stays_named_while_dependencies_come_and_go(self, scene: Scene) -> None:
        one, two = await scene.run(), await scene.run()
        task = await held(scene, depends_on=(one.id, two.id), blocked_by=(X, one.id))
        assert task.blocked_by == (one.id, two.id, X)
        await scene.succeed(one)
        assert (await scene.read(task)).blocked_by == (two.id, X)
        await scene.succeed(two)
        after = await scene.read(task)
        assert (after.state, after.blocked_by) == (State.BLOCKED, (X,))

    async def test_what_is_named_is_no_dependency(self, scene: Scene) -> None:
        other = await scene.run()
        task = await held(scene, blocked_by=(other.id,))
        assert await scene.find(depends_on=other.id) == []
        await scene.fail(other)
        assert await scene.get(task) == task

    async def test_running_work_that_its_client_blocks_waits_for_nobody_s_end(self, scene: Scene) -> None:
        other = await scene.run()
        task = await scene.start(runner="external", state=State.RUNNING)
        blocked = await scene.change(task, lifecycle.drive, state=State.BLOCKED, blocked_by=(other.id, X))
        assert blocked.blocked_by == (other.id, X)
        await scene.succeed(other)
        assert await scene.get(task) == blocked
        assert await scene.find(depends_on=other.id) == []

    async def test_a_child_that_is_waited_for_is_named_by_nobody(self, scene: Scene) -> None:
        parent = await scene.run()
        children = [await scene.run(parent=parent.id) for _ in range(2)]
        ids = tuple(child.id for child in children)
        parked = await scene.settle(parent, lifecycle.park, waits_for=ids)

        def hold(task: Task, unmet: tuple[str, ...]) -> Step:
            return lifecycle.block(task, now=scene.now, blocked_by=(*unmet, X), reason="Wait.", held=True)

        assert isinstance(await scene.try_change(parked, hold), Task)
        assert (await scene.read(parked)).blocked_by == (*ids, X)
        await scene.succeed(children[0])
        assert (await scene.read(parked)).blocked_by == (ids[1], X)
        await scene.fail(children[1])
        assert (await scene.read(parked)).blocked_by == (X,)

    # Deletion of what is not finished.

    @pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.BLOCKED, State.PAUSED])
    async def test_what_clients_drive_can_be_deleted_at_any_time(self, scene: Scene, state: State) -> None:
        task = await scene.start(runner="external", state=state)
        assert isinstance(await scene.delete(task), NotFinished)
        assert await scene.delete(task, unfinished=True) == Deleted((task.id,))
        assert await scene.get(task) is None

    async def test_what_no_worker_has_begun_can_be_deleted(self, scene: Scene) -> None:
        for task in (await scene.start(), await held(scene), await scene.start(run_at=scene.now + 1)):
            assert await scene.delete(task, unfinished=True) == Deleted((task.id,))

    async def test_what_a_worker_is_at_can_not(self, scene: Scene) -> None:
        task = await scene.run()
        refused = await scene.delete(task, unfinished=True)
        assert isinstance(refused, NotFinished)
        assert refused.task_id == task.id
        assert await scene.get(task) == task

    async def test_dependents_are_in_the_way_of_it_too(self, scene: Scene) -> None:
        root = await scene.start()
        child = await scene.start(depends_on=(root.id,))
        refused = await scene.delete(root, unfinished=True)
        assert isinstance(refused, HasDependents)
        assert refused.dependents == (child.id,)
        assert [await scene.get(task) for task in (root, child)] == [root, child]

    async def test_a_cascade_takes_what_is_not_finished_along(self, scene: Scene) -> None:
        root = await scene.start()
        child = await scene.start(depends_on=(root.id,))
        stays = await held(scene, depends_on=(root.id,), on_dependency_failure="stay")
        last = await scene.start(depends_on=(child.id, stays.id), on_dependency_failure="run")
        deleted = await scene.delete(root, cascade=True, unfinished=True)
        assert isinstance(deleted, Deleted)
        assert set(deleted.ids) == {root.id, child.id, stays.id, last.id}
        assert await scene.find() == []

    async def test_a_cascade_that_meets_a_worker_changes_nothing(self, scene: Scene) -> None:
        root = await scene.succeeded()
        waits, runs = await scene.start(depends_on=(root.id,)), await scene.run(depends_on=(root.id,))
        assert isinstance(await scene.delete(root, cascade=True, unfinished=True), NotFinished)
        assert [await scene.get(task) for task in (root, waits, runs)] == [root, waits, runs]

    async def test_p6_what_is_out_of_sight_and_waits_for_it_fails(self, scene: Scene) -> None:
        root = await scene.start()
        hidden = await scene.start(owner="ann", depends_on=(root.id,))
        assert await scene.delete(root, scope=BOB, unfinished=True) == Deleted((root.id,))
        after = await scene.read(hidden)
        assert (after.state, after.failure and after.failure.code) == (State.FAILED, "dependency_failed")

    async def test_children_of_what_is_deleted_are_cancelled(self, scene: Scene) -> None:
        parent = await scene.start(runner="external", state=State.RUNNING)
        child = await scene.start(parent=parent.id)
        await scene.delete(parent, unfinished=True)
        assert (await scene.read(child)).state is State.CANCELLED

    async def test_each_of_a_batch_is_deleted_or_refused_by_itself(self, scene: Scene) -> None:
        tasks = [await scene.start(), await scene.run(), await scene.start()]
        deletions = [Deletion(task.id, EVERYTHING, unfinished=True) for task in tasks]
        outcomes = await scene.store.delete(deletions, now=scene.now)
        assert [type(outcome) for outcome in outcomes] == [Deleted, NotFinished, Deleted]
        assert await scene.find() == [tasks[1].id]
