"""How does a service make tasks?"""

from typing import Any

import pytest

from milepost import errors
from milepost.access.principal import LOCAL, Principal
from milepost.service import Wish
from milepost.start import Start
from milepost.store.protocol import Created, TypeInfo
from milepost.times import DAY, SECOND
from milepost.update import Update
from tests.service.hands import ADA, BOB, NOW, ROOT, Hands


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


async def test_a_check_refuses_what_a_start_would_and_starts_nothing(hands: Hands) -> None:
    await hands.service.check(ADA, Start(type="job", input={"n": 1}), origin="native")
    with pytest.raises(errors.Invalid, match="/input/n"):
        await hands.service.check(ADA, Start(type="job", input={"n": "1"}), origin="native")
    with pytest.raises(errors.Forbidden):
        await hands.service.check(ADA, Start(type="job", tenant="other"), origin="native")
    assert await hands.service.tally(ROOT) == []


async def test_a_new_type_is_known_within_a_second(hands: Hands) -> None:
    with pytest.raises(errors.Invalid):
        await hands.service.start(LOCAL, Start(type="late"), origin="native")
    await hands.store.publish_types([TypeInfo("late", "loop", {"type": "object"})])
    assert (await hands.service.start(LOCAL, Start(type="late"), origin="native")).task.type == "late"
    await hands.store.publish_types([TypeInfo("job", "thread", {"type": "object"})])
    hands.now -= DAY  # whatever is done to the clock meanwhile
    hands.elapsed += SECOND
    assert (await hands.start(input={"anything": 1})).runner == "thread"


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
