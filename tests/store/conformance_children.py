"""Conformance: tasks that another has started."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING, ChildKey, Created, Deleted, IdempotencyKey
from milepost.store.refusals import ChildDiffers, LeaseLost
from milepost.store.workers import Wanted
from milepost.task import Counts, DeliveredFile, State, Task
from milepost.times import DAY

from .scene import BOB, Scene, draft, new_id

ONE, TWO, THREE = [DeliveredFile(f"f/{n}", f"{n}.txt", "text/plain", n, str(n) * 64) for n in (1, 2, 3)]


async def standing(scene: Scene, **fields: Any) -> Task:
    return await scene.start(runner="external", state=State.RUNNING, **fields)


async def start_child(scene: Scene, parent: Task, key: ChildKey, **fields: Any) -> Created:
    outcome = await scene.try_start(draft(parent=parent.id, **fields), key=key, epoch=parent.epoch)
    assert isinstance(outcome, Created), outcome
    return outcome


async def counts(scene: Scene, parent: Task) -> tuple[int, int | None, int]:
    found = (await scene.read(parent)).counts
    return found.done, found.total, found.failed


class Children:
    """What becomes of them together with their parent."""

    async def test_a_cancel_meets_children_that_wait_for_each_other(self, scene: Scene) -> None:
        parent = await scene.run()
        first = await scene.start(parent=parent.id)
        second = await scene.start(parent=parent.id, depends_on=(first.id,))
        third = await scene.start(parent=parent.id, depends_on=(second.id,), on_dependency_failure="run")
        outside = await scene.start(depends_on=(third.id,))
        assert (await scene.change(parent, lifecycle.cancel)).cancel_requested
        assert {(await scene.read(child)).state for child in (first, second, third)} == {State.CANCELLED}
        outside = await scene.read(outside)
        assert (outside.state, outside.failure and outside.failure.code) == (State.FAILED, "dependency_failed")

    async def test_dependents_out_of_sight_that_wait_for_each_other_hear_of_a_deletion(self, scene: Scene) -> None:
        root = await scene.failed()
        first = await scene.start(owner="ann", depends_on=(root.id,), on_dependency_failure="stay")
        both = await scene.start(owner="ann", depends_on=(root.id, first.id), on_dependency_failure="stay")
        assert await scene.delete(root, scope=BOB) == Deleted((root.id,))
        assert {(await scene.read(task)).state for task in (first, both)} == {State.FAILED}

    # What they are found by again.

    async def test_a_task_finds_again_what_it_has_started(self, scene: Scene, other: Scene) -> None:
        parent = await scene.run()
        key = ChildKey(parent.id, parent.run, "k", b"1")
        made = await start_child(scene, parent, key)
        assert not made.replayed
        await scene.change(made.task, lifecycle.relabel, title="changed since")
        scene.now = other.now = scene.now + 90 * DAY
        again = await start_child(other, parent, key)
        assert again == Created(await scene.read(made.task), replayed=True)
        recalled = await scene.store.recall(parent.tenant, parent.owner, made.task.type, key, now=scene.now)
        assert recalled == again

    @pytest.mark.parametrize("another", [{"run": 2}, {"key": "l"}, {"type": "mail"}, {"parent": None}])
    async def test_a_child_is_of_one_run_type_and_key_of_a_parent(self, scene: Scene, another: dict[str, Any]) -> None:
        parent = await scene.run()
        key = ChildKey(parent.id, 1, "k", b"1")
        await start_child(scene, parent, key)
        if "parent" in another:
            parent = await scene.run("w2")
            another = {"parent": parent.id}
        fields = {"type": another.pop("type")} if "type" in another else {}
        assert not (await start_child(scene, parent, replace(key, **another), **fields)).replayed

    async def test_under_the_same_key_another_start_is_refused(self, scene: Scene) -> None:
        parent = await scene.run()
        key = ChildKey(parent.id, 1, "k", b"1")
        made = await start_child(scene, parent, key)
        differs = replace(key, fingerprint=b"2")
        creation = draft(parent=parent.id)
        assert isinstance(await scene.try_start(creation, key=differs, epoch=parent.epoch), ChildDiffers)
        recalled = await scene.store.recall(parent.tenant, parent.owner, creation.type, differs, now=scene.now)
        assert isinstance(recalled, ChildDiffers)
        await scene.change(made.task, lifecycle.cancel)
        await scene.delete(made.task)
        assert not (await start_child(scene, parent, differs)).replayed, "of a child that is gone nothing is left"

    @pytest.mark.parametrize("how", ["deleted", "expired", "past its retention"])
    async def test_a_child_that_is_gone_is_started_again(self, scene: Scene, how: str) -> None:
        parent = await scene.run()
        key = ChildKey(parent.id, 1, "k", b"1")
        gone = (await start_child(scene, parent, key, keep_record=DAY)).task
        await scene.change(gone, lifecycle.cancel)
        if how == "deleted":
            assert await scene.delete(gone) == Deleted((gone.id,))
        else:
            await scene.fail(parent)
            scene.now += DAY
            if how == "expired":
                assert await scene.store.expire(now=scene.now, limit=10) == Deleted((gone.id,))
            await scene.retry(parent)
            (claimed,) = await scene.claim("w1", Wanted(parent.type))
            parent = claimed.task
        made = await start_child(scene, parent, key)
        assert (made.replayed, made.task.id == gone.id) == (how == "past its retention", how == "past its retention")
        assert await start_child(scene, parent, key) == replace(made, replayed=True)

    async def test_p2_who_has_lost_its_lease_is_not_told_of_its_children(self, scene: Scene) -> None:
        parent = await scene.run()
        key = ChildKey(parent.id, 1, "k", b"1")
        await start_child(scene, parent, key)
        await scene.store.dismiss("w1", now=scene.now)
        refused = await scene.try_start(draft(parent=parent.id), key=key, epoch=parent.epoch)
        assert isinstance(refused, LeaseLost)

    async def test_p9_each_standing_task_has_keys_of_its_own(self, scene: Scene) -> None:
        first, second = await standing(scene), await standing(scene)
        plain = IdempotencyKey("k", b"1", scene.now + DAY)
        made = [await scene.try_start(draft(), key=plain)]
        for parent in (first, second):
            key = replace(plain, parent=parent.id)
            made.append(await scene.try_start(draft(parent=parent.id), key=key, epoch=parent.epoch))
        assert [isinstance(one, Created) and one.replayed for one in made] == [False] * 3

    async def test_p9_a_delivery_is_known_whatever_has_become_of_the_standing_task(self, scene: Scene) -> None:
        parent = await standing(scene)
        key = IdempotencyKey("k", b"1", scene.now + DAY, parent.id)
        made = await scene.try_start(draft(parent=parent.id), key=key, epoch=parent.epoch)
        assert isinstance(made, Created)
        await scene.change(parent, lifecycle.drive, state=State.SUCCEEDED)
        again = await scene.try_start(draft(parent=parent.id), key=key, epoch=parent.epoch)
        assert again == Created(made.task, replayed=True)
        new = await scene.try_start(draft(parent=parent.id), key=replace(key, key="l"), epoch=parent.epoch)
        assert isinstance(new, LeaseLost)

    # What standing tasks count.

    async def test_what_is_delivered_to_a_standing_task_adds_up(self, scene: Scene, other: Scene) -> None:
        parent = await standing(scene)
        good, bad, lost = [await scene.start(parent=parent.id) for _ in range(3)]
        assert await counts(other, parent) == (0, 3, 0)
        await scene.enlist()
        claimed = {one.task.id: one.task for one in await scene.claim()}
        await scene.succeed(claimed[good.id])
        assert await counts(other, parent) == (1, 3, 0)
        await scene.fail(claimed[bad.id])
        await scene.settle(claimed[lost.id], lifecycle.park)
        await scene.change(lost, lifecycle.cancel)
        after = await other.read(parent)
        assert (after.counts, after.progress) == (Counts(3, 3, 2), 1.0)
        assert after.version == parent.version + 6
        assert len(await scene.log(parent)) == 1, "its log does not speak of them"
        assert (await scene.retry(bad)).state is State.QUEUED
        after = await other.read(parent)
        assert (after.counts, after.progress) == (Counts(2, 3, 1), 2 / 3)

    async def test_it_counts_all_of_a_cancel_and_tells_so(self, scene: Scene) -> None:
        parent = await standing(scene)
        waiting = await scene.start(parent=parent.id)
        await scene.start(parent=parent.id, depends_on=(waiting.id,))
        cancelled = await scene.change(parent, lifecycle.cancel)
        assert cancelled == await scene.read(parent), "and who asked is told the newest"
        assert (cancelled.state, cancelled.cancel_requested) == (State.RUNNING, True)
        assert cancelled.counts == Counts(2, 2, 2)

    async def test_p3_it_counts_while_it_is_paused_and_no_more_once_it_has_ended(self, scene: Scene) -> None:
        parent = await standing(scene)
        first, second = [await scene.start(parent=parent.id) for _ in range(2)]
        await scene.change(parent, lifecycle.drive, state=State.PAUSED)
        await scene.change(first, lifecycle.cancel)
        assert await counts(scene, parent) == (1, 2, 1)
        ended = await scene.change(parent, lifecycle.drive, state=State.SUCCEEDED)
        await scene.enlist()
        (claimed,) = await scene.claim()
        await scene.succeed(claimed.task)
        assert claimed.task.id == second.id
        assert await scene.read(parent) == ended

    async def test_in_another_life_it_counts_anew_and_never_below_nothing(self, scene: Scene) -> None:
        parent = await standing(scene)
        old = await scene.start(parent=parent.id)
        await scene.change(parent, lifecycle.drive, state=State.FAILED)
        for state in (State.QUEUED, State.RUNNING):
            await scene.change(parent, lifecycle.drive, state=state)
        await scene.change(old, lifecycle.cancel)
        assert await counts(scene, parent) == (0, 0, 0)
        await scene.retry(old)
        assert await counts(scene, parent) == (0, 0, 0)

    async def test_other_parents_count_nothing(self, scene: Scene) -> None:
        mine = await scene.run()
        another_type = await standing(scene, type="mail")
        external = await standing(scene)
        await scene.start(parent=mine.id)
        await scene.start(parent=another_type.id)
        await scene.start(parent=external.id, runner="external")
        for parent in (mine, another_type, external):
            assert (await scene.read(parent)).version == parent.version

    async def test_a_task_that_waits_together_with_its_children_hears_of_it(self, scene: Scene) -> None:
        root = await scene.run()
        parent = await scene.start(runner="external", depends_on=(root.id,))
        child = await scene.start(parent=parent.id, depends_on=(root.id,))
        first = await scene.start(parent=parent.id, depends_on=(root.id,))
        await scene.fail(root)
        for task in (parent, child, first):
            assert (await scene.read(task)).state is State.FAILED

    @pytest.mark.parametrize("how", ["failed", "deleted"])
    async def test_a_task_that_hears_of_it_after_its_child_has_counted_that(self, scene: Scene, how: str) -> None:
        root = await (scene.run() if how == "failed" else scene.failed())
        waits: dict[str, Any] = {"owner": "ann", "depends_on": (root.id,)}
        if how == "deleted":
            waits["on_dependency_failure"] = "stay"
        parent_id = new_id()
        child = await scene.start(parent=parent_id, **waits)
        parent = await scene.start(id=parent_id, runner="external", **waits)
        if how == "failed":
            await scene.fail(root)
        else:
            assert await scene.delete(root, scope=BOB) == Deleted((root.id,))
        assert {(await scene.read(task)).state for task in (child, parent)} == {State.FAILED}
        assert (await scene.read(parent)).version == parent.version + 2

    async def test_many_at_once_add_up_exactly(self, scene: Scene, other: Scene) -> None:
        parent = await standing(scene)
        starts = [hand.try_start(draft(parent=parent.id, owner="bob")) for _ in range(50) for hand in (scene, other)]
        started = await asyncio.gather(*starts)
        assert all(isinstance(one, Created) for one in started)
        assert await counts(scene, parent) == (0, 100, 0)
        hands = {"w1": scene, "w2": other}
        for worker, hand in hands.items():
            await hand.enlist(worker)
        taken = {worker: await hand.claim(worker, Wanted("export"), limit=50) for worker, hand in hands.items()}
        ends = [
            (hands[worker].fail if number % 5 == 0 else hands[worker].succeed)(one.task)
            for worker, claimed in taken.items()
            for number, one in enumerate(claimed)
        ]
        await asyncio.gather(*ends)
        after = await scene.read(parent)
        assert (after.counts, after.progress) == (Counts(100, 100, 20), 1.0)
        assert after.version == parent.version + 200

    async def test_a_task_has_the_files_that_were_delivered_with_it(self, scene: Scene, other: Scene) -> None:
        made = await scene.try_start(draft(), files=(ONE, TWO))
        assert isinstance(made, Created)
        plain = await scene.start()
        await other.enlist()
        claimed = await other.claim()
        assert [(one.task.id, one.files) for one in claimed] == [(made.task.id, (ONE, TWO)), (plain.id, ())]
        cold = await other.store.cold([made.task.id, plain.id], EVERYTHING, now=scene.now)
        assert [part and part.files for part in cold] == [(ONE, TWO), ()]
        assert await other.store.known_files([ONE.key, "nobody's", TWO.key]) == {ONE.key, TWO.key}

    async def test_what_was_not_made_has_no_files(self, scene: Scene) -> None:
        key = IdempotencyKey("k", b"1", scene.now + DAY)
        parent = await scene.failed()
        made = await scene.try_start(draft(parent=parent.id), key=key, files=(ONE,))
        again = await scene.try_start(draft(parent=parent.id), key=key, files=(TWO,))
        assert isinstance(made, Created)
        assert again == Created(made.task, replayed=True)
        refused = await scene.try_start(draft(parent=parent.id), epoch=parent.epoch, files=(THREE,))
        assert isinstance(refused, LeaseLost)
        assert await scene.store.known_files([ONE.key, TWO.key, THREE.key]) == {ONE.key}

    async def test_delivered_files_go_with_the_record(self, scene: Scene) -> None:
        tasks = []
        for file in (ONE, TWO):
            made = await scene.try_start(draft(keep_record=DAY), files=(file,))
            assert isinstance(made, Created)
            tasks.append(await scene.change(made.task, lifecycle.cancel))
        assert await scene.delete(tasks[0]) == Deleted((tasks[0].id,), (ONE.key,))
        assert await scene.store.known_files([ONE.key, TWO.key]) == {TWO.key}
        scene.now += DAY
        assert await scene.store.expire(now=scene.now, limit=10) == Deleted((tasks[1].id,), (TWO.key,))
        assert await scene.store.known_files([TWO.key]) == set()
