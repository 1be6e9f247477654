"""Conformance: who may run a task, and what becomes of it when that ends."""

import asyncio
import threading
from typing import Any

import pytest

from milepost import lifecycle, notice
from milepost.lifecycle import Report, Step
from milepost.store.protocol import EVERYTHING, Created, LeasedEdit
from milepost.store.refusals import LeaseLost, NotStorable
from milepost.store.workers import Claimed, Request, Unopened, Wanted, WorkerInfo
from milepost.task import State, Task
from milepost.times import DAY, HOUR, SECOND
from milepost.trigger import Trigger

from .scene import FAILURE, LEASE, START, Scene, bounded, draft, json_result, line, new_id, whole


def ids(claimed: list[Claimed]) -> list[str]:
    return [one.task.id for one in claimed]


class Leases:
    """Workers, claims and settlements."""

    async def test_a_claim_brings_what_running_needs(self, scene: Scene) -> None:
        task = await scene.start(input=b'{"rows":5}')
        await scene.enlist()
        scene.now += SECOND
        (claimed,) = await scene.claim()
        assert (claimed.input, claimed.checkpoint) == (b'{"rows":5}', None)
        assert claimed.task.state is State.RUNNING
        assert (claimed.task.epoch, claimed.task.worker, claimed.task.attempt) == (1, "w1", 1)
        assert (claimed.task.version, claimed.task.started_at) == (2, scene.now)
        assert await scene.get(task) == claimed.task

    async def test_a_claim_takes_higher_priority_first_then_the_older(self, scene: Scene) -> None:
        await scene.enlist(types=("a", "b"))
        low = await scene.start(type="a", priority=-1)
        first = await scene.start(type="a")
        second = await scene.start(type="b")
        third = await scene.start(type="a")
        high = await scene.start(type="b", priority=5)
        both = (Wanted("a"), Wanted("b"))
        assert ids(await scene.claim("w1", *both, limit=2)) == [high.id, first.id]
        assert ids(await scene.claim("w1", *both)) == [second.id, third.id, low.id]
        assert await scene.claim("w1", *both) == []

    async def test_a_claim_takes_only_types_that_are_wanted(self, scene: Scene) -> None:
        await scene.enlist()
        await scene.start(type="backup")
        assert await scene.claim() == []
        assert await scene.claim("w1", limit=0) == []

    async def test_a_type_wanted_twice_is_wanted(self, scene: Scene) -> None:
        await scene.enlist()
        task = await scene.start()
        assert ids(await scene.claim("w1", Wanted("export"), Wanted("export"))) == [task.id]

    async def test_a_claim_leaves_what_clients_drive(self, scene: Scene) -> None:
        await scene.enlist()
        await scene.start(runner="external", priority=9)
        ours = await scene.start()
        assert ids(await scene.claim(limit=1)) == [ours.id]
        assert await scene.claim() == []

    async def test_concurrency_counts_over_the_whole_store(self, scene: Scene, other: Scene) -> None:
        await scene.enlist("w1")
        await other.enlist("w2")
        for _ in range(5):
            await scene.start()
        wanted = Wanted("export", concurrency=3)
        mine = await scene.claim("w1", wanted, limit=2)
        theirs = await other.claim("w2", wanted, limit=2)
        assert (len(mine), len(theirs)) == (2, 1)
        assert await other.claim("w2", wanted) == []
        await scene.succeed(mine[0].task)
        assert len(await other.claim("w2", wanted)) == 1

    async def test_a_claim_leaves_what_its_worker_can_not_open(self, scene: Scene, other: Scene) -> None:
        await scene.enlist()
        await other.enlist("w2")
        told = [await scene.try_start(draft(created_at=scene.now), sealed=each) for each in (b"one", b"two", b"one")]
        tasks, looked_at = [made.task for made in told if isinstance(made, Created)], list[tuple[bytes, str]]()
        plain = await scene.start()

        def opens(sealed: bytes, task_id: str) -> bool:
            looked_at.append((sealed, task_id))
            return sealed == b"two"

        unopened = Unopened(opens)
        wanted, claim = [Wanted("export")], scene.store.claim
        taken = await claim("w1", wanted, limit=2, now=scene.now, unopened=unopened)
        assert isinstance(taken, list)
        assert ids(taken) == [tasks[1].id, plain.id]
        assert await scene.get(tasks[0]) == tasks[0]
        scene.now += notice.PATIENCE
        assert await claim("w1", wanted, limit=9, now=scene.now, unopened=unopened) == []
        after = await scene.read(tasks[0])
        assert (after.message, after.state, after.attempt, after.epoch) == (notice.UNOPENED, State.QUEUED, 0, 0)
        assert looked_at[-2:] == [(b"one", tasks[0].id), (b"one", tasks[2].id)]
        count = len(looked_at)
        assert await claim("w1", wanted, limit=9, now=scene.now, unopened=unopened) == []
        assert len(looked_at) == count
        assert await claim("w1", wanted, limit=9, now=scene.now, unopened=Unopened(opens)) == []
        assert await scene.get(tasks[0]) == after
        anybody = await other.store.claim("w2", wanted, limit=9, now=scene.now)
        assert isinstance(anybody, list)
        assert ids(anybody) == [tasks[0].id, tasks[2].id]
        assert (await scene.read(tasks[0])).message is None

    async def test_a_claim_fails_what_missed_its_start(self, scene: Scene) -> None:
        late = await scene.start(start_by=START + SECOND, priority=1)
        ours = await scene.start()
        scene.now += SECOND
        await scene.enlist()
        assert ids(await scene.claim(limit=1)) == [ours.id]
        failed = await scene.read(late)
        assert failed.state is State.FAILED
        assert failed.failure is not None
        assert failed.failure.code == "start_by_passed"

    async def test_a_task_that_started_in_time_may_start_again_later(self, scene: Scene) -> None:
        task = await scene.run(start_by=START + SECOND)
        await scene.settle(task, lifecycle.park)
        scene.now += 2 * SECOND
        assert ids(await scene.claim("w1", Wanted(task.type))) == [task.id]

    async def test_p2_no_task_is_claimed_twice(self, scene: Scene, other: Scene) -> None:
        await scene.enlist("w1")
        await other.enlist("w2")
        for _ in range(60):
            await scene.start()

        async def drain(where: Scene, worker: str) -> list[Claimed]:
            claimed: list[Claimed] = []
            while more := await where.claim(worker, limit=3):
                claimed += more
            return claimed

        mine, theirs = await bounded(asyncio.gather(drain(scene, "w1"), drain(other, "w2")))
        assert len({*ids(mine), *ids(theirs)}) == len(mine) + len(theirs) == 60

    @pytest.mark.parametrize("gone", ["unknown", "silent", "dismissed"])
    async def test_p2_a_worker_without_a_lease_gets_nothing(self, scene: Scene, gone: str) -> None:
        await scene.start()
        if gone != "unknown":
            await scene.enlist()
        if gone == "silent":
            await scene.store.rescue(await scene.store.pulses(), now=scene.now)
        if gone == "dismissed":
            await scene.store.dismiss("w1", now=scene.now)
        outcome = await scene.store.claim("w1", [Wanted("export")], limit=1, now=scene.now)
        assert isinstance(outcome, LeaseLost)

    # What a worker says.

    async def test_a_report_is_seen_by_every_process(self, scene: Scene, other: Scene) -> None:
        task = await scene.run()
        told = await scene.report(task, progress=0.5, message="half", entries=(line("row"),))
        assert (told.progress, told.message, told.version) == (0.5, "half", 3)
        assert await other.get(task) == told
        assert [entry.message for entry in await other.log(task, after=2)] == ["row"]

    async def test_a_checkpoint_is_found_by_the_next_try(self, scene: Scene) -> None:
        task = await scene.run()
        await scene.report(task, checkpoint=b'{"row":1}')
        await scene.report(task, checkpoint=b'{"row":2}')
        await scene.settle(task, lifecycle.park)
        (again,) = await scene.claim("w1", Wanted(task.type))
        assert again.checkpoint == b'{"row":2}'
        assert (again.task.attempt, again.task.epoch) == (1, 2)

    async def test_a_next_run_begins_without_checkpoint_and_traceback(self, scene: Scene) -> None:
        task = await scene.run(trigger=Trigger(every=HOUR, anchor=START))
        await scene.report(task, checkpoint=b"1")
        await scene.settle(task, lifecycle.fail, failure=FAILURE, traceback="Traceback …")
        (cold,) = await scene.store.cold([task.id], EVERYTHING, now=scene.now)
        assert cold is not None
        assert (cold.checkpoint, cold.traceback) == (b"1", "Traceback …")
        scene.now += HOUR
        await scene.store.enqueue_due(now=scene.now, limit=10)
        (cold,) = await scene.store.cold([task.id], EVERYTHING, now=scene.now)
        assert cold is not None
        assert (cold.checkpoint, cold.traceback) == (None, None)

    async def test_p2_what_comes_late_changes_nothing(self, scene: Scene) -> None:
        stale = await scene.run("w1")
        await scene.store.dismiss("w1", now=scene.now)
        await scene.enlist("w2")
        (fresh,) = await scene.claim("w2", Wanted(stale.type))
        log = await scene.log(stale)
        late: list[tuple[Any, dict[str, Any]]] = [
            (lifecycle.succeed, {"result": json_result(1)}),
            (lifecycle.report, {"report": Report(entries=(line("late"),), checkpoint=b"late")}),
            (lifecycle.fail, {"failure": FAILURE, "traceback": "late"}),
            (lifecycle.park, {}),
        ]
        for change, arguments in late:
            assert isinstance(await scene.try_settle(stale, change, **arguments), LeaseLost)
        assert await scene.get(stale) == fresh.task
        assert await scene.log(stale) == log
        (cold,) = await scene.store.cold([stale.id], EVERYTHING, now=scene.now)
        assert cold is not None
        assert (cold.checkpoint, cold.traceback) == (None, None)

    async def test_p2_a_lost_lease_stops_nothing_else_of_a_batch(self, scene: Scene) -> None:
        first, lost, last = [await scene.run() for _ in range(3)]
        await scene.succeed(lost)
        now = scene.now
        edits = [
            LeasedEdit(task.id, task.epoch, lambda t: lifecycle.succeed(t, now=now)) for task in (first, lost, last)
        ]
        edits.append(LeasedEdit(new_id(), 1, lambda t: lifecycle.succeed(t, now=now)))
        kinds = [type(outcome) for outcome in await scene.store.change_leased(edits, now=now)]
        assert kinds == [Task, LeaseLost, Task, LeaseLost]

    async def test_what_can_t_be_written_is_told_from_a_store_that_can_t_write(self, scene: Scene) -> None:
        good, bad = await scene.run(), await scene.run(max_attempts=2)

        def too_late(task: Task) -> Step:
            return lifecycle.fail(task, now=START, failure=FAILURE, retry_in=2**63)

        def broken(task: Task) -> Step:
            raise LookupError(task.id)

        edits = [
            LeasedEdit(good.id, good.epoch, lambda t: lifecycle.report(t, now=START, report=Report(message="good"))),
            LeasedEdit(bad.id, bad.epoch, lambda t: lifecycle.report(t, now=START, report=Report(message="\ud800"))),
        ]
        with pytest.raises(NotStorable, match="surrogates not allowed"):
            await scene.store.change_leased(edits, now=scene.now)
        for change in (too_late, broken):
            with pytest.raises(NotStorable):
                await scene.store.change_leased([LeasedEdit(bad.id, bad.epoch, change)], now=scene.now)
        assert [await scene.read(task) for task in (good, bad)] == [good, bad]

    async def test_p3_a_settled_task_takes_no_second_outcome(self, scene: Scene) -> None:
        task = await scene.run()
        done = await scene.succeed(task, json_result("first"))
        assert isinstance(await scene.try_settle(task, lifecycle.fail, failure=FAILURE), LeaseLost)
        assert await scene.get(task) == done

    async def test_a_report_of_nothing_keeps_the_version(self, scene: Scene) -> None:
        task = await scene.run()
        edit = LeasedEdit(task.id, task.epoch, lambda t: lifecycle.Step(t))
        assert await scene.store.change_leased([edit], now=scene.now) == [task]

    # Requests.

    async def test_p5_cancel_and_pause_are_requests_until_the_work_has_stopped(self, scene: Scene) -> None:
        to_cancel, to_pause = await scene.run(), await scene.run()
        asked = await scene.change(to_cancel, lifecycle.cancel)
        assert (asked.state, asked.cancel_requested) == (State.RUNNING, True)
        await scene.change(to_pause, lifecycle.pause)
        assert await scene.store.requests("w1") == [
            Request(to_cancel.id, 1, cancel=True, pause=False),
            Request(to_pause.id, 1, cancel=False, pause=True),
        ]
        assert await scene.store.requests("w2") == []
        stopped = await scene.settle(to_cancel, lifecycle.park)
        halted = await scene.settle(to_pause, lifecycle.park)
        assert (stopped.state, stopped.cancel_requested) == (State.CANCELLED, False)
        assert (halted.state, halted.pause_requested) == (State.PAUSED, False)
        assert await scene.store.requests("w1") == []

    async def test_p5_work_that_finished_first_has_succeeded(self, scene: Scene) -> None:
        task = await scene.run()
        await scene.change(task, lifecycle.cancel)
        assert (await scene.succeed(task)).state is State.SUCCEEDED

    # How leases end.

    async def test_p2_the_tasks_of_a_lease_that_ran_out_are_queued_again(self, scene: Scene, other: Scene) -> None:
        task = await scene.run()
        assert await scene.store.rescue([], now=scene.now + DAY) == []
        assert await other.store.rescue(await other.store.pulses(), now=scene.now) == [task.id]
        lost = await scene.read(task)
        assert (lost.state, lost.losses, lost.worker) == (State.QUEUED, 1, None)
        assert await scene.store.pulses() == []
        assert await scene.store.rescue([], now=scene.now) == []
        assert whole(await scene.log(task))

    async def test_p2_a_task_that_takes_its_workers_down_fails(self, scene: Scene) -> None:
        task = await scene.run("w1")
        for worker in ("w1", "w2", "w3"):
            await scene.enlist(worker)
            await scene.claim(worker, Wanted(task.type))
            assert await scene.store.dismiss(worker, now=scene.now) == [task.id]
        failed = await scene.read(task)
        assert failed.state is State.FAILED
        assert failed.failure is not None
        assert failed.failure.code == "worker_lost"

    async def test_p2_neighbours_that_take_workers_down_do_not_fail_a_task(self, scene: Scene) -> None:
        await scene.enlist("w1")
        task = await scene.start()
        for number in range(1, 6):
            culprit = await scene.start()
            await scene.enlist(f"w{number}")
            await scene.claim(f"w{number}", Wanted(task.type), limit=2)
            lost = await scene.store.rescue(await scene.store.pulses(), now=scene.now)
            assert set(lost) == {task.id, culprit.id}
            await scene.change(culprit, lifecycle.cancel)
        found = await scene.read(task)
        assert (found.state, found.losses) == (State.QUEUED, 5)

    async def test_p2_what_no_other_process_can_run_fails_with_its_workers_also_in_company(self, scene: Scene) -> None:
        task = await scene.start()
        for worker in ("w1", "w2", "w3"):
            neighbour = await scene.start()
            await scene.enlist(worker)
            await scene.claim(worker, Wanted(task.type, can_run_apart=False), limit=2)
            await scene.store.dismiss(worker, now=scene.now)
            await scene.change(neighbour, lifecycle.cancel)
        assert (await scene.read(task)).state is State.FAILED

    async def test_dismissing_says_which_tasks_are_lost(self, scene: Scene) -> None:
        task = await scene.run("w1")
        kept = await scene.run("w2")
        assert await scene.store.dismiss("w1", now=scene.now) == [task.id]
        assert (await scene.read(kept)).state is State.RUNNING
        assert await scene.store.dismiss("w1", now=scene.now) == []
        assert await scene.store.dismiss("nobody", now=scene.now) == []

    async def test_a_client_that_fell_silent_loses_its_task(self, scene: Scene) -> None:
        task = await scene.start(runner="external", lease_seconds=60, state=State.RUNNING)
        for_ever = await scene.start(runner="external", state=State.RUNNING)
        scene.now += 30 * SECOND
        await scene.change(task, lifecycle.drive, state=State.RUNNING, report=Report(progress=0.5))
        scene.now += 59 * SECOND
        assert await scene.store.rescue([], now=scene.now) == []
        scene.now += SECOND
        assert await scene.store.rescue([], now=scene.now) == [task.id]
        assert (await scene.read(task)).state is State.QUEUED
        scene.now += 365 * DAY
        assert await scene.store.rescue([], now=scene.now) == []
        assert (await scene.read(for_ever)).state is State.RUNNING

    # Hearts.

    async def test_a_heart_keeps_the_lease_from_a_thread_of_its_own(self, scene: Scene) -> None:
        await scene.enlist()
        answers: list[bool] = []

        def beat() -> None:
            heart = scene.store.heart()
            try:
                answers.extend(heart.beat("w1") for _ in range(3))
            finally:
                heart.close()

        thread = threading.Thread(target=beat)
        thread.start()
        await bounded(asyncio.to_thread(thread.join))
        assert answers == [True, True, True]
        (pulse,) = await scene.store.pulses()
        assert (pulse.worker.id, pulse.beats) == ("w1", 3)

    async def test_a_late_beat_keeps_a_lease_that_nobody_has_ended(self, scene: Scene, other: Scene) -> None:
        task = await scene.run()
        silent = await other.store.pulses()
        scene.now += 2 * LEASE
        assert await asyncio.to_thread(self._beat, scene, "w1")
        assert await other.store.rescue(silent, now=scene.now) == []
        await scene.succeed(task)

    @pytest.mark.parametrize("end", ["rescued", "dismissed", "never there"])
    async def test_p2_nothing_brings_a_lease_back(self, scene: Scene, end: str) -> None:
        if end != "never there":
            await scene.enlist()
        if end == "rescued":
            await scene.store.rescue(await scene.store.pulses(), now=scene.now)
        if end == "dismissed":
            await scene.store.dismiss("w1", now=scene.now)
        assert not await asyncio.to_thread(self._beat, scene, "w1")
        assert isinstance(await scene.store.claim("w1", [], limit=1, now=scene.now), LeaseLost)

    @staticmethod
    def _beat(scene: Scene, worker: str) -> bool:
        heart = scene.store.heart()
        try:
            return heart.beat(worker)
        finally:
            heart.close()

    async def test_workers_are_those_whose_lease_holds(self, scene: Scene, other: Scene) -> None:
        one = WorkerInfo("w1", "here", 11, 4, ("export", "backup"))
        two = WorkerInfo("w2", "there", 12, 1, ())
        await scene.store.enlist(one)
        await scene.store.enlist(two)
        assert await other.store.workers() == [one, two]
        await scene.store.dismiss("w2", now=START)
        assert await other.store.workers() == [one]
