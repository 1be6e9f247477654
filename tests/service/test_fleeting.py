"""Is what was not to outlive its service cancelled at its end, and nothing else, and is little of it remembered?"""

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.fleeting import Fleeting
from milepost.service import MANY, Wish
from milepost.start import Start
from milepost.store.protocol import Created
from milepost.task import State, Task
from milepost.times import DAY, HOUR
from milepost.update import Update
from tests.service.hands import ADA, NOW, Hands


async def after_close(hands: Hands, task: Task) -> Task:
    """The record once its service is closed."""
    await hands.service.close()
    return await hands.service.get(LOCAL, task.id)


async def test_what_waits_for_its_turn_is_cancelled(hands: Hands) -> None:
    task = await after_close(hands, await hands.start(ADA, durable=False))
    assert (task.state, task.finished_at, task.version) == (State.CANCELLED, NOW, 2)


async def test_a_durable_one_stays(hands: Hands) -> None:
    started = await hands.start()
    assert await after_close(hands, started) == started


async def test_what_waits_for_its_time_for_others_or_paused_is_cancelled_too(hands: Hands) -> None:
    scheduled = await hands.start(durable=False, run_at=NOW + HOUR)
    blocked = await hands.start(durable=False, depends_on=((await hands.start()).id,))
    held = await hands.start(durable=False, held=True)
    paused = await hands.service.pause(LOCAL, (await hands.start(durable=False)).id)
    for task in (scheduled, blocked, held, paused):
        assert (await after_close(hands, task)).state is State.CANCELLED


async def test_what_runs_or_has_run_is_left_alone(hands: Hands) -> None:
    succeeded = await hands.start(durable=False)
    await hands.run()
    tried = await hands.start(durable=False)
    claimed = (await hands.claim()).task
    await hands.edit(claimed, lambda task: lifecycle.park(task, now=NOW))
    assert (await hands.claim()).task.id == tried.id
    running = await hands.service.get(LOCAL, tried.id)
    await hands.service.close()
    assert (await hands.service.get(LOCAL, succeeded.id)).state is State.SUCCEEDED
    assert await hands.service.get(LOCAL, tried.id) == running


async def test_what_was_parked_again_is_left_alone(hands: Hands) -> None:
    task = await hands.start(durable=False)
    claimed = (await hands.claim()).task
    parked = await hands.edit(claimed, lambda task: lifecycle.park(task, now=NOW))
    assert await after_close(hands, task) == parked


async def test_what_begins_again_after_it_has_run_is_left_alone(hands: Hands) -> None:
    task = await hands.start(durable=False)
    await hands.fail()
    again = await hands.service.retry(LOCAL, task.id)
    assert (again.started_at, await after_close(hands, task)) == (None, again)


async def test_what_a_client_drives_has_begun_once_it_says_so(hands: Hands) -> None:
    waiting = await hands.start(durable=False, runner="external")
    driven = await hands.start(durable=False, runner="external")
    driven = await hands.service.update(LOCAL, driven.id, Update(state=State.RUNNING))
    assert (await after_close(hands, waiting)).state is State.CANCELLED
    assert await hands.service.get(LOCAL, driven.id) == driven


async def test_what_was_ended_or_is_there_no_more_is_passed_over(hands: Hands) -> None:
    ended, gone, waiting = [await hands.start(durable=False) for _ in range(3)]
    ended = await hands.service.cancel(LOCAL, ended.id)
    await hands.service.cancel(LOCAL, gone.id)
    await hands.service.delete(LOCAL, gone.id)
    assert (await after_close(hands, waiting)).state is State.CANCELLED
    assert await hands.service.get(LOCAL, ended.id) == ended


async def test_a_start_that_is_repeated_elsewhere_is_the_first_service_s(hands: Hands) -> None:
    start = Start(type="job", durable=False)
    first = await hands.service.start(LOCAL, start, origin="native", idempotency_key="k")
    other = Hands(hands.store, hands.files)
    again = await other.service.start(LOCAL, start, origin="native", idempotency_key="k")
    assert (again.replayed, again.task) == (True, first.task)
    assert await after_close(other, first.task) == first.task
    assert (await after_close(hands, first.task)).state is State.CANCELLED


async def test_another_service_does_not_end_them(hands: Hands) -> None:
    task = await hands.start(durable=False)
    assert await after_close(Hands(hands.store, hands.files), task) == task


def test_whether_it_is_durable_is_a_part_of_the_request() -> None:
    assert Start(type="job").fingerprint() == Start(type="job", durable=True).fingerprint()
    assert Start(type="job").fingerprint() != Start(type="job", durable=False).fingerprint()


async def test_very_many_are_cancelled_and_those_refused_forgotten(hands: Hands) -> None:
    wishes = [Wish(Start(type="job", durable=n % 2 == 0, input={"n": n})) for n in range(2 * MANY + 3)]
    wishes.append(Wish(Start(type="nothing", durable=False)))
    made = await hands.service.start_many(LOCAL, wishes, origin="native")
    await hands.service.close()
    for wish, outcome in zip(wishes[:-1], made[:-1], strict=True):
        assert isinstance(outcome, Created)
        state = (await hands.service.get(LOCAL, outcome.task.id)).state
        assert state is (State.QUEUED if wish.start.durable else State.CANCELLED)
    assert not isinstance(made[-1], Created)


async def test_those_that_have_begun_are_forgotten(hands: Hands) -> None:
    remembered = Fleeting(hands.store, lambda: hands.now, few=4)
    for _ in range(3):
        remembered.note([(await hands.start()).id])
        await hands.run()
    waiting = await hands.start()
    remembered.note([waiting.id])
    await remembered.make_room()
    assert len(remembered) == 1
    await remembered.end()
    assert len(remembered) == 0
    assert (await hands.service.get(LOCAL, waiting.id)).state is State.CANCELLED


async def test_nothing_is_asked_before_there_are_twice_as_many(hands: Hands) -> None:
    remembered = Fleeting(hands.store, lambda: hands.now, few=2)
    remembered.note([(await hands.start(run_at=NOW + DAY)).id for _ in range(3)])
    await remembered.make_room()
    assert len(remembered) == 3
    for expected in (4, 5, 3):  # six is twice as many as there were
        remembered.note([(await hands.start()).id])
        await hands.run()
        await remembered.make_room()
        assert len(remembered) == expected
