import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from milepost import errors, lifecycle
from milepost.access.principal import LOCAL, Grant, Principal, Role
from milepost.files.folder import FolderFiles
from milepost.service import News, Service, Wish
from milepost.start import Start
from milepost.store.protocol import Created, Filter, LeasedEdit, TypeInfo
from milepost.store.sqlite.store import SqliteStore
from milepost.store.workers import Claimed, Wanted, WorkerInfo
from milepost.task import Counts, Entry, Failure, FileResult, JsonResult, State, Task
from milepost.times import DAY, HOUR, SECOND
from milepost.update import Update

NOW = 1_767_225_600_000_000
ONE = JsonResult(1, msgspec.Raw(b"1"))


class Hands:
    """Clock and worker in one: lets a test move the time, and tasks along."""

    def __init__(self, store: SqliteStore, files: FolderFiles) -> None:
        self.now = NOW
        self.elapsed = SECOND
        self.store = store
        self.files = files
        self.service = Service(store, files, clock=lambda: self.now, timer=lambda: self.elapsed)

    async def enlist(self) -> None:
        await self.store.enlist(WorkerInfo("w", "here", 1, 10, ("job",)))

    async def start(self, who: Principal = LOCAL, **fields: Any) -> Task:
        start = Start(type="job", **fields)
        return (await self.service.start(who, start, origin="native")).task

    async def claim(self) -> Claimed:
        claimed = await self.store.claim("w", [Wanted("job")], limit=1, now=self.now)
        assert isinstance(claimed, list)
        return claimed[0]

    async def edit(self, task: Task, apply: Any) -> Task:
        (after,) = await self.store.change_leased([LeasedEdit(task.id, task.epoch, apply)], now=self.now)
        assert isinstance(after, Task)
        return after

    async def run(self, result: JsonResult | FileResult | None = ONE) -> Task:
        task = (await self.claim()).task
        return await self.edit(task, lambda t: lifecycle.succeed(t, now=self.now, result=result))

    async def fail(self) -> Task:
        task = (await self.claim()).task
        return await self.edit(
            task, lambda t: lifecycle.fail(t, now=self.now, failure=Failure("broken", "It broke."), traceback="Trace")
        )


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncIterator[Hands]:
    store, files = SqliteStore(tmp_path / "m.db"), FolderFiles(tmp_path / "files")
    await store.open()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    await store.publish_types([TypeInfo("job", "loop", schema, max_attempts=2)])
    hands = Hands(store, files)
    await hands.enlist()
    yield hands
    await files.close()
    await store.close()


def someone(name: str, *grants: tuple[str, Role]) -> Principal:
    return Principal(name, name.title(), tuple(Grant(tenant, role) for tenant, role in grants))


ADA = someone("ada", ("acme", Role.USER))
BOB = someone("bob", ("acme", Role.USER))
MIA = someone("mia", ("acme", Role.MEMBER))
ROOT = someone("root", ("acme", Role.ADMIN))
EVE = someone("eve", ("other", Role.ADMIN))


async def test_p1_a_started_task_is_readable_at_once(hands: Hands) -> None:
    task = await hands.start(input={"n": 1}, title="One")
    assert await hands.service.get(LOCAL, task.id) == task
    assert await hands.service.get(LOCAL, task.id.replace("-", "").upper()) == task
    assert (task.state, task.owner, task.tenant, task.max_attempts, task.version) == (
        "queued",
        "local",
        "default",
        2,
        1,
    )
    assert (await hands.service.cold(LOCAL, task.id)).input == b'{"n":1}'


async def test_a_start_goes_to_the_only_tenant_that_its_caller_has(hands: Hands) -> None:
    assert (await hands.start(ADA)).tenant == "acme"
    with pytest.raises(errors.Forbidden):
        await hands.start(ADA, tenant="other")
    with pytest.raises(errors.Forbidden):
        await hands.start(ADA, owner="bob")
    assert (await hands.start(LOCAL, owner="bob", tenant="acme")).owner == "bob"


async def test_a_new_type_is_known_within_a_second(hands: Hands) -> None:
    with pytest.raises(errors.Invalid):
        await hands.service.start(LOCAL, Start(type="late"), origin="native")
    await hands.store.publish_types([TypeInfo("late", "loop", {"type": "object"})])
    assert (await hands.service.start(LOCAL, Start(type="late"), origin="native")).task.type == "late"
    await hands.store.publish_types([TypeInfo("job", "thread", {"type": "object"})])
    hands.now -= DAY  # whatever is done to the clock meanwhile
    hands.elapsed += SECOND
    assert (await hands.start(input={"anything": 1})).runner == "thread"


async def test_p6_others_tasks_are_as_good_as_absent(hands: Hands) -> None:
    task = await hands.start(ADA)
    assert (await hands.service.get(MIA, task.id)).id == task.id
    for stranger in (BOB, EVE):
        for call in (
            lambda who: hands.service.get(who, task.id),
            lambda who: hands.service.cold(who, task.id),
            lambda who: hands.service.log(who, task.id),
            lambda who: hands.service.result(who, task.id),
            lambda who: hands.service.wait(who, task.id, timeout=0),
            lambda who: hands.service.cancel(who, task.id),
            lambda who: hands.service.pause(who, task.id),
            lambda who: hands.service.resume(who, task.id),
            lambda who: hands.service.retry(who, task.id),
            lambda who: hands.service.update(who, task.id, Update(title="x")),
            lambda who: hands.service.delete(who, task.id),
        ):
            with pytest.raises(errors.NotFound) as refused:
                await call(stranger)
            assert refused.value.detail == "There is no such task."
        assert (await hands.service.find(stranger, Filter())).tasks == []
        assert await hands.service.tally(stranger) == []
    assert (await hands.service.get(ADA, task.id)).version == 1


async def test_p10_a_task_can_only_wait_for_tasks_that_its_owner_sees(hands: Hands) -> None:
    first = await hands.start(ADA)
    with pytest.raises(errors.Invalid) as refused:
        await hands.start(BOB, depends_on=(first.id,))
    assert refused.value.faults[0].pointer == "/depends_on/0"
    second = await hands.start(ADA, depends_on=(first.id,))
    assert (second.state, second.blocked_by) == ("blocked", (first.id,))
    with pytest.raises(errors.Invalid):
        await hands.service.update(ADA, first.id, Update(depends_on=(second.id,)))
    with pytest.raises(errors.Invalid) as refused:
        await hands.service.update(ADA, first.id, Update(depends_on=("no id",)))
    assert refused.value.faults[0].pointer == "/depends_on/0"


async def test_p9_an_idempotency_key_is_one_task(hands: Hands) -> None:
    async def start(key: str, n: int, who: Principal = ROOT) -> Any:
        return await hands.service.start(who, Start(type="job", input={"n": n}), origin="native", idempotency_key=key)

    first = await start("k", 1)
    again = await start("k", 1)
    assert (first.replayed, again.replayed, again.task.id) == (False, True, first.task.id)
    assert not (await start("k", 1, ADA)).replayed
    with pytest.raises(errors.KeyConflict):
        await start("k", 2)
    await hands.service.cancel(ROOT, first.task.id)
    await hands.service.delete(ROOT, first.task.id)
    with pytest.raises(errors.Gone):
        await start("k", 1)
    hands.now += 2 * DAY
    assert not (await start("k", 1)).replayed


async def test_p9_a_replay_is_not_judged_by_what_has_changed_since(hands: Hands) -> None:
    async def start(n: int = 1) -> Any:
        start = Start(type="job", input={"n": n}, start_by=NOW + SECOND)
        return await hands.service.start(LOCAL, start, origin="native", idempotency_key="k")

    first = await start()
    hands.now += 2 * SECOND
    assert (await start()).task.id == first.task.id
    with pytest.raises(errors.KeyConflict):
        await start(2)
    with pytest.raises(errors.Invalid):
        await hands.start(start_by=NOW)


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


async def test_a_unique_key_is_free_again_once_its_task_has_ended(hands: Hands) -> None:
    first = await hands.start(unique_key="u")
    with pytest.raises(errors.UniqueKeyConflict) as refused:
        await hands.start(unique_key="u")
    assert refused.value.facts == {"task": first.id}
    await hands.fail()
    second = await hands.start(unique_key="u")
    with pytest.raises(errors.UniqueKeyConflict):
        await hands.service.retry(LOCAL, first.id)
    assert second.id != first.id


async def test_a_wait_answers_on_a_change_at_the_end_and_at_its_bound(hands: Hands) -> None:
    task = await hands.start()
    waiting = asyncio.create_task(hands.service.wait(LOCAL, task.id, timeout=60 * SECOND))
    ending = asyncio.create_task(hands.service.wait(LOCAL, task.id, timeout=60 * SECOND, until_end=True))
    claimed = (await hands.claim()).task
    assert (await waiting).state is State.RUNNING
    assert not ending.done()
    await hands.edit(claimed, lambda t: lifecycle.succeed(t, now=NOW))
    assert (await ending).state is State.SUCCEEDED
    assert (await hands.service.wait(LOCAL, task.id, timeout=60 * SECOND)).state is State.SUCCEEDED
    other = await hands.start()
    assert (await hands.service.wait(LOCAL, other.id, timeout=60 * SECOND, version=0)).version == 1
    assert (await hands.service.wait(LOCAL, other.id, timeout=0)).version == 1


async def test_p8_following_tells_every_line_and_the_latest_state(hands: Hands) -> None:
    task = await hands.start()
    claimed = (await hands.claim()).task
    lines = tuple(Entry(NOW, "log", 1, message=str(n)) for n in range(2500))
    told = await hands.edit(
        claimed, lambda t: lifecycle.report(t, now=NOW, report=lifecycle.Report(progress=0.5, entries=lines))
    )
    await hands.edit(told, lambda t: lifecycle.succeed(t, now=NOW))

    async def follow(since: int) -> list[News]:
        return [news async for news in hands.service.follow(LOCAL, task.id, since_version=since)]

    everything = await follow(0)
    assert [entry.seq for news in everything for entry in news.entries] == list(range(1, 2505))
    assert [news.task.version for news in everything if news.task] == [4]
    rest = await follow(told.version)
    assert [entry.seq for news in rest for entry in news.entries] == [2503, 2504]
    assert [news.task for news in await follow(4)] == [None]


async def test_following_says_that_it_lives_and_wakes_for_a_change(hands: Hands) -> None:
    task = await hands.start()
    stream = hands.service.follow(LOCAL, task.id, pause=1)
    first = await anext(stream)
    assert first.task is not None
    assert await anext(stream) == News([], None)
    await hands.service.cancel(LOCAL, task.id)
    news = await anext(stream)
    while news.task is None:
        news = await anext(stream)
    assert news.task.state is State.CANCELLED
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def read(body: Any, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in body.read(start, stop)])


async def test_results_of_either_kind_are_read_by_range(hands: Hands, tmp_path: Path) -> None:
    task = await hands.start()
    with pytest.raises(errors.NotReady):
        await hands.service.result(LOCAL, task.id)
    large = b'"' + b"x" * 100_000 + b'"'
    await hands.run(JsonResult(len(large), msgspec.Raw(large)))
    body = await hands.service.result(LOCAL, task.id)
    assert (body.media_type, body.size, await read(body)) == ("application/json", len(large), large)
    assert await read(body, 0, 3) == b'"xx'
    path = tmp_path / "f.csv"
    path.write_bytes(b"a,b\n1,2\n")
    stored = await hands.files.put(path)
    task = await hands.start()
    await hands.run(FileResult(stored.key, "f.csv", "text/csv", stored.size, stored.sha256))
    body = await hands.service.result(LOCAL, task.id)
    assert (body.name, body.media_type, await read(body, 4, None)) == ("f.csv", "text/csv", b"1,2\n")
    await hands.files.delete([stored.key])
    with pytest.raises(errors.Gone):
        await read(body)


async def test_a_task_without_a_result_says_why(hands: Hands) -> None:
    failed = await hands.start()
    await hands.fail()
    with pytest.raises(errors.Conflict):
        await hands.service.result(LOCAL, failed.id)
    silent = await hands.start()
    await hands.run(None)
    with pytest.raises(errors.NotFound):
        await hands.service.result(LOCAL, silent.id)


async def test_p7_what_is_past_its_retention_is_gone(hands: Hands) -> None:
    task = await hands.start(keep_result=HOUR, keep_record=DAY)
    await hands.run()
    hands.now += HOUR - 1
    assert (await hands.service.get(LOCAL, task.id)).result is not None
    hands.now += 1
    assert (await hands.service.get(LOCAL, task.id)).result is None
    with pytest.raises(errors.Gone):
        await hands.service.result(LOCAL, task.id)
    hands.now += DAY
    with pytest.raises(errors.NotFound):
        await hands.service.get(LOCAL, task.id)


async def test_tracebacks_are_for_admins(hands: Hands) -> None:
    task = await hands.start(ADA)
    await hands.fail()
    assert (await hands.service.cold(ADA, task.id)).traceback is None
    assert (await hands.service.cold(MIA, task.id)).traceback is None
    assert (await hands.service.cold(ROOT, task.id)).traceback == "Trace"


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


async def test_lists_are_filtered_and_paged(hands: Hands) -> None:
    tasks = [await hands.start(list_id="l" if n % 2 else None) for n in range(5)]
    first = await hands.service.find(LOCAL, Filter(), limit=3)
    assert [task.id for task in first.tasks] == [task.id for task in reversed(tasks[2:])]
    second = await hands.service.find(LOCAL, Filter(), limit=3, after=first.next)
    assert ([task.id for task in second.tasks], second.next) == ([tasks[1].id, tasks[0].id], None)
    assert len((await hands.service.find(LOCAL, Filter(list_id="l"))).tasks) == 2
    with pytest.raises(errors.Invalid) as refused:
        await hands.service.find(LOCAL, Filter(), after="junk")
    assert refused.value.faults[0].parameter == "after"


async def test_what_there_is(hands: Hands) -> None:
    await hands.start()
    assert [info.name for info in await hands.service.types()] == ["job"]
    assert [worker.id for worker in await hands.service.workers()] == ["w"]
    assert [(t.type, t.state, t.tasks) for t in await hands.service.tally(LOCAL)] == [("job", State.QUEUED, 1)]


async def test_an_id_that_is_none_is_not_found(hands: Hands) -> None:
    with pytest.raises(errors.NotFound):
        await hands.service.get(LOCAL, "../etc/passwd")


async def test_an_update_names_every_field_that_is_wrong(hands: Hands) -> None:
    task = await hands.start()
    update = Update(title="x" * 10_001, depends_on=("no id", *[task.id] * 1000))
    with pytest.raises(errors.Invalid) as refused:
        await hands.service.update(LOCAL, task.id, update)
    assert [fault.pointer for fault in refused.value.faults] == ["/title", "/depends_on/0", "/depends_on"]
    assert await hands.service.update(LOCAL, task.id, Update()) == task


async def test_p7_a_clock_that_was_set_back_brings_no_result_back(hands: Hands) -> None:
    task = await hands.start(keep_result=HOUR)
    await hands.run()
    hands.now += HOUR
    expired = await hands.service.get(LOCAL, task.id)
    assert expired.result is None
    hands.now -= HOUR
    assert await hands.service.get(LOCAL, task.id) == expired
    with pytest.raises(errors.Gone):
        await hands.service.result(LOCAL, task.id)


async def test_a_retry_can_leave_those_alone_that_failed_because_of_it(hands: Hands) -> None:
    root = await hands.start()
    task = await hands.start(depends_on=(root.id,))
    await hands.fail()
    await hands.service.retry(LOCAL, root.id, revive=False)
    assert (await hands.service.get(LOCAL, task.id)).state is State.FAILED
    await hands.service.cancel(LOCAL, root.id)
    await hands.service.retry(LOCAL, root.id)
    assert (await hands.service.get(LOCAL, task.id)).state is State.BLOCKED


# Many at once.


async def test_p1_many_are_started_in_one_batch_with_an_outcome_each(hands: Hands) -> None:
    first = await hands.start(ADA)
    wishes = [
        Wish(Start(type="job", input={"n": 1}, unique_key="u")),
        Wish(Start(type="job", input={"n": "x"})),
        Wish(Start(type="job", unique_key="u")),
        Wish(Start(type="job", tenant="other")),
        Wish(Start(type="job", depends_on=(first.id,)), "k"),
        Wish(Start(type="job", depends_on=(first.id,)), "k"),
        Wish(Start(type="job"), "k"),
    ]
    outcomes = await hands.service.start_many(ADA, wishes, origin="native")
    assert [type(outcome) for outcome in outcomes] == [
        *(Created, errors.Invalid, errors.UniqueKeyConflict, errors.Forbidden, Created, Created, errors.KeyConflict),
    ]
    made = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    assert [one.replayed for one in made] == [False, False, True]
    assert made[1].task.id == made[2].task.id
    for one in made:
        assert await hands.service.get(ADA, one.task.id) == one.task
    assert await hands.service.start_many(ADA, [], origin="native") == []


async def test_p9_a_replay_among_many_is_not_judged_by_what_has_changed_since(hands: Hands) -> None:
    wish = Wish(Start(type="job", start_by=NOW + SECOND), "k")
    (first,) = await hands.service.start_many(LOCAL, [wish], origin="native")
    hands.now += 2 * SECOND
    outcomes = await hands.service.start_many(
        LOCAL, [Wish(Start(type="job")), wish, wish._replace(idempotency_key="l")], origin="native"
    )
    assert isinstance(first, Created)
    assert isinstance(outcomes[0], Created)
    assert isinstance(outcomes[1], Created)
    assert (outcomes[1].replayed, outcomes[1].task.id) == (True, first.task.id)
    assert isinstance(outcomes[2], errors.Invalid)


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
