"""What is delivered to a standing task, from its arrival to the child."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from milepost import errors, lifecycle
from milepost.access.principal import LOCAL, Grant, Principal, Role
from milepost.files.folder import FolderFiles
from milepost.intake import Upload, deliver, dismiss
from milepost.lifecycle import drive
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import EVERYTHING, Created, Edit, Filter, TypeInfo
from milepost.store.sqlite.store import SqliteStore
from milepost.store.workers import Wanted, WorkerInfo
from milepost.task import Counts, State, Task
from milepost.times import DAY
from milepost.update import Update

NOW = 1_767_225_600_000_000
SCHEMA = {
    "type": "object",
    "properties": {"folder": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["folder", "n"],
    "additionalProperties": False,
}


class Hands:
    """A service whose time a test moves, with a standing task."""

    def __init__(self, store: SqliteStore, files: FolderFiles, folder: Path) -> None:
        self.now = NOW
        self.store = store
        self.files = files
        self.service = Service(store, files, clock=lambda: self.now)
        self._folder = folder

    async def stand(self, owner: str = "ada", **fields: Any) -> Task:
        given: dict[str, Any] = {"type": "job", "runner": "external", "state": State.RUNNING, "tenant": "acme"}
        given |= {"input": {"folder": "in"}, "owner": owner, **fields}
        return (await self.service.start(LOCAL, Start(**given), origin="python")).task

    async def deliver(self, who: Principal, standing: str, **brought: Any) -> Created:
        return await deliver(self.service, who, standing, **brought)

    async def drive(self, task: Task, state: State) -> None:
        (after,) = await self.store.change(
            [Edit(task.id, EVERYTHING, lambda t, _: drive(t, now=self.now, state=state))], now=self.now
        )
        assert isinstance(after, Task)

    async def input(self, task: Task) -> Any:
        return msgspec.json.decode((await self.service.cold(LOCAL, task.id)).input)

    @property
    def stored(self) -> int:
        """How many files there are."""
        return sum(1 for path in self._folder.rglob("*") if path.is_file())


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncIterator[Hands]:
    store, files = SqliteStore(tmp_path / "m.db"), FolderFiles(tmp_path / "files")
    await store.open()
    await store.publish_types([TypeInfo("job", "loop", SCHEMA, max_attempts=2)])
    await store.enlist(WorkerInfo("w", "here", 1, 10, ("job",)))
    yield Hands(store, files, tmp_path / "files")
    await files.close()
    await store.close()


def someone(name: str, role: Role = Role.USER, tenant: str = "acme") -> Principal:
    return Principal(name, name.title(), (Grant(tenant, role),))


async def pieces(*sent: bytes) -> AsyncIterator[bytes]:
    for piece in sent:
        yield piece


def upload(content: bytes = b"a file", name: str = "a.txt") -> Upload:
    return Upload(pieces(content), name)


ADA, BOB, MIA = someone("ada"), someone("bob"), someone("mia", Role.MEMBER)


async def test_a_delivery_starts_a_child_with_the_input_of_both(hands: Hands) -> None:
    standing = await hands.stand(priority=4, assignee="bob")
    created = await hands.deliver(ADA, standing.id, input={"n": 1}, files=[upload()])
    child = created.task
    assert not created.replayed
    assert (child.type, child.owner, child.tenant, child.parent) == ("job", "ada", "acme", standing.id)
    assert (child.state, child.runner, child.priority, child.max_attempts) == (State.QUEUED, "loop", 4, 2)
    assert await hands.input(child) == {"folder": "in", "n": 1}
    (file,) = (await hands.service.cold(LOCAL, child.id)).files
    assert (file.name, file.media_type, file.size) == ("a.txt", "text/plain", 6)
    assert (await hands.service.get(ADA, standing.id)).counts == Counts(0, 1)
    over = (await hands.deliver(BOB, standing.id, input={"n": 2, "folder": "else"})).task
    assert await hands.input(over) == {"folder": "else", "n": 2}
    assert await hands.service.get(BOB, over.id) == over, "whoever may deliver sees what became of it"
    assert (await hands.deliver(MIA, standing.id, input={"n": 3})).task.owner == "ada"


async def test_a_worker_gets_it_with_its_files_and_the_counts_follow(hands: Hands) -> None:
    standing = await hands.stand()
    child = (await hands.deliver(ADA, standing.id, input={"n": 1}, files=[upload()])).task
    claimed = await hands.store.claim("w", [Wanted("job")], limit=9, now=hands.now)
    assert isinstance(claimed, list)
    assert [(one.task.id, [file.name for file in one.files]) for one in claimed] == [(child.id, ["a.txt"])]
    await hands.service.cancel(ADA, child.id)
    assert (await hands.service.get(ADA, standing.id)).counts == Counts(0, 1)


async def test_p6_what_one_may_not_see_takes_nothing(hands: Hands) -> None:
    standing = await hands.stand()
    for who, where in ((BOB, standing.id), (someone("ada", tenant="else"), standing.id), (ADA, "0" * 32), (ADA, "x")):
        with pytest.raises(errors.NotFound, match="no such task"):
            await hands.deliver(who, where, input={"n": 1}, files=[upload()])
    assert hands.stored == 0


@pytest.mark.parametrize("state", [State.QUEUED, State.PAUSED, State.BLOCKED, State.SUCCEEDED, State.CANCELLED])
async def test_one_that_does_not_stand_takes_nothing(hands: Hands, state: State) -> None:
    standing = await hands.stand()
    await hands.drive(standing, state)
    for key in (None, "k"):
        with pytest.raises(errors.Conflict, match=f"The task is {state}, and takes"):
            await hands.deliver(ADA, standing.id, input={"n": 1}, files=[upload()], idempotency_key=key)
    assert hands.stored == 0


async def test_other_tasks_take_nothing_and_say_why(hands: Hands) -> None:
    started = await hands.service.start(ADA, Start(type="job", input={"n": 1, "folder": ""}), origin="native")
    strange = await hands.stand(type="strange")
    asked = await hands.stand()
    assert (await hands.service.cancel(ADA, asked.id)).cancel_requested
    for task, why in ((started.task, "a worker runs this"), (strange, "no task type"), (asked, "to be cancelled")):
        with pytest.raises(errors.Conflict, match=why):
            await hands.deliver(ADA, task.id, input={"n": 1})


@pytest.mark.parametrize("key", [None, "k"])
async def test_an_input_that_is_wrong_is_pointed_into_and_leaves_no_file(hands: Hands, key: str | None) -> None:
    standing = await hands.stand()
    for given, places in (({}, {"/input/n"}), ({"n": "1", "more": 1}, {"/input/n", "/input/more"})):
        with pytest.raises(errors.Invalid) as refused:
            await hands.deliver(ADA, standing.id, input=given, files=[upload()], idempotency_key=key)
        assert {fault.pointer for fault in refused.value.faults} == places
    assert hands.stored == 0


async def test_without_a_key_a_wrong_input_is_refused_before_its_files_are_read(hands: Hands) -> None:
    async def nobody_asks() -> AsyncIterator[bytes]:
        raise AssertionError("This was read.")
        yield b""

    standing = await hands.stand()
    with pytest.raises(errors.Invalid):
        await hands.deliver(ADA, standing.id, files=[Upload(nobody_asks())])


async def test_p9_the_same_delivery_under_the_same_key_is_the_same_child(hands: Hands) -> None:
    standing, another = await hands.stand(), await hands.stand()

    async def again(where: Task = standing, who: Principal = ADA, content: bytes = b"1", n: int = 1) -> Created:
        files = [upload(content)]
        return await hands.deliver(who, where.id, input={"n": n}, files=files, idempotency_key="k")

    first = await again()
    assert await again() == Created(first.task, replayed=True)
    assert hands.stored == 1, "what was sent again is not kept again"
    with pytest.raises(errors.KeyConflict):
        await again(content=b"2")
    with pytest.raises(errors.KeyConflict):
        await again(n=2)
    assert hands.stored == 1
    assert not (await again(another)).replayed, "a key is one task's"
    await hands.service.update(ADA, standing.id, Update(assignee="bob"))
    assert (await again()).replayed, "what is said of the task meanwhile is not what was delivered"
    await hands.drive(standing, State.SUCCEEDED)
    assert await again() == Created(first.task, replayed=True), "although it has ended since"
    with pytest.raises(errors.KeyConflict):
        await again(content=b"2")
    hands.now += DAY
    with pytest.raises(errors.Conflict, match="takes deliveries only while"):
        await again()
    assert hands.stored == 2


async def test_a_delivery_whose_task_ended_while_it_was_read_leaves_nothing(hands: Hands) -> None:
    standing = await hands.stand()

    async def meanwhile() -> AsyncIterator[bytes]:
        yield b"1"
        await hands.drive(standing, State.SUCCEEDED)

    with pytest.raises(errors.Conflict, match="The task is succeeded"):
        await hands.deliver(ADA, standing.id, input={"n": 1}, files=[Upload(meanwhile())])
    assert hands.stored == 0
    assert (await hands.service.find(LOCAL, Filter(parent=standing.id))).tasks == []


async def test_a_delivery_whose_task_was_deleted_while_it_was_read_is_told_so(hands: Hands) -> None:
    standing = await hands.stand()

    async def meanwhile() -> AsyncIterator[bytes]:
        yield b"1"
        await hands.drive(standing, State.SUCCEEDED)
        await hands.service.delete(LOCAL, standing.id)

    with pytest.raises(errors.NotFound):
        await hands.deliver(ADA, standing.id, input={"n": 1}, files=[Upload(meanwhile())])
    assert hands.stored == 0


async def test_p5_a_cancel_ends_what_was_delivered_at_once_and_itself_when_its_client_says_so(hands: Hands) -> None:
    standing = await hands.stand()
    children = [(await hands.deliver(ADA, standing.id, input={"n": n})).task for n in range(2)]
    asked = await hands.service.cancel(ADA, standing.id)
    assert (asked.state, asked.cancel_requested, asked.counts) == (State.RUNNING, True, Counts(2, 2, 2))
    assert {(await hands.service.get(ADA, child.id)).state for child in children} == {State.CANCELLED}
    await hands.drive(standing, State.CANCELLED)
    assert (await hands.service.get(ADA, standing.id)).state is State.CANCELLED


async def test_what_ends_well_lets_what_was_delivered_go_on_and_what_is_cancelled_does_not(hands: Hands) -> None:
    for state, after in ((State.SUCCEEDED, State.QUEUED), (State.CANCELLED, State.CANCELLED)):
        standing = await hands.stand()
        child = (await hands.deliver(ADA, standing.id, input={"n": 1})).task
        await hands.drive(standing, state)
        assert (await hands.service.get(ADA, child.id)).state is after


async def test_a_standing_task_that_its_client_is_through_with_ends_at_once(hands: Hands) -> None:
    for state in (State.RUNNING, State.PAUSED, State.QUEUED):
        standing = await hands.stand()
        child = (await hands.deliver(ADA, standing.id, input={"n": 1})).task
        if state is not State.RUNNING:
            await hands.drive(standing, state)
        assert (await dismiss(hands.service, ADA, standing.id)).state is State.CANCELLED
        assert (await hands.service.get(ADA, child.id)).state is State.CANCELLED


async def test_any_other_task_is_cancelled_as_ever(hands: Hands) -> None:
    strange = await hands.stand(type="strange")
    asked = await dismiss(hands.service, ADA, strange.id)
    assert (asked.state, asked.cancel_requested) == (State.RUNNING, True)
    start = Start(type="job", input={"n": 1, "folder": ""})
    queued = (await hands.service.start(ADA, start, origin="native")).task
    assert (await dismiss(hands.service, ADA, queued.id)).state is State.CANCELLED


async def test_one_that_has_ended_stays_as_it_is(hands: Hands) -> None:
    other: dict[str, Any] = {"type": "strange"}
    for fields in ({}, other):
        for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
            standing = await hands.stand(**fields)
            await hands.drive(standing, state)
            ended = await hands.service.get(ADA, standing.id)
            assert await dismiss(hands.service, ADA, standing.id) == ended


async def test_p6_nobody_ends_what_is_out_of_sight(hands: Hands) -> None:
    standing = await hands.stand()
    for who, where in ((BOB, standing.id), (ADA, "0" * 32), (ADA, "x")):
        with pytest.raises(errors.NotFound, match="no such task"):
            await dismiss(hands.service, who, where)
    assert (await hands.service.get(ADA, standing.id)).state is State.RUNNING


async def test_many_at_once_add_up_exactly(hands: Hands) -> None:
    standing = await hands.stand()
    made = await asyncio.gather(
        *(hands.deliver(ADA, standing.id, input={"n": n}, files=[upload(b"%d" % n)]) for n in range(60))
    )
    assert len({created.task.id for created in made}) == hands.stored == 60
    await asyncio.gather(*(hands.service.cancel(ADA, created.task.id) for created in made[:25]))
    after = await hands.service.get(ADA, standing.id)
    assert (after.counts, after.progress) == (Counts(25, 60, 25), 25 / 60)
    assert after.version == standing.version + 85
    await asyncio.gather(*(hands.service.retry(ADA, created.task.id) for created in made[:5]))
    assert (await hands.service.get(ADA, standing.id)).counts == Counts(20, 60, 20)


async def test_files_go_with_the_child(hands: Hands) -> None:
    standing = await hands.stand()
    child = (await hands.deliver(ADA, standing.id, input={"n": 1}, files=[upload(), upload(b"")])).task
    assert hands.stored == 2
    await hands.service.cancel(ADA, child.id)
    await hands.files.sweep(older_than=-DAY, now=hands.now * 2, known=hands.store.known_files)
    assert hands.stored == 2, "the sweep knows them"
    await hands.service.delete(LOCAL, child.id)
    assert hands.stored == 0


async def test_a_standing_task_does_not_lose_its_lease_and_is_no_workers(hands: Hands) -> None:
    standing = await hands.stand()
    hands.now += 365 * DAY
    assert await hands.store.rescue([], now=hands.now) == []
    assert await hands.store.claim("w", [Wanted("job")], limit=9, now=hands.now) == []
    assert await hands.service.get(ADA, standing.id) == standing
    with pytest.raises(lifecycle.IllegalChange):
        lifecycle.claim(standing, now=hands.now, worker="w")
