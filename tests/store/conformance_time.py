"""Conformance: what time does to tasks."""

from typing import Any

import pytest

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING, Deleted, Filter, Tally
from milepost.store.refusals import Missing
from milepost.store.workers import Wanted, WorkerInfo
from milepost.task import JsonResult, State
from milepost.times import DAY, HOUR, SECOND
from milepost.trigger import Trigger

from .scene import FAILURE, START, Scene, file_result, json_result, line, whole


class Time:
    """Due times, retention, tasks that nobody offers to run."""

    # What is due.

    async def test_a_scheduled_task_is_queued_at_its_time(self, scene: Scene) -> None:
        task = await scene.start(run_at=START + HOUR)
        assert await scene.store.next_due(now=START) == START + HOUR
        assert await scene.store.enqueue_due(now=START + HOUR - 1, limit=10) == []
        assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == [task.id]
        assert (await scene.read(task)).state is State.QUEUED
        assert await scene.store.next_due(now=START) is None
        assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == []

    async def test_a_retry_with_delay_is_due_after_it(self, scene: Scene) -> None:
        task = await scene.run(max_attempts=2)
        await scene.settle(task, lifecycle.fail, failure=FAILURE, retry_in=5 * SECOND)
        assert await scene.store.next_due(now=START) == START + 5 * SECOND
        assert await scene.store.enqueue_due(now=START + 5 * SECOND, limit=10) == [task.id]

    async def test_a_next_run_is_queued_at_its_time(self, scene: Scene) -> None:
        task = await scene.run(trigger=Trigger(every=HOUR, anchor=START))
        await scene.report(task, progress=0.5, message="half", entries=(line("first run"),))
        done = await scene.succeed(task, json_result({"n": 1}))
        assert (done.state, done.next_run_at, done.expires_at) == (State.SUCCEEDED, START + HOUR, None)
        assert await scene.store.next_due(now=START) == START + HOUR
        scene.now = START + 3 * HOUR
        assert await scene.store.enqueue_due(now=scene.now, limit=10) == [task.id]
        again = await scene.read(task)
        assert (again.state, again.run, again.run_at) == (State.QUEUED, 2, START + HOUR)
        assert (again.result, again.message, again.next_run_at) == (None, None, None)
        assert await scene.store.result(task.id, EVERYTHING, now=scene.now) is None
        await scene.enlist()
        (claimed,) = await scene.claim("w1", Wanted(task.type))
        # The runs that were missed meanwhile are one.
        assert (await scene.succeed(claimed.task)).next_run_at == START + 4 * HOUR
        assert whole(await scene.log(task))

    async def test_a_cancel_ends_the_repetition(self, scene: Scene) -> None:
        task = await scene.succeeded(trigger=Trigger(every=HOUR, anchor=START))
        await scene.change(task, lifecycle.cancel)
        assert await scene.store.next_due(now=START) is None
        assert await scene.store.enqueue_due(now=START + DAY, limit=10) == []

    @pytest.mark.parametrize("how", ["queued", "scheduled", "blocked"])
    async def test_what_did_not_start_in_time_fails(self, scene: Scene, how: str) -> None:
        ways: dict[str, dict[str, Any]] = {
            "queued": {},
            "scheduled": {"run_at": START + 2 * HOUR},
            "blocked": {"held": True},
        }
        task = await scene.start(start_by=START + HOUR, **ways[how])
        assert (task.state, await scene.store.next_due(now=START)) == (State(how), START + HOUR)
        assert await scene.store.enqueue_due(now=START + HOUR - 1, limit=10) == []
        assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == [task.id]
        failed = await scene.read(task)
        assert failed.failure is not None
        assert failed.failure.code == "start_by_passed"

    async def test_one_that_misses_its_start_together_with_what_it_waits_for_fails_once(self, scene: Scene) -> None:
        first = await scene.start(start_by=START + HOUR)
        then = await scene.start(start_by=START + HOUR, depends_on=(first.id,))
        assert first.id in await scene.store.enqueue_due(now=START + HOUR, limit=10)
        assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == []
        failures = [(await scene.read(task)).failure for task in (first, then)]
        assert [failure and failure.code for failure in failures] == ["start_by_passed", "dependency_failed"]
        assert (await scene.read(then)).version == then.version + 1

    async def test_one_that_is_due_and_missed_its_start_fails(self, scene: Scene) -> None:
        task = await scene.start(run_at=START + SECOND, start_by=START + HOUR)
        assert await scene.store.enqueue_due(now=START + DAY, limit=10) == [task.id]
        assert (await scene.read(task)).state is State.FAILED

    async def test_what_started_in_time_is_not_due_by_start_by(self, scene: Scene) -> None:
        task = await scene.run(start_by=START + HOUR)
        await scene.settle(task, lifecycle.park)
        assert await scene.store.next_due(now=START) is None
        assert await scene.store.enqueue_due(now=START + DAY, limit=10) == []

    async def test_what_is_due_comes_in_portions(self, scene: Scene) -> None:
        tasks = {(await scene.start(run_at=START + n)).id for n in range(1, 6)}
        tasks |= {(await scene.start(start_by=START + n)).id for n in range(1, 6)}
        portions = [await scene.store.enqueue_due(now=START + HOUR, limit=4) for _ in range(4)]
        assert [len(portion) for portion in portions] == [4, 4, 2, 0]
        assert {task for portion in portions for task in portion} == tasks

    # Retention.

    async def test_p7_a_result_past_its_retention_is_gone(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result({"n": 1}), keep_result=HOUR)
        scene.now = START + HOUR - 1
        assert (await scene.read(task)) == task
        assert await scene.store.result(task.id, EVERYTHING, now=scene.now) == b'{"n":1}'
        scene.now = START + HOUR
        gone = await scene.read(task)
        assert (gone.state, gone.result, gone.version) == (State.SUCCEEDED, None, task.version + 1)
        assert await scene.store.result(task.id, EVERYTHING, now=scene.now) is None
        page = await scene.store.log(task.id, EVERYTHING, limit=10, now=scene.now)
        assert page is not None
        assert page.task == gone
        found = await scene.store.find(Filter(), EVERYTHING, after=None, limit=10, now=scene.now)
        assert found.tasks == [gone]
        # And so it is written, without anybody seeing a difference.
        assert await scene.store.expire(now=scene.now, limit=10) == Deleted(())
        assert await scene.get(task) == gone
        assert await scene.store.expire(now=scene.now, limit=10) == Deleted(())

    async def test_p4_a_change_after_the_expiry_of_a_result_has_a_later_version(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result(1), keep_result=HOUR)
        scene.now += HOUR
        seen = await scene.read(task)
        labelled = await scene.change(task, lifecycle.relabel, title="t")
        assert labelled.version > seen.version
        assert labelled.result is None
        assert await scene.get(task) == labelled
        assert await scene.store.result(task.id, EVERYTHING, now=START) is None
        assert await scene.store.expire(now=scene.now, limit=10) == Deleted(())

    async def test_an_expected_version_is_the_one_that_readers_see(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result(1), keep_result=HOUR)
        scene.now += HOUR
        seen = await scene.read(task)
        now = scene.now
        outcome = await scene.try_change(
            task, lambda t, _: lifecycle.relabel(t, now=now, title="t"), if_version=seen.version
        )
        assert not isinstance(outcome, Exception)

    async def test_p7_the_files_of_expired_results_are_given_up(self, scene: Scene) -> None:
        one = await scene.succeeded(file_result("f/1"), keep_result=HOUR)
        await scene.succeeded(file_result("f/2"), keep_result=2 * HOUR)
        scene.now += HOUR
        assert await scene.store.expire(now=scene.now, limit=10) == Deleted((), ("f/1",))
        assert (await scene.read(one)).result is None
        assert await scene.store.known_files(["f/1", "f/2", "f/3"]) == {"f/2"}

    async def test_p7_a_record_past_its_retention_is_unknown(self, scene: Scene) -> None:
        task = await scene.succeeded(file_result(), keep_record=HOUR)
        scene.now = START + HOUR - 1
        assert await scene.get(task) == task
        scene.now = START + HOUR
        for _ in range(2):
            assert await scene.get(task) is None
            assert await scene.store.cold([task.id], EVERYTHING, now=scene.now) == [None]
            assert await scene.store.result(task.id, EVERYTHING, now=scene.now) is None
            assert await scene.store.log(task.id, EVERYTHING, limit=10, now=scene.now) is None
            assert await scene.find() == []
            assert await scene.store.tally(EVERYTHING, now=scene.now) == []
            outcome = await scene.try_change(task, lambda t, _: lifecycle.Step(t))
            assert isinstance(outcome, Missing)
            assert isinstance(await scene.delete(task), Missing)
            await scene.store.expire(now=scene.now, limit=10)

    async def test_p7_expiry_says_what_went(self, scene: Scene) -> None:
        task = await scene.succeeded(file_result("f/1"), keep_record=HOUR)
        await scene.succeeded()
        scene.now += HOUR
        assert await scene.store.expire(now=scene.now, limit=10) == Deleted((task.id,), ("f/1",))
        assert await scene.store.expire(now=scene.now, limit=10) == Deleted(())

    async def test_expiry_comes_in_portions(self, scene: Scene) -> None:
        for _ in range(5):
            await scene.succeeded(keep_record=HOUR)
        scene.now += HOUR
        assert [len((await scene.store.expire(now=scene.now, limit=2)).ids) for _ in range(4)] == [2, 2, 1, 0]

    async def test_p7_an_unfinished_dependent_keeps_a_record(self, scene: Scene) -> None:
        root = await scene.succeeded(keep_record=HOUR)
        task = await scene.start(depends_on=(root.id,))
        scene.now += DAY
        assert await scene.get(root) == root
        assert Tally(root.type, State.SUCCEEDED, 1) in await scene.store.tally(EVERYTHING, now=scene.now)
        assert await scene.store.expire(now=scene.now, limit=1) == Deleted(())
        await scene.change(task, lifecycle.cancel)
        assert await scene.get(root) is None
        assert await scene.store.expire(now=scene.now, limit=1) == Deleted((root.id,), more=True)
        assert await scene.store.expire(now=scene.now, limit=1) == Deleted(())

    async def test_p7_a_next_run_keeps_a_record(self, scene: Scene) -> None:
        task = await scene.succeeded(keep_record=SECOND, trigger=Trigger(every=HOUR, anchor=START))
        scene.now += HOUR - 1
        assert await scene.get(task) == task
        assert await scene.store.expire(now=scene.now, limit=1) == Deleted(())

    async def test_a_retry_keeps_the_record(self, scene: Scene) -> None:
        task = await scene.failed(keep_record=HOUR)
        await scene.retry(task)
        scene.now += 40 * DAY
        assert (await scene.read(task)).state is State.QUEUED
        assert await scene.store.expire(now=scene.now, limit=1) == Deleted(())

    async def test_a_large_result_expires_too(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result("x" * 100_000), keep_result=HOUR)
        assert task.result == JsonResult(100_002, None)
        scene.now += HOUR
        assert (await scene.read(task)).result is None
        await scene.store.expire(now=scene.now, limit=10)
        assert await scene.store.result(task.id, EVERYTHING, now=START) is None

    async def test_workers_that_are_long_gone_are_forgotten(self, scene: Scene) -> None:
        await scene.enlist()
        await scene.store.dismiss("w1", now=START)
        scene.now += 30 * DAY
        await scene.store.expire(now=scene.now, limit=10)
        assert await scene.store.workers() == []

    # Types that nobody offers.

    async def test_a_queued_task_that_nobody_offers_says_so(self, scene: Scene) -> None:
        task = await scene.start()
        await scene.start(runner="external")
        await scene.start(run_at=START + HOUR)
        assert await scene.store.note_obstacles(now=START) == [task.id]
        noted = await scene.read(task)
        assert noted.message
        assert noted.version == 2
        assert await scene.store.note_obstacles(now=START) == []

    async def test_it_says_so_until_somebody_does(self, scene: Scene) -> None:
        first, second = await scene.start(), await scene.start()
        await scene.store.note_obstacles(now=START)
        await scene.enlist(types=("backup", "export"))
        (claimed,) = await scene.claim(limit=1)
        assert (claimed.task.id, claimed.task.message) == (first.id, None)
        assert await scene.store.note_obstacles(now=START) == []
        assert (await scene.read(second)).message is None
        await scene.store.dismiss("w1", now=scene.now)
        assert second.id in await scene.store.note_obstacles(now=scene.now)

    async def test_a_worker_that_offers_other_types_does_not_count(self, scene: Scene) -> None:
        await scene.store.enlist(WorkerInfo("w1", "here", 1, 1, ("backup",)))
        task = await scene.start()
        assert await scene.store.note_obstacles(now=START) == [task.id]
