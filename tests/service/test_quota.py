import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uuid_utils

from milepost.access.limits import Limits
from milepost.access.principal import LOCAL
from milepost.access.quota import FRESH, MANY, PAUSE
from milepost.errors import Conflict, KeyConflict, NotFound, TooMany
from milepost.files.folder import FolderFiles
from milepost.service import Created, Filter, Service, Wish
from milepost.start import Start
from milepost.store.protocol import TypeInfo
from milepost.store.sqlite.store import SqliteStore
from milepost.task import State, Task
from milepost.times import SECOND
from milepost.update import Update

EXPORT = TypeInfo("export", "loop", {"type": "object"})


class Timer:
    """µs that pass when a test says so."""

    now = 0

    def __call__(self) -> int:
        return self.now


class Counting(SqliteStore):
    """A store that says how often it was asked to count."""

    counts = 0

    async def unfinished(self, tenants: object, *, most: int) -> list[int]:
        self.counts += 1
        return await super().unfinished(tenants, most=most)  # type: ignore[arg-type]


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Counting]:
    store = Counting(tmp_path / "x.db")
    await store.open()
    await store.publish_types([EXPORT])
    yield store
    await store.close()


def service_of(store: Counting, timer: Timer, most: int) -> Service:
    return Service(store, FolderFiles(Path("unused")), timer=timer, limits=Limits(unfinished=most))


async def start(service: Service, tenant: str = "acme", key: str | None = None, **fields: object) -> str:
    wanted = Start(type="export", tenant=tenant, **fields)  # type: ignore[arg-type]
    return (await service.start(LOCAL, wanted, origin="native", idempotency_key=key)).task.id


async def refused(service: Service, tenant: str = "acme", key: str | None = None) -> TooMany:
    with pytest.raises(TooMany) as caught:
        await start(service, tenant, key)
    return caught.value


async def test_a_tenant_has_so_many_unfinished_tasks(store: Counting, timer: Timer) -> None:
    service = service_of(store, timer, 3)
    first = await start(service)
    last = await start(service, run_at=service.clock() + 3600 * SECOND)
    await start(service, depends_on=(first,))
    error = await refused(service)
    assert (error.detail, error.retry_after) == ("The tenant 'acme' has 3 unfinished tasks, as many as it may.", PAUSE)
    await start(service, "beta")
    await service.cancel(LOCAL, last)
    await refused(service)
    timer.now += SECOND
    await start(service)
    await refused(service)


async def test_of_many_those_are_made_that_there_is_room_for(store: Counting, timer: Timer) -> None:
    service = service_of(store, timer, 3)
    outcomes = await service.start_many(LOCAL, [Wish(Start(type="export", tenant="acme"))] * 5, origin="native")
    assert [isinstance(outcome, Created) for outcome in outcomes] == [True] * 3 + [False] * 2
    assert isinstance(outcomes[-1], TooMany)


async def test_what_was_started_before_under_a_key_is_found_again(store: Counting, timer: Timer) -> None:
    service = service_of(store, timer, 2)
    first = await start(service, key="once")
    await start(service)
    assert await start(service, key="once") == first
    await refused(service, key="other")
    with pytest.raises(KeyConflict):
        await start(service, key="once", title="another")


async def test_external_tasks_count_too(store: Counting, timer: Timer) -> None:
    service = service_of(store, timer, 1)
    task_id = await start(service, runner="external", state=State.RUNNING)
    await refused(service)
    await service.update(LOCAL, task_id, Update(state=State.SUCCEEDED))
    timer.now += SECOND
    await start(service)


async def test_what_others_start_is_noticed_after_a_while(store: Counting, timer: Timer) -> None:
    one, other = service_of(store, timer, 4), service_of(store, timer, 4)
    await start(one)
    for _ in range(3):
        await start(other)
    await start(one)
    timer.now += FRESH
    await refused(one)
    await refused(other)


async def test_what_is_far_from_its_limit_is_not_counted(store: Counting, timer: Timer) -> None:
    service = service_of(store, timer, 1000)
    for _ in range(50):
        await start(service)
    assert store.counts == 1
    for number in range(MANY):
        await service.starts._quota.admit(f"tenant {number}")
    assert len(service.starts._quota._known) <= MANY


async def test_who_starts_at_the_same_time_counts_once(store: Counting, timer: Timer) -> None:
    service = service_of(store, timer, 100)
    await start(service)
    timer.now += FRESH
    store.counts = 0
    await asyncio.gather(*(start(service) for _ in range(10)))
    assert store.counts == 1


async def test_nothing_is_counted_for_what_is_only_checked(store: Counting, timer: Timer) -> None:
    service = service_of(store, timer, 1)
    for _ in range(3):
        await service.check(LOCAL, Start(type="export", tenant="acme"), origin="native")
    await start(service)


@pytest.fixture
async def full(store: Counting, timer: Timer) -> tuple[Service, str]:
    """A tenant that has as many unfinished tasks as it may, and one that was cancelled."""
    service = service_of(store, timer, 2)
    ended = await start(service)
    await service.cancel(LOCAL, ended)
    timer.now += FRESH
    await start(service)
    await start(service)
    return service, ended


AGAIN: dict[str, Callable[[Service, str], Awaitable[Task]]] = {
    "retry": lambda service, task_id: service.retry(LOCAL, task_id),
    "run_now": lambda service, task_id: service.run_now(LOCAL, task_id),
    "update": lambda service, task_id: service.update(LOCAL, task_id, Update(state=State.QUEUED)),
}


@pytest.mark.parametrize("how", AGAIN)
async def test_what_is_to_begin_again_counts_as_what_is_started(
    how: str, full: tuple[Service, str], timer: Timer
) -> None:
    service, ended = full
    before = await service.get(LOCAL, ended)
    with pytest.raises(TooMany) as caught:
        await AGAIN[how](service, ended)
    assert caught.value.retry_after == PAUSE
    assert await service.get(LOCAL, ended) == before
    for task in (await service.find(LOCAL, Filter(states=(State.QUEUED,)), limit=1)).tasks:
        await service.cancel(LOCAL, task.id)
    timer.now += SECOND
    assert (await AGAIN[how](service, ended)).state is State.QUEUED
    await refused(service)


async def test_an_external_task_that_begins_again_counts_too(full: tuple[Service, str], timer: Timer) -> None:
    service, _ = full
    external = await start(service, "beta", runner="external", state=State.RUNNING)
    await service.update(LOCAL, external, Update(state=State.FAILED))
    timer.now += FRESH
    await start(service, "beta")
    await start(service, "beta")
    with pytest.raises(TooMany):
        await service.update(LOCAL, external, Update(state=State.QUEUED))


async def test_what_has_not_ended_or_does_not_begin_again_is_not_counted(full: tuple[Service, str]) -> None:
    service, ended = full
    (queued, *_) = (await service.find(LOCAL, Filter(states=(State.QUEUED,)))).tasks
    await service.pause(LOCAL, queued.id)
    assert (await service.resume(LOCAL, queued.id)).state is State.QUEUED
    assert (await service.run_now(LOCAL, queued.id)).state is State.QUEUED
    assert (await service.update(LOCAL, ended, Update(title="x"))).title == "x"
    with pytest.raises(Conflict):
        await service.resume(LOCAL, ended)
    with pytest.raises(NotFound):
        await service.retry(LOCAL, str(uuid_utils.uuid7()))
