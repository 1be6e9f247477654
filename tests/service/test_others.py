"""Does what a caller sees tell of tasks that it does not see?"""

from contextlib import aclosing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from milepost import errors, lifecycle
from milepost.access.principal import LOCAL, Principal, Role
from milepost.children import owner_of, start_child
from milepost.intake import deliver
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import Filter
from milepost.store.sqlite.sight import NOT_SHOWN, of_owner
from milepost.task import State, Task
from milepost.update import Update
from tests.service.hands import ADA, BOB, MIA, Hands, someone

ABSENT = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"


async def everything(service: Service, who: Principal, task: Task) -> str:
    """All that a caller is told of a task by reading it, in whatever way."""
    told: list[object] = [await service.get(who, task.id), await service.wait(who, task.id, timeout=0)]
    told += (await service.find(who, Filter())).tasks
    told += [await service.log(who, task.id), await service.history(who, [task.id])]
    async with aclosing(service.follow(who, task.id)) as stream:
        news = await anext(stream)
        told += [news.entries, news.task]
    return msgspec.json.encode(told).decode()


async def test_p6_a_record_names_no_task_that_its_reader_does_not_see(hands: Hands) -> None:
    service = hands.service
    parent, theirs = await hands.start(MIA, tenant="acme"), await hands.start(MIA, tenant="acme")
    own = await hands.start(BOB, tenant="acme")
    start = {"depends_on": (own.id, theirs.id), "parent": parent.id, "assignee": "bob"}
    task = await hands.start(MIA, tenant="acme", **start)
    for unseen in (parent.id, theirs.id):
        assert unseen in await everything(service, MIA, task)
        assert unseen not in await everything(service, BOB, task)
    shown = await service.get(BOB, task.id)
    assert (shown.depends_on, shown.blocked_by, shown.parent) == ((own.id,), (own.id,), None)
    await service.delete(LOCAL, (await service.cancel(LOCAL, parent.id)).id)
    assert (await service.get(BOB, task.id)).parent is None, "there or gone"


async def test_p6_what_is_said_of_what_is_waited_for_names_nobody_unseen(hands: Hands) -> None:
    theirs = await hands.start(MIA, tenant="acme")
    task = await hands.start(MIA, tenant="acme", depends_on=(theirs.id,), assignee="bob")
    assert (await hands.service.get(BOB, task.id)).blocked_reason == f"Waits for task {NOT_SHOWN}."
    await hands.service.cancel(MIA, theirs.id)
    ended = await hands.service.get(BOB, task.id)
    assert ended.failure is not None
    assert ended.failure.message == f"Task {NOT_SHOWN}, which this one waits for, was cancelled."
    assert theirs.id in await everything(hands.service, MIA, task)
    assert theirs.id not in await everything(hands.service, BOB, task)


async def test_p6_how_many_are_waited_for_is_told_of_those_that_are_seen(hands: Hands) -> None:
    theirs = [await hands.start(MIA, tenant="acme") for _ in range(2)]
    own = [await hands.start(BOB, tenant="acme") for _ in range(2)]

    async def said(*depends_on: Task) -> list[str | None]:
        ids = tuple(task.id for task in depends_on)
        task = await hands.start(MIA, tenant="acme", depends_on=ids, assignee="bob")
        return [(await hands.service.get(who, task.id)).blocked_reason for who in (MIA, BOB)]

    assert await said(*theirs) == ["Waits for 2 tasks.", f"Waits for task {NOT_SHOWN}."]
    assert await said(own[0], *theirs) == ["Waits for 3 tasks.", f"Waits for task {own[0].id}."]
    assert await said(*own, *theirs) == ["Waits for 4 tasks.", "Waits for 2 tasks."]
    told = "Waits for 2 tasks. Ask Mia."
    task = await hands.start(MIA, tenant="acme", depends_on=(theirs[0].id,), assignee="bob", held=True)
    await hands.service.update(MIA, task.id, Update(blocked_reason=told))
    assert (await hands.service.get(BOB, task.id)).blocked_reason == told


@given(st.sampled_from([(), *((role,) for role in Role), *(tuple(Role)[:n] for n in range(1, 5))]))
def test_an_owner_sees_what_its_roles_show(roles: tuple[Role, ...]) -> None:
    task = Task("id", "acme", "ada", "job", 0, 0, roles=tuple(map(str, roles)))
    said, shown = of_owner(task), owner_of(task).scope()
    assert (said.name, set(said.whole or ())) == (shown.name, set(shown.whole or ()))
    assert said.whole or said.own == (shown.own or ("acme",))


async def test_p6_nor_does_what_a_change_gives(hands: Hands) -> None:
    theirs = await hands.start(MIA, tenant="acme")
    task = await hands.start(MIA, tenant="acme", depends_on=(theirs.id,), assignee="bob")
    changed = await hands.service.update(BOB, task.id, Update(title="new"))
    assert (changed.title, changed.depends_on) == ("new", ())
    assert theirs.id not in msgspec.json.encode(await hands.service.cancel(BOB, task.id)).decode()


async def test_who_sends_back_what_it_was_shown_changes_nothing_of_what_it_was_not(hands: Hands) -> None:
    own, theirs = await hands.start(BOB, tenant="acme"), await hands.start(MIA, tenant="acme")
    task = await hands.start(MIA, tenant="acme", depends_on=(theirs.id, own.id), assignee="bob")
    shown = await hands.service.get(BOB, task.id)
    await hands.service.update(BOB, task.id, Update(title="new", depends_on=shown.depends_on))
    assert (await hands.service.get(MIA, task.id)).depends_on == (theirs.id, own.id)
    told = []
    for guess in (theirs.id, ABSENT):
        with pytest.raises(errors.Invalid) as refused:
            await hands.service.update(BOB, task.id, Update(depends_on=(guess, own.id)))
        told.append(refused.value.faults)
    assert told[0] == told[1]
    freed = await hands.service.update(BOB, task.id, Update(depends_on=()))
    assert (freed.state, freed.blocked_by) == (State.QUEUED, ())
    assert (await hands.service.get(MIA, task.id)).depends_on == ()


@pytest.mark.parametrize("edge", ["parent", "depends_on"])
async def test_p6_a_list_by_a_relative_that_one_does_not_see_is_empty(edge: str, hands: Hands) -> None:
    def of(relative: str) -> Filter:
        return Filter(parent=relative) if edge == "parent" else Filter(depends_on=relative)

    theirs = await hands.start(MIA, tenant="acme")
    related = {"parent": theirs.id} if edge == "parent" else {"depends_on": (theirs.id,)}
    task = await hands.start(MIA, tenant="acme", assignee="bob", **related)
    assert [found.id for found in (await hands.service.find(MIA, of(theirs.id))).tasks] == [task.id]
    for relative in (theirs.id, ABSENT):
        assert (await hands.service.find(BOB, of(relative))).tasks == []


async def test_p6_a_taken_unique_key_is_told_without_the_task_to_who_does_not_see_that(hands: Hands) -> None:
    await hands.start(ADA, tenant="acme", unique_key="one", assignee="bob")
    failed = await hands.fail()
    holder = await hands.start(ADA, tenant="acme", unique_key="one")
    with pytest.raises(errors.UniqueKeyConflict) as refused:
        await hands.service.retry(ADA, failed.id)
    assert refused.value.facts == {"task": holder.id}
    with pytest.raises(errors.UniqueKeyConflict) as refused:
        await hands.service.retry(BOB, failed.id)
    assert (refused.value.facts, refused.value.detail) == (
        {},
        "Another task has this unique key and is not finished.",
    )


async def test_p6_unique_and_idempotency_keys_are_their_owner_s_in_each_tenant(hands: Hands) -> None:
    both = someone("ada", ("acme", Role.USER), ("other", Role.USER))
    made = set()
    for who, tenant in ((both, "acme"), (both, "other"), (BOB, "acme"), (MIA, "acme")):
        start = Start(type="job", tenant=tenant, unique_key="one")
        created = await hands.service.start(who, start, origin="native", idempotency_key="one")
        assert not created.replayed
        made.add(created.task.id)
    assert len(made) == 4


async def test_p9_a_start_that_is_known_again_is_shown_as_it_is_seen_by_now(hands: Hands) -> None:
    start = Start(type="job", tenant="acme", start_by=hands.now + 10)
    first = (await hands.service.start(BOB, start, origin="native", idempotency_key="one")).task
    theirs = await hands.start(MIA, tenant="acme")
    await hands.service.update(MIA, first.id, Update(depends_on=(theirs.id,)))
    for passed in (0, 20):  # by then it would be refused, were it new
        hands.now += passed
        again = await hands.service.start(BOB, start, origin="native", idempotency_key="one")
        assert (again.replayed, again.task.id, again.task.depends_on) == (True, first.id, ())


async def test_p6_a_delivery_of_who_had_the_task_before_is_not_told_to_who_has_it_now(hands: Hands) -> None:
    standing = await hands.start(MIA, tenant="acme", runner="external", state=State.RUNNING, assignee="ada")
    first = await deliver(hands.service, ADA, standing.id, idempotency_key="one")
    again = await deliver(hands.service, ADA, standing.id, idempotency_key="one")
    assert (again.replayed, again.task) == (True, first.task)
    await hands.service.update(MIA, standing.id, Update(assignee="bob"))
    with pytest.raises(errors.NotFound):
        await deliver(hands.service, BOB, standing.id, idempotency_key="one")


async def test_p6_a_delete_tells_of_dependents_that_are_seen_and_of_no_others(hands: Hands) -> None:
    boss = someone("boss", ("acme", Role.ADMIN))
    first = await hands.start(boss, tenant="acme")
    child = await hands.start(MIA, tenant="acme", depends_on=(first.id,))
    await hands.service.cancel(boss, first.id)
    with pytest.raises(errors.DependentsConflict) as refused:
        await hands.service.delete(boss, first.id)
    assert refused.value.facts == {"dependents": [child.id]}


async def test_a_worker_has_the_whole_record_whatever_its_owner_sees(hands: Hands) -> None:
    theirs = await hands.start(MIA, tenant="acme")
    await hands.run()
    await hands.start(BOB, tenant="acme", held=True)
    (task,) = (await hands.service.find(BOB, Filter(owner="bob"))).tasks
    await hands.service.update(MIA, task.id, Update(depends_on=(theirs.id,), state=State.QUEUED))
    claimed = (await hands.claim()).task
    assert claimed.depends_on == (theirs.id,)
    child = await start_child(hands.service, claimed, Start(type="job"), None)
    assert child.parent == task.id
    ended = await hands.edit(claimed, lambda current: lifecycle.succeed(current, now=hands.now))
    assert replace(ended, depends_on=()) == await hands.service.get(BOB, task.id)
