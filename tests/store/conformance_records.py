"""Conformance: how records are made and changed."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from milepost import lifecycle
from milepost.lifecycle import IllegalChange, Step
from milepost.store.protocol import EVERYTHING, Created, Creation, Edit, IdempotencyKey
from milepost.store.refusals import DependencyMissing, KeyOutlived, KeyReused, Missing, UniqueKeyTaken, VersionMismatch
from milepost.task import Counts, Entry, State, Task
from milepost.times import DAY, HOUR, SECOND
from milepost.trigger import Trigger

from .scene import ACME, ANN, BOB, OTHER, START, MakeStore, Scene, bounded, draft, json_result, line, new_id, whole

KEY = IdempotencyKey("k1", b"body one", START + DAY)


def _apply(change: Callable[..., Step], task: Task, _: tuple[str, ...]) -> Step:
    return change(task, now=START)


class Records:
    """Starts, changes of callers, keys."""

    async def test_p1_a_start_is_readable_at_once_in_every_process(self, scene: Scene, other: Scene) -> None:
        task = await scene.start()
        assert await scene.get(task) == task
        assert await other.get(task) == task

    async def test_p1_a_start_outlives_the_process(self, make_store: MakeStore) -> None:
        store = await make_store()
        task = await Scene(store).start(input=b'{"rows":5}')
        await store.close()
        scene = Scene(await make_store())
        assert await scene.get(task) == task
        assert [cold.input for cold in await scene.store.cold([task.id], EVERYTHING, now=START) if cold] == [
            b'{"rows":5}'
        ]

    async def test_what_is_sealed_of_an_input_comes_with_it(self, scene: Scene) -> None:
        made = await scene.try_start(draft(), input=b'{"a":"***"}', sealed=b"\0sealed")
        assert isinstance(made, Created)
        plain = await scene.start()
        found = await scene.store.cold([made.task.id, plain.id], EVERYTHING, now=scene.now)
        assert [cold and (cold.input, cold.sealed) for cold in found] == [(b'{"a":"***"}', b"\0sealed"), (b"{}", None)]
        await scene.enlist()
        claimed = await scene.claim()
        assert {each.task.id: each.sealed for each in claimed} == {made.task.id: b"\0sealed", plain.id: None}

    async def test_every_field_of_a_record_comes_back(self, scene: Scene, other: Scene) -> None:
        given = draft(
            parent=new_id(),
            origin="quant",
            runner="external",
            title="Übersicht",
            description="d" * 10_000,
            list_id="l1",
            assignee="ann",
            creator="bob",
            metadata={"a": [1, 2.5, None, {"b": True}], "ü": "\x00 and \U0001f600"},
            debug="x",
            progress=0.25,
            message="half way",
            counts=Counts(3, 10, 1, 1),
            trigger=Trigger(every=HOUR, anchor=START + 5),
            run_at=START + 5,
            run=3,
            priority=-(2**31),
            timeout=2**50,
            start_by=START + HOUR,
            max_attempts=7,
            unique_key="u1",
            on_dependency_failure="stay",
            lease_seconds=60,
            keep_result=1,
            keep_record=2**52,
        )
        outcome = await scene.try_start(given)
        assert isinstance(outcome, Created)
        task = outcome.task
        expected = lifecycle.begin(replace(given, number=task.number), now=START).task
        logged = ("log_seq", "log_bytes")
        assert asdict(task) == {**asdict(expected), **{name: getattr(task, name) for name in logged}}
        assert await other.get(task) == task

    async def test_the_begin_of_a_start_gets_number_and_unmet_dependencies(self, scene: Scene) -> None:
        waited_for = await scene.start()
        seen: list[Task] = []

        def begin(task: Task) -> Step:
            seen.append(task)
            return lifecycle.begin(task, now=START)

        await scene.store.create(
            [Creation(draft(depends_on=(waited_for.id,)), b"{}", begin, EVERYTHING)], now=scene.now
        )
        assert seen[0].number == 2
        assert seen[0].blocked_by == (waited_for.id,)

    async def test_numbers_ascend_within_a_tenant_from_1(self, scene: Scene, other: Scene) -> None:
        numbers = [(await where.start(tenant=tenant)).number for where in (scene, other) for tenant in "aabab"]
        assert numbers == [1, 2, 1, 3, 2, 4, 5, 3, 6, 4]

    async def test_a_number_is_not_given_again_after_a_deletion(self, scene: Scene) -> None:
        task = await scene.succeeded()
        await scene.delete(task)
        assert (await scene.start()).number > task.number

    async def test_a_batch_is_answered_in_order_one_outcome_an_item(self, scene: Scene) -> None:
        drafts = [draft(), draft(depends_on=(new_id(),)), draft(unique_key="u"), draft(unique_key="u"), draft()]
        outcomes = await scene.store.create(
            [Creation(task, b"{}", lambda t: lifecycle.begin(t, now=START), EVERYTHING) for task in drafts], now=START
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Created, DependencyMissing, Created, UniqueKeyTaken, Created]
        found = await scene.store.get([task.id for task in drafts], EVERYTHING, now=START)
        assert [task is not None for task in found] == [True, False, True, False, True]

    async def test_an_empty_batch_has_no_outcomes(self, scene: Scene) -> None:
        assert await scene.store.create([], now=START) == []
        assert await scene.store.change([], now=START) == []
        assert await scene.store.change_leased([], now=START) == []
        assert await scene.store.delete([], now=START) == []
        assert await scene.store.get([], EVERYTHING, now=START) == []

    async def test_what_is_refused_changes_nothing(self, scene: Scene) -> None:
        task = await scene.start()
        before = await scene.log(task)

        def break_off(task: Task, _: tuple[str, ...]) -> Step:
            raise IllegalChange("cancel", task)

        outcome = await scene.try_change(task, break_off, depends_on=())
        assert isinstance(outcome, IllegalChange)
        assert await scene.get(task) == task
        assert await scene.log(task) == before

    async def test_an_error_in_a_call_leaves_those_of_others_alone(self, scene: Scene) -> None:
        def fail(task: Task) -> Step:
            raise ZeroDivisionError

        def begin(task: Task) -> Step:
            return lifecycle.begin(task, now=START)

        lost, kept = draft(), draft()
        with_error = scene.store.create(
            [Creation(lost, b"{}", begin, EVERYTHING), Creation(draft(), b"{}", fail, EVERYTHING)], now=START
        )
        without = scene.store.create([Creation(kept, b"{}", begin, EVERYTHING)], now=START)
        error, outcome = await asyncio.gather(with_error, without, return_exceptions=True)
        assert isinstance(error, ZeroDivisionError)
        assert not isinstance(outcome, BaseException)
        assert await scene.get(lost) is None
        assert await scene.get(kept) is not None

    # Changes.

    async def test_a_change_is_seen_by_every_process(self, scene: Scene, other: Scene) -> None:
        task = await scene.start()
        changed = await scene.change(task, lifecycle.relabel, title="new", metadata={"k": 1})
        assert (changed.title, changed.metadata, changed.version) == ("new", {"k": 1}, 2)
        assert await other.get(task) == changed

    async def test_p4_versions_rise_by_one_however_many_write(self, scene: Scene, other: Scene) -> None:
        task = await scene.start()

        async def write(where: Scene) -> list[Any]:
            return [(await where.change(task, lifecycle.relabel, title=str(n))).version for n in range(20)]

        mine, theirs = await bounded(asyncio.gather(write(scene), write(other)))
        assert mine == sorted(mine)
        assert sorted(mine + theirs) == list(range(2, 42))
        assert (await scene.read(task)).version == 41

    async def test_p4_nobody_is_shown_an_older_version(self, scene: Scene, other: Scene) -> None:
        task = await scene.start()
        for n in range(20):
            written = await scene.change(task, lifecycle.relabel, title=str(n))
            assert (await other.read(task)).version >= written.version
            page = await other.store.log(task.id, EVERYTHING, limit=1, now=START)
            assert page is not None
            assert page.task.version >= written.version

    async def test_a_change_of_nothing_keeps_the_version(self, scene: Scene, other: Scene) -> None:
        task = await scene.start()
        assert await scene.try_change(task, lambda t, _: Step(t)) == task
        assert await other.get(task) == task

    async def test_if_version_refuses_a_lost_update(self, scene: Scene) -> None:
        task = await scene.start()
        newer = await scene.change(task, lifecycle.relabel, title="new")

        def relabel(task: Task, _: tuple[str, ...]) -> Step:
            return lifecycle.relabel(task, now=START, title="newest")

        assert isinstance(await scene.try_change(task, relabel, if_version=1), VersionMismatch)
        assert await scene.get(task) == newer
        outcome = await scene.try_change(task, relabel, if_version=2)
        assert isinstance(outcome, Task)
        assert outcome.title == "newest"

    async def test_each_change_writes_its_entries_with_its_version(self, scene: Scene) -> None:
        task = await scene.run()
        await scene.report(task, entries=(line("one", n=1), line("two")))
        await scene.report(task, progress=0.5)
        done = await scene.succeed(task)
        entries = await scene.log(task)
        assert whole(entries)
        assert [(e.kind, e.version) for e in entries] == [
            ("state", 1),
            ("state", 2),
            ("log", 3),
            ("log", 3),
            ("outcome", 5),
            ("state", 5),
        ]
        assert (entries[2].message, entries[2].fields) == ("one", {"n": 1})
        assert [(e.source, e.target) for e in entries if e.kind == "state"] == [
            (None, State.QUEUED),
            (State.QUEUED, State.RUNNING),
            (State.RUNNING, State.SUCCEEDED),
        ]
        assert done.log_seq == len(entries)

    async def test_p3_a_terminal_record_takes_labels_only(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result({"n": 1}))
        for change in (lifecycle.cancel, lifecycle.pause, lifecycle.resume, lifecycle.retry):
            outcome = await scene.try_change(task, partial(_apply, change))
            assert isinstance(outcome, IllegalChange)
        assert await scene.get(task) == task
        log = await scene.log(task)
        labelled = await scene.change(task, lifecycle.relabel, title="t", list_id="l", assignee="ann")
        assert replace(labelled, title=None, list_id=None, assignee=None, version=task.version) == task
        assert await scene.log(task) == log

    # Who may see what.

    async def test_p6_a_task_that_one_may_not_see_does_not_exist(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result(1))
        there, absent = task.id, new_id()
        for scope in (ANN, OTHER):
            for one in (there, absent):
                assert await scene.get(one, scope) is None
                assert await scene.store.cold([one], scope, now=START) == [None]
                assert await scene.store.result(one, scope, now=START) is None
                assert await scene.store.log(one, scope, limit=10, now=START) is None
                edit = Edit(one, scope, lambda t, _: lifecycle.relabel(t, now=START), if_version=99)
                (changed,) = await scene.store.change([edit], now=START)
                deleted = await scene.delete(replace(task, id=one), scope=scope)
                waiting = await scene.try_start(draft(depends_on=(one,)), scope=scope)
                assert (type(changed), type(deleted), type(waiting)) == (Missing, Missing, DependencyMissing)
                assert await scene.find(scope, depends_on=one) == []
            assert await scene.find(scope) == []
            assert await scene.store.tally(scope, now=START) == []

    async def test_p6_the_role_user_sees_its_own_and_what_is_assigned_to_it(self, scene: Scene) -> None:
        own = await scene.start()
        assigned = await scene.start(owner="ann", assignee="bob")
        foreign = await scene.start(owner="ann")
        elsewhere = await scene.start(tenant="other")
        seen = await scene.store.get([t.id for t in (own, assigned, foreign, elsewhere)], BOB, now=START)
        assert [task is not None for task in seen] == [True, True, False, False]
        assert await scene.find(BOB) == [assigned.id, own.id]
        everything = await scene.store.get([t.id for t in (own, assigned, foreign, elsewhere)], ACME, now=START)
        assert [task is not None for task in everything] == [True, True, True, False]

    async def test_p6_who_loses_the_assignment_loses_the_task(self, scene: Scene) -> None:
        task = await scene.start(owner="ann", assignee="bob")
        await scene.change(task, lifecycle.relabel, assignee=None)
        assert await scene.get(task, BOB) is None

    # Keys.

    async def test_a_unique_key_is_taken_while_its_task_is_not_finished(self, scene: Scene, other: Scene) -> None:
        task = await scene.run(unique_key="u")
        same: dict[str, Any] = {"type": task.type, "unique_key": "u"}
        refused = await other.try_start(draft(**same))
        assert isinstance(refused, UniqueKeyTaken)
        assert refused.task_id == task.id
        await scene.start(**same, owner="ann")
        await scene.start(**same, tenant="other")
        await scene.start(type="other", unique_key="u")
        await scene.start(type=task.type, unique_key="v")
        await scene.fail(task)
        await scene.start(**same)

    async def test_a_unique_key_stays_taken_between_runs(self, scene: Scene) -> None:
        await scene.succeeded(trigger=Trigger(every=HOUR, anchor=START), unique_key="u", type="backup")
        assert isinstance(await scene.try_start(draft(type="backup", unique_key="u")), UniqueKeyTaken)

    async def test_a_retry_is_refused_once_another_has_the_unique_key(self, scene: Scene) -> None:
        first = await scene.failed(unique_key="u", type="backup")
        second = await scene.start(unique_key="u", type="backup")
        refused = await scene.try_change(first, lambda t, unmet: lifecycle.retry(t, now=START, unmet=unmet))
        assert isinstance(refused, UniqueKeyTaken)
        assert refused.task_id == second.id
        assert await scene.get(first) == first

    async def test_p9_the_same_key_and_body_give_the_same_task(self, scene: Scene, other: Scene) -> None:
        first = await scene.try_start(draft(), key=KEY)
        await scene.change(first.task, lifecycle.relabel, title="changed since")  # type: ignore[union-attr]
        again = await other.try_start(draft(), key=KEY)
        assert isinstance(first, Created)
        assert isinstance(again, Created)
        assert (first.replayed, again.replayed) == (False, True)
        assert again.task == await scene.get(first.task)
        assert again.task.title == "changed since"

    async def test_p9_another_body_is_refused(self, scene: Scene) -> None:
        await scene.try_start(draft(), key=KEY)
        assert isinstance(await scene.try_start(draft(), key=replace(KEY, fingerprint=b"two")), KeyReused)
        assert len(await scene.find()) == 1

    @pytest.mark.parametrize("other", [{"owner": "ann"}, {"tenant": "other"}, {"type": "backup"}])
    async def test_p9_a_key_belongs_to_owner_tenant_and_type(self, scene: Scene, other: dict[str, str]) -> None:
        await scene.try_start(draft(), key=KEY)
        outcome = await scene.try_start(draft(**other), key=KEY)
        assert isinstance(outcome, Created)
        assert not outcome.replayed

    async def test_p9_what_a_key_stands_for_is_recalled(self, scene: Scene) -> None:
        async def recall(key: IdempotencyKey = KEY) -> object:
            return await scene.store.recall(task.tenant, task.owner, task.type, key, now=scene.now)

        task = draft()
        assert await recall() is None
        first = await scene.try_start(task, key=KEY)
        assert isinstance(first, Created)
        assert await recall() == Created(first.task, replayed=True)
        assert isinstance(await recall(replace(KEY, fingerprint=b"two")), KeyReused)
        assert isinstance(await recall(replace(KEY, key="k2")), type(None))

    async def test_p9_a_key_outlives_the_deletion_of_its_task(self, scene: Scene) -> None:
        key = replace(KEY, expires_at=START + 60 * DAY)
        first = await scene.try_start(draft(), key=key)
        assert isinstance(first, Created)
        await scene.change(first.task, lifecycle.cancel)
        await scene.delete(first.task)
        assert isinstance(await scene.try_start(draft(), key=key), KeyOutlived)

    async def test_p9_a_key_is_forgotten_after_its_time(self, scene: Scene) -> None:
        first = await scene.try_start(draft(), key=KEY)
        scene.now = KEY.expires_at - 1
        still = await scene.try_start(draft(), key=KEY)
        scene.now = KEY.expires_at
        fresh = await scene.try_start(draft(), key=replace(KEY, expires_at=scene.now + DAY))
        later = await scene.try_start(draft(), key=KEY)
        assert isinstance(first, Created)
        assert isinstance(still, Created)
        assert isinstance(fresh, Created)
        assert isinstance(later, Created)
        assert still.task.id == first.task.id
        assert not fresh.replayed
        assert later.task.id == fresh.task.id

    async def test_p9_a_refused_start_does_not_use_up_its_key(self, scene: Scene) -> None:
        assert isinstance(await scene.try_start(draft(depends_on=(new_id(),)), key=KEY), DependencyMissing)
        outcome = await scene.try_start(draft(), key=KEY)
        assert isinstance(outcome, Created)
        assert not outcome.replayed

    async def test_p9_calls_in_flight_together_make_one_task(self, scene: Scene, other: Scene) -> None:
        starts = [where.try_start(draft(), key=KEY) for where in (scene, other) * 10]
        outcomes = await bounded(asyncio.gather(*starts))
        assert len({outcome.task.id for outcome in outcomes}) == 1
        assert sorted(outcome.replayed for outcome in outcomes) == [False] + [True] * 19

    # External tasks, driven by their clients.

    async def test_an_external_task_is_driven_by_its_client(self, scene: Scene) -> None:
        task = await scene.start(runner="external", lease_seconds=60, state=State.RUNNING)
        assert task.leased_until == START + 60 * SECOND
        scene.now += SECOND
        driven = await scene.change(task, lifecycle.drive, state=State.SUCCEEDED, result=json_result([1]))
        assert driven.state is State.SUCCEEDED
        assert await scene.store.result(task.id, EVERYTHING, now=scene.now) == b"[1]"
        again = await scene.change(task, lifecycle.drive, state=State.QUEUED)
        assert again.result is None
        assert await scene.store.result(task.id, EVERYTHING, now=scene.now) is None
        assert whole(await scene.log(task))

    async def test_the_log_of_a_start_tells_its_first_state(self, scene: Scene) -> None:
        task = await scene.start(run_at=START + HOUR)
        assert await scene.log(task) == [Entry(START, "state", 0, target=State.SCHEDULED, seq=1, version=1)]
