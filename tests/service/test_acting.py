"""How does a service change tasks?"""

from typing import Any

import msgspec
import pytest

from milepost import errors
from milepost.access.principal import LOCAL
from milepost.start import Start
from milepost.store.workers import Wanted
from milepost.task import Counts, Failure, State, Task
from milepost.times import SECOND
from milepost.update import Update
from tests.service.hands import ADA, EVE, MIA, NOW, ROOT, Hands, read


async def test_a_running_or_ended_task_takes_labels_only(hands: Hands) -> None:
    task = await hands.start()
    await hands.claim()
    for update in (Update(blocked_reason="x"), Update(depends_on=()), Update(state=State.RUNNING)):
        with pytest.raises(errors.Conflict):
            await hands.service.update(LOCAL, task.id, update)
    assert (await hands.service.get(LOCAL, task.id)).version == 2


async def test_what_is_said_of_an_external_task_has_to_fit_together(hands: Hands) -> None:
    created = await hands.service.start(LOCAL, Start(type="agent", runner="external"), origin="native")
    one = msgspec.Raw(b"1")
    for update in (Update(result=one), Update(state=State.SUCCEEDED, failure=Failure("a", "b"))):
        with pytest.raises(errors.Conflict):
            await hands.service.update(LOCAL, created.task.id, update)
    done = await hands.service.update(LOCAL, created.task.id, Update(state=State.SUCCEEDED, result=one))
    with pytest.raises(errors.Conflict, match="only labels"):
        await hands.service.update(LOCAL, done.id, Update(message="late"))


async def test_a_reason_does_not_outlive_what_it_names(hands: Hands) -> None:
    first, second = await hands.start(), await hands.start()
    third = await hands.start(depends_on=(first.id,))
    changed = await hands.service.update(LOCAL, third.id, Update(depends_on=(second.id,)))
    assert changed.blocked_by == (second.id,)
    assert first.id not in (changed.blocked_reason or "")


async def test_pause_resume_cancel_and_retry(hands: Hands) -> None:
    task = await hands.start()
    assert (await hands.service.pause(LOCAL, task.id)).state is State.PAUSED
    assert (await hands.service.resume(LOCAL, task.id)).state is State.QUEUED
    assert (await hands.service.cancel(LOCAL, task.id)).state is State.CANCELLED
    assert (await hands.service.retry(LOCAL, task.id)).state is State.QUEUED
    await hands.run()
    for act in (hands.service.pause, hands.service.resume, hands.service.cancel, hands.service.retry):
        with pytest.raises(errors.Conflict) as refused:
            await act(LOCAL, task.id)
        assert refused.value.facts == {"state": "succeeded"}


async def test_deleting_is_for_admins_and_not_while_others_depend(hands: Hands) -> None:
    first = await hands.start(ROOT)
    second = await hands.start(ROOT, depends_on=(first.id,))
    with pytest.raises(errors.Forbidden):
        await hands.service.delete(MIA, first.id)
    with pytest.raises(errors.Conflict):
        await hands.service.delete(ROOT, first.id)
    await hands.run()
    with pytest.raises(errors.DependentsConflict) as refused:
        await hands.service.delete(ROOT, first.id)
    assert refused.value.facts == {"dependents": [second.id]}
    await hands.run()
    assert set((await hands.service.delete(ROOT, first.id, cascade=True)).ids) == {first.id, second.id}


async def test_p3_labels_of_an_ended_task_may_change(hands: Hands) -> None:
    task = await hands.start(metadata={"a": 1})
    done = await hands.run()
    changed = await hands.service.update(LOCAL, task.id, Update(title="T", metadata=None, list_id="l"))
    assert changed == msgspec.structs.replace(
        done, title="T", metadata=None, list_id="l", version=done.version + 1, updated_at=changed.updated_at
    )
    with pytest.raises(errors.PreconditionFailed):
        await hands.service.update(LOCAL, task.id, Update(title="U"), if_version=done.version)


async def test_a_client_may_hold_and_free_what_the_engine_runs_but_not_drive_it(hands: Hands) -> None:
    task = await hands.start()
    held = await hands.service.update(
        LOCAL, task.id, Update(state=State.BLOCKED, blocked_reason="Needs a look", title="T")
    )
    assert (held.state, held.blocked_reason, held.title, held.version) == ("blocked", "Needs a look", "T", 2)
    free = await hands.service.update(LOCAL, task.id, Update(state=State.QUEUED))
    assert (free.state, free.blocked_reason, free.version) == ("queued", None, 3)
    for update in (Update(progress=0.5), Update(state=State.SUCCEEDED), Update(state=State.RUNNING, message="m")):
        with pytest.raises(errors.Conflict):
            await hands.service.update(LOCAL, task.id, update)
    await hands.claim()
    with pytest.raises(errors.Conflict):
        await hands.service.update(LOCAL, task.id, Update(state=State.BLOCKED))


async def test_dependencies_of_a_waiting_task_may_change(hands: Hands) -> None:
    first, second = await hands.start(), await hands.start()
    blocked = await hands.service.update(LOCAL, second.id, Update(depends_on=(first.id,)))
    assert (blocked.state, blocked.blocked_by, blocked.depends_on) == ("blocked", (first.id,), (first.id,))
    free = await hands.service.update(LOCAL, second.id, Update(depends_on=()))
    assert (free.state, free.blocked_by, free.depends_on) == ("queued", (), ())


async def test_an_external_task_is_driven_by_its_client(hands: Hands) -> None:
    created = await hands.service.start(LOCAL, Start(type="agent", runner="external"), origin="native")

    async def update(**fields: Any) -> Task:
        return await hands.service.update(LOCAL, created.task.id, Update(**fields))

    running = await update(state=State.RUNNING, lease_seconds=30)
    assert (running.state, running.attempt, running.started_at) == ("running", 1, NOW)
    assert running.leased_until == NOW + 30 * SECOND
    told = await update(progress=0.5, message="Half", counts=Counts(1, 2), title="T")
    assert (told.progress, told.message, told.counts, told.title) == (0.5, "Half", Counts(1, 2), "T")
    asked = await hands.service.cancel(LOCAL, created.task.id)
    assert (asked.state, asked.cancel_requested) == ("running", True)
    done = await update(state=State.SUCCEEDED, result=msgspec.Raw(b'{"ok":true}'))
    assert (done.state, done.cancel_requested) == ("succeeded", False)
    assert await read(await hands.service.result(LOCAL, created.task.id)) == b'{"ok":true}'
    with pytest.raises(errors.Conflict):
        await update(progress=0.7)
    again = await update(state=State.QUEUED)
    assert (again.state, again.result, again.progress) == ("queued", None, 0.0)
    failed = await update(state=State.FAILED, failure=Failure("bad", "It went badly."))
    assert failed.failure == Failure("bad", "It went badly.")


async def test_an_update_names_every_field_that_is_wrong(hands: Hands) -> None:
    task = await hands.start()
    update = Update(title="x" * 10_001, depends_on=("no id", *[task.id] * 1000))
    with pytest.raises(errors.Invalid) as refused:
        await hands.service.update(LOCAL, task.id, update)
    assert [fault.pointer for fault in refused.value.faults] == ["/title", "/depends_on/0", "/depends_on"]
    assert await hands.service.update(LOCAL, task.id, Update()) == task


async def test_a_retry_can_leave_those_alone_that_failed_because_of_it(hands: Hands) -> None:
    root = await hands.start()
    task = await hands.start(depends_on=(root.id,))
    await hands.fail()
    await hands.service.retry(LOCAL, root.id, revive=False)
    assert (await hands.service.get(LOCAL, task.id)).state is State.FAILED
    await hands.service.cancel(LOCAL, root.id)
    await hands.service.retry(LOCAL, root.id)
    assert (await hands.service.get(LOCAL, task.id)).state is State.BLOCKED


async def test_only_a_service_pauses_a_type(hands: Hands) -> None:
    for who in (ADA, MIA, ROOT):
        for call in (hands.service.pause_type, hands.service.resume_type):
            with pytest.raises(errors.Forbidden):
                await call(who, "job")
            with pytest.raises(errors.Forbidden):
                await call(who, "absent")
    with pytest.raises(errors.NotFound):
        await hands.service.pause_type(LOCAL, "absent")
    assert (await hands.service.pause_type(LOCAL, "job")).paused
    await hands.start()
    assert await hands.store.claim("w", [Wanted("job")], limit=1, now=hands.now) == []
    assert not (await hands.service.resume_type(LOCAL, "job")).paused
    assert (await hands.claim()).task.type == "job"


async def test_an_update_asks_what_the_engine_runs_to_stop_go_on_and_begin_again(hands: Hands) -> None:
    async def update(task: Task, **fields: Any) -> Task:
        return await hands.service.update(LOCAL, task.id, Update(**fields))

    task, child = await hands.start(), await hands.start()
    await hands.service.pause(LOCAL, task.id)
    resumed = await update(task, state=State.QUEUED, title="T")
    assert (resumed.state, resumed.title, resumed.version) == ("queued", "T", 3)
    child = await update(child, depends_on=(task.id,))
    cancelled = await update(task, state=State.CANCELLED)
    assert (cancelled.state, cancelled.version) == ("cancelled", 4)
    assert (await update(task, state=State.CANCELLED)).version == 4
    assert (await hands.service.get(LOCAL, child.id)).state is State.FAILED
    again = await update(task, state=State.QUEUED, failure=None, result=None)
    assert (again.state, again.version) == ("queued", 5)
    assert (await hands.service.get(LOCAL, child.id)).state is State.BLOCKED
    other = await hands.start()
    await update(child, state=State.CANCELLED)
    waits = await update(child, state=State.QUEUED, depends_on=(other.id,))
    assert (waits.state, waits.blocked_by) == ("blocked", (other.id,))
    await hands.claim()
    asked = await update(task, state=State.CANCELLED)
    assert (asked.state, asked.cancel_requested) == ("running", True)
    relabelled = await update(task, state=State.CANCELLED, title="U")
    assert (relabelled.title, relabelled.version) == ("U", asked.version + 1)


async def test_what_is_asked_of_the_engine_is_asked_alone(hands: Hands) -> None:
    task, other = await hands.start(), await hands.start()
    beside: list[dict[str, Any]] = [{"blocked_reason": "x"}, {"blocked_by": (other.id,)}, {"depends_on": (other.id,)}]
    for said in beside:
        with pytest.raises(errors.Conflict, match="A cancel takes no"):
            await hands.service.update(LOCAL, task.id, Update(state=State.CANCELLED, **said))
    assert await hands.service.get(LOCAL, task.id) == task


async def test_what_blocks_a_task_is_named_by_who_frees_it(hands: Hands) -> None:
    async def update(**fields: Any) -> Task:
        return await hands.service.update(LOCAL, task.id, Update(**fields))

    first, other = await hands.start(), await hands.start()
    task = await hands.start(depends_on=(first.id,))
    with pytest.raises(errors.Conflict, match="what blocks a task"):
        await hands.service.update(LOCAL, other.id, Update(blocked_by=(first.id,)))
    named = await update(blocked_by=(other.id.upper(),), blocked_reason="R")
    assert (named.blocked_by, named.blocked_reason) == ((first.id, other.id), "R")
    assert (await update(title="T")).blocked_by == (first.id, other.id)
    assert (await update(depends_on=())).blocked_by == ()
    assert (await update(blocked_by=(other.id,))).blocked_by == (other.id,)
    assert (await update(blocked_by=())).blocked_by == ()
    free = await update(state=State.QUEUED)
    assert (free.state, free.blocked_by) == ("queued", ())


async def test_p3_a_result_and_a_failure_are_cleared_by_beginning_again_only(hands: Hands) -> None:
    await hands.start()
    done = await hands.run()
    await hands.start()
    failed = await hands.fail()
    for task, field in ((done, "result"), (failed, "failure")):
        none: dict[str, Any] = {field: None}
        for said in (none, none | {"state": task.state}, none | {"state": State.CANCELLED}):
            with pytest.raises(errors.Conflict, match=f"The {field} of a task that has ended stays"):
                await hands.service.update(LOCAL, task.id, Update(**said))
    again = await hands.service.update(LOCAL, failed.id, Update(state=State.QUEUED, failure=None))
    assert (again.state, again.failure) == ("queued", None)
    assert await hands.service.update(LOCAL, done.id, Update(failure=None, state=State.SUCCEEDED)) == done


async def test_deleting_what_is_not_finished_cancels_it(hands: Hands) -> None:
    task = await hands.start(ROOT)
    with pytest.raises(errors.Conflict):
        await hands.service.delete(ROOT, task.id)
    with pytest.raises(errors.Forbidden):
        await hands.service.delete(MIA, task.id, unfinished=True)
    assert (await hands.service.delete(ROOT, task.id, unfinished=True)).ids == (task.id,)
    running = await hands.start(ROOT)
    await hands.claim()
    with pytest.raises(errors.Conflict, match="not finished"):
        await hands.service.delete(ROOT, running.id, unfinished=True)


async def test_run_now_is_for_who_may_see_the_task(hands: Hands) -> None:
    task = await hands.start(ADA, tenant="acme", run_at=NOW + 3600 * SECOND)
    with pytest.raises(errors.NotFound):
        await hands.service.run_now(EVE, task.id)
    assert (await hands.service.run_now(ADA, task.id)).state is State.QUEUED
    assert (await hands.service.run_now(ADA, task.id)).version == 2
    await hands.run()
    assert (await hands.service.run_now(MIA, task.id)).run == 2


async def test_run_now_revives_what_failed_because_of_the_task(hands: Hands) -> None:
    root = await hands.start()
    task = await hands.start(depends_on=(root.id,))
    await hands.fail()
    assert (await hands.service.get(LOCAL, task.id)).state is State.FAILED
    await hands.service.run_now(LOCAL, root.id)
    blocked = await hands.service.get(LOCAL, task.id)
    assert (blocked.state, blocked.blocked_by) == (State.BLOCKED, (root.id,))
    with pytest.raises(errors.Conflict, match="waits for"):
        await hands.service.run_now(LOCAL, task.id)


async def test_run_now_waits_for_what_the_task_still_depends_on(hands: Hands) -> None:
    root = await hands.start()
    task = await hands.start(depends_on=(root.id,))
    await hands.service.cancel(LOCAL, task.id)
    assert (await hands.service.run_now(LOCAL, task.id)).blocked_by == (root.id,)


async def test_a_task_does_not_run_once_more_beside_one_of_its_unique_key(hands: Hands) -> None:
    task = await hands.start(unique_key="k")
    await hands.run()
    await hands.start(unique_key="k")
    with pytest.raises(errors.UniqueKeyConflict):
        await hands.service.run_now(LOCAL, task.id)
