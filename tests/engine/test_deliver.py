"""Who is told that a task has ended, and how often that is tried."""

import asyncio
import base64
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
import pytest

from milepost import Context
from milepost.access.principal import LOCAL
from milepost.callbacks import Callbacks
from milepost.calling import callback_body
from milepost.engine import deliver
from milepost.engine.background import SHORTEST
from milepost.engine.deliver import Deliver
from milepost.engine.names import OF_A_TENANT, Names
from milepost.engine.outbound import CROWDED, UNREACHED, Answer, Outbound, Unanswered
from milepost.engine.reach import Reach, networks
from milepost.sealing import Sealing
from milepost.store.callbacks import Callback
from milepost.task import Task
from milepost.times import DAY, HOUR, SECOND
from tests.engine.bench import WITHIN, Bench, until
from tests.engine.receiver import Receiver, receiving, status, verified
from tests.engine.resolving import Hung

URL = "https://hooks.test/"


class Calls(Outbound):
    """Answers by itself, as a test says; an exception is raised."""

    def __init__(self, answer: Callable[[], Answer | Unanswered]) -> None:
        super().__init__(Reach())
        self.answer = answer
        self.made: list[str] = []

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, tenant: str) -> Answer:
        self.made.append(url)
        answer = self.answer()
        if isinstance(answer, Unanswered):
            raise answer
        return answer


class Deliveries:
    """The loop round by round, and tasks that have ended."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.outbound: Outbound = Outbound(Reach(networks(["127.0.0.1"])))

    def loop(self, **options: Any) -> Deliver:
        said = {"outbound": self.outbound, "body": callback_body, "jitter": lambda: 1.0}
        return Deliver(self.bench.store, self.bench.service.files, self.bench.clock, **{**said, **options})

    async def ended(self, callback: str, **options: Any) -> Task:
        task = await self.bench.start("work", callback=callback, **options)
        return await self.bench.service.cancel(LOCAL, task.id)

    async def told(self, task: Task) -> Callback:
        (callback,) = (await self.bench.service.callbacks.of(LOCAL, task.id)).callbacks
        return callback


async def all_tried(loop: Deliver) -> None:
    """A round, and what it has begun."""
    await loop.round()
    await asyncio.wait_for(asyncio.gather(*loop._under_way), WITHIN)


@pytest.fixture
def deliveries(bench: Bench) -> Deliveries:
    @bench.app.task
    async def work(ctx: Context) -> list[int]:
        return [1, 2]

    return Deliveries(bench)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_an_end_is_told_signed_and_in_native_words(
    bench: Bench, deliveries: Deliveries, receiver: Receiver
) -> None:
    task = await bench.start("work", callback=receiver.url, title="Nightly")
    async with bench.working(loops=[deliveries.loop()]):
        received = await asyncio.wait_for(receiver.received.get(), WITHIN)
        ended = await bench.end(task)
    said = verified(received, await bench.service.callbacks.secret(task.tenant))
    assert received.headers["webhook-id"] == f"{task.id}_{ended.version}"
    assert received.headers["content-type"] == "application/json"
    assert said["type"] == "task.succeeded"
    record = said["data"]
    assert isinstance(record, dict)
    assert said["timestamp"] == record["finished_at"]
    assert (record["id"], record["state"], record["title"], record["result"]) == (
        task.id,
        "succeeded",
        "Nightly",
        [1, 2],
    )
    assert (record["version"], record["result_is_link"]) == (ended.version, False)


async def test_what_was_answered_with_success_is_told_no_more(deliveries: Deliveries, receiver: Receiver) -> None:
    task = await deliveries.ended(receiver.url)
    loop = deliveries.loop()
    await all_tried(loop)
    told = await deliveries.told(task)
    assert (told.state, told.attempts, told.status, told.error) == ("delivered", 1, 204, None)
    deliveries.bench.clock.ahead += DAY
    await all_tried(loop)
    assert receiver.connections == 1


async def test_what_was_not_is_tried_again_with_the_same_id_and_body(
    deliveries: Deliveries, receiver: Receiver
) -> None:
    receiver.answers = [status(500), status(204)]
    task = await deliveries.ended(receiver.url)
    loop = deliveries.loop()
    await all_tried(loop)
    told = await deliveries.told(task)
    assert (told.state, told.attempts, told.status) == ("pending", 1, 500)
    assert told.error == "It was answered with status 500."
    await all_tried(loop)
    assert receiver.connections == 1
    deliveries.bench.clock.ahead += 5 * SECOND
    await all_tried(loop)
    first, second = receiver.received.get_nowait(), receiver.received.get_nowait()
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) >= 5
    assert (await deliveries.told(task)).state == "delivered"


async def test_tries_go_on_for_a_day_further_and_further_apart(deliveries: Deliveries) -> None:
    calls = deliveries.outbound = Calls(lambda: Unanswered("Silent."))
    bench = deliveries.bench
    moment = bench.clock()
    deliveries.bench.clock = lambda: moment  # type: ignore[assignment]
    task = await deliveries.ended(URL)
    loop = deliveries.loop()
    waits = []
    moment = max(moment, task.finished_at or 0)
    while (told := await deliveries.told(task)).state == "pending":
        assert told.next_try_at is not None
        waits.append(told.next_try_at - moment)
        moment = max(moment, told.next_try_at)
        await all_tried(loop)
    assert [wait // SECOND for wait in waits[1:9]] == [5, 15, 45, 135, 405, 1215, 3645, 10935]
    assert set(waits[9:-1]) == {6 * HOUR}
    assert moment == (task.finished_at or 0) + DAY
    assert (told.state, told.attempts, told.error) == ("failed", len(calls.made), "Silent.")


async def test_waits_are_spread_so_that_not_all_come_back_at_once(deliveries: Deliveries) -> None:
    deliveries.outbound = Calls(lambda: Answer(503))
    task = await deliveries.ended(URL)
    before = deliveries.bench.clock()
    await all_tried(deliveries.loop(jitter=lambda: 0.0))
    told = await deliveries.told(task)
    assert told.next_try_at is not None
    assert told.next_try_at - deliveries.bench.clock() <= 2.5 * SECOND <= told.next_try_at - before


async def test_a_receiver_can_ask_for_a_longer_wait(deliveries: Deliveries) -> None:
    deliveries.outbound = Calls(lambda: Answer(429, HOUR))
    task = await deliveries.ended(URL)
    before = deliveries.bench.clock()
    await all_tried(deliveries.loop())
    assert ((await deliveries.told(task)).next_try_at or 0) >= before + HOUR


async def test_a_receiver_that_is_gone_is_left_alone(deliveries: Deliveries, caplog: pytest.LogCaptureFixture) -> None:
    deliveries.outbound = Calls(lambda: Answer(410))
    task = await deliveries.ended(URL)
    with caplog.at_level(logging.INFO):
        await all_tried(deliveries.loop())
    told = await deliveries.told(task)
    assert (told.state, told.status) == ("failed", 410)
    said = f"The callback {told.id} was not delivered at try 1: It was answered with status 410."
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", said)]


async def test_a_local_address_is_not_called_unless_it_is_allowed(
    deliveries: Deliveries, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "milepost.engine.deliver")
    deliveries.outbound = Outbound(Reach())
    task = await deliveries.ended(receiver.url)
    await all_tried(deliveries.loop())
    assert receiver.connections == 0
    assert (await deliveries.told(task)).error == UNREACHED
    assert "was not answered: No address of 127.0.0.1 may be called: 127.0.0.1" in caplog.text


async def test_without_the_key_of_its_secret_a_call_is_left_to_who_has_it(
    deliveries: Deliveries, receiver: Receiver
) -> None:
    key = base64.b64encode(bytes(32)).decode()
    secret = await Callbacks(deliveries.bench.store, deliveries.bench.clock, Sealing(key)).secret("default")
    task = await deliveries.ended(receiver.url)
    await all_tried(deliveries.loop())
    told = await deliveries.told(task)
    assert (told.state, told.error) == ("pending", "What it is signed with can't be opened here: no key.")
    assert receiver.connections == 0
    deliveries.bench.clock.ahead += 5 * SECOND
    await all_tried(deliveries.loop(sealing=Sealing(key)))
    assert (await deliveries.told(task)).state == "delivered"
    verified(receiver.received.get_nowait(), secret)


async def test_both_secrets_sign_for_a_day_after_a_change(deliveries: Deliveries, receiver: Receiver) -> None:
    callbacks = deliveries.bench.service.callbacks
    old = await callbacks.secret("default")
    new = await callbacks.rotate_secret("default")
    assert await callbacks.secret("default") == new != old
    await deliveries.ended(receiver.url)
    await all_tried(deliveries.loop())
    received = receiver.received.get_nowait()
    assert verified(received, old) == verified(received, new)
    deliveries.bench.clock.ahead += DAY
    await deliveries.ended(receiver.url)
    await all_tried(deliveries.loop())
    received = receiver.received.get_nowait()
    assert len(received.headers["webhook-signature"].split()) == 1


async def test_what_a_dead_process_had_begun_another_tries_again(deliveries: Deliveries, receiver: Receiver) -> None:
    receiver.answers = [None, status(204)]
    task = await deliveries.ended(receiver.url)
    dying = deliveries.loop()
    await dying.round()
    await asyncio.wait_for(receiver.received.get(), WITHIN)
    await dying.close()
    other = deliveries.loop()
    await all_tried(other)
    assert receiver.connections == 1
    deliveries.bench.clock.ahead += deliver.HELD
    await all_tried(other)
    told = await deliveries.told(task)
    assert (told.state, told.attempts) == ("delivered", 2)


async def test_one_whose_receivers_are_silent_does_not_keep_others_from_being_told(deliveries: Deliveries) -> None:
    async with receiving() as silent, receiving() as receiver:
        silent.answers = [None]
        for _ in range(deliver.OF_A_TENANT + 5):
            await deliveries.ended(silent.url, tenant="slow")
        other = await deliveries.ended(receiver.url, tenant="quick")
        loop = deliveries.loop()
        await loop.round()
        await loop.round()
        await asyncio.wait_for(receiver.received.get(), WITHIN)
        assert await loop.round() == loop.every  # what is left is theirs, and they have enough under way
        assert silent.connections <= deliver.OF_A_TENANT
        await until(lambda: len(loop._under_way) == deliver.OF_A_TENANT)
        assert (await deliveries.told(other)).state == "delivered"
        await loop.close()


async def test_p6_one_whose_names_nobody_resolves_does_not_keep_others_from_being_told(
    deliveries: Deliveries, receiver: Receiver
) -> None:
    hung, reach = Hung(".slow"), Reach(networks(["127.0.0.1"]))
    names = Names(hung)
    deliveries.outbound = Outbound(reach, names=names, timeout=0.01)
    slow = [await deliveries.ended(f"https://{n}.slow/", tenant="slow") for n in range(2 * OF_A_TENANT)]
    loop = deliveries.loop()
    errors: set[str | None] = {None}
    while None in errors:
        await all_tried(loop)
        errors = {(await deliveries.told(task)).error for task in slow}
    assert errors == {UNREACHED, CROWDED}
    other = await deliveries.ended(f"http://quick.test:{receiver.port}/", tenant="quick")
    await all_tried(deliveries.loop(outbound=Outbound(reach, names=names)))
    assert (await deliveries.told(other)).state == "delivered"
    hung.end()


async def test_no_more_are_under_way_than_one_process_can_bear(
    deliveries: Deliveries, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "AT_ONCE", 2)
    receiver.answers = [None]
    for tenant in "abc":
        await deliveries.ended(receiver.url, tenant=tenant)
    loop = deliveries.loop()
    assert [await loop.round(), await loop.round()] == [SHORTEST, loop.every]
    assert len(loop._under_way) == 2
    await loop.close()


async def test_the_pause_ends_when_the_next_try_is_due(deliveries: Deliveries) -> None:
    deliveries.outbound = Calls(lambda: Answer(500))
    await deliveries.ended(URL)
    loop = deliveries.loop()
    await all_tried(loop)
    deliveries.bench.clock.ahead += 3 * SECOND
    assert 0 < await loop.round() <= 2 * SECOND


async def test_what_can_not_be_said_is_logged_and_tried_again(
    deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(task: Task) -> bytes:
        raise ValueError("odd")

    task = await deliveries.ended(URL)
    await all_tried(deliveries.loop(body=broken))
    told = await deliveries.told(task)
    assert (told.state, told.attempts) == ("pending", 1)
    assert f"The callback {told.id} could not be tried; that is done again" in caplog.text


async def test_it_runs_by_itself_wherever_an_application_is_looked_after(
    bench: Bench, deliveries: Deliveries, receiver: Receiver
) -> None:
    bench.app._outbound = deliveries.outbound
    async with bench.app.maintenance():
        await deliveries.ended(receiver.url)
        await asyncio.wait_for(receiver.received.get(), WITHIN)


async def test_a_large_result_is_told_as_a_link(bench: Bench, deliveries: Deliveries, receiver: Receiver) -> None:
    @bench.app.task
    async def large(ctx: Context) -> str:
        return "x" * 100_000

    task = await bench.start("large", callback=receiver.url)
    async with bench.working(loops=[deliveries.loop()]):
        received = await asyncio.wait_for(receiver.received.get(), WITHIN)
    record = msgspec.json.decode(received.body)["data"]
    assert record["result_is_link"]
    assert record["result"]["url"] == f"/v1/tasks/{task.id}/result"


@contextlib.asynccontextmanager
async def calling_process(*arguments: object) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process that has ended a task, whose id it gives, and is killed at the latest with the block."""
    command = (sys.executable, "-m", "tests.engine.calling_process", *map(str, arguments))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process, (await asyncio.wait_for(process.stdout.readline(), WITHIN)).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_p1_an_end_whose_process_is_killed_right_after_its_commit_is_told(
    bench: Bench, deliveries: Deliveries, receiver: Receiver
) -> None:
    async with calling_process(bench.app.path, receiver.url) as (process, task_id):
        process.kill()
    await all_tried(deliveries.loop())
    received = receiver.received.get_nowait()
    said = verified(received, await bench.service.callbacks.secret("default"))
    assert received.headers["webhook-id"].startswith(task_id)
    assert said["type"] == "task.cancelled"


async def test_p1_so_is_one_whose_process_is_killed_during_the_call(
    bench: Bench, deliveries: Deliveries, receiver: Receiver
) -> None:
    receiver.answers = [None, status(204)]
    async with calling_process(bench.app.path, receiver.url, "maintained") as (process, task_id):
        first = await asyncio.wait_for(receiver.received.get(), WITHIN)
        process.kill()
    await all_tried(deliveries.loop())
    assert receiver.connections == 1
    bench.clock.ahead += deliver.HELD
    await all_tried(deliveries.loop())
    second = receiver.received.get_nowait()
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert second.body == first.body
    (told,) = (await bench.service.callbacks.of(LOCAL, task_id)).callbacks
    assert (told.state, told.attempts) == ("delivered", 2)
