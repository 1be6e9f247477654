"""What a running task starts, as the service takes it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from milepost import errors, lifecycle
from milepost.access.principal import LOCAL
from milepost.children import start_child
from milepost.files.folder import FolderFiles
from milepost.lifecycle import Step
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import LeasedEdit, TypeInfo
from milepost.store.sqlite.store import SqliteStore
from milepost.store.workers import Wanted, WorkerInfo
from milepost.task import Failure, State, Task
from milepost.times import DAY, HOUR

NOW = 1_767_225_600_000_000
BROKEN = Failure("broken", "It broke.")
PART = Start(type="part", input={"n": 1})


class Hands:
    """A service whose time a test moves, and the worker that a parent runs under."""

    def __init__(self, store: SqliteStore, files: FolderFiles) -> None:
        self.now = NOW
        self.store = store
        self.service = Service(store, files, clock=lambda: self.now)

    async def claim(self, type: str = "whole") -> Task:
        claimed = await self.store.claim("w", [Wanted(type)], limit=1, now=self.now)
        assert isinstance(claimed, list)
        return claimed[0].task

    async def parent(self) -> Task:
        await self.service.start(LOCAL, Start(type="whole", owner="ada", tenant="acme"), origin="native")
        return await self.claim()

    async def settle(self, task: Task, change: Callable[..., Step], **arguments: Any) -> Task:
        edit = LeasedEdit(task.id, task.epoch, lambda found: change(found, now=self.now, **arguments))
        (outcome,) = await self.store.change_leased([edit], now=self.now)
        assert isinstance(outcome, Task)
        return outcome

    async def retried(self, parent: Task) -> Task:
        """The parent as it runs again, after it has failed and was retried."""
        await self.settle(parent, lifecycle.fail, failure=BROKEN)
        self.now += HOUR
        await self.service.retry(LOCAL, parent.id)
        return await self.claim()

    async def start(self, parent: Task, start: Start = PART, key: str | None = None) -> Task:
        return await start_child(self.service, parent, start, key)


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncIterator[Hands]:
    store, files = SqliteStore(tmp_path / "m.db"), FolderFiles(tmp_path / "files")
    await store.open()
    await store.publish_types([TypeInfo("whole", "loop", {}), TypeInfo("part", "loop", {})])
    await store.enlist(WorkerInfo("w", "here", 1, 10, ("whole", "part")))
    yield Hands(store, files)
    await files.close()
    await store.close()


async def test_a_child_is_its_parents_owners_and_cannot_be_anybody_elses(hands: Hands) -> None:
    parent = await hands.parent()
    child = await hands.start(parent, Start(type="part", owner="eve", tenant="other", parent="x"))
    assert (child.owner, child.tenant, child.parent, child.origin) == ("ada", "acme", parent.id, "native")


async def test_the_same_start_is_the_same_child_and_a_key_tells_others_apart(hands: Hands) -> None:
    parent = await hands.parent()
    first = await hands.start(parent)
    assert await hands.start(parent) == first
    others = [await hands.start(parent, key="k"), await hands.start(parent, Start(type="part", input={"n": 2}))]
    assert len({first.id, *(other.id for other in others)}) == 3
    assert (await hands.start(parent, key="k")).id == others[0].id
    with pytest.raises(errors.KeyConflict, match="another one with this key"):
        await hands.start(parent, Start(type="part", input={"n": 2}), key="k")


async def test_one_that_could_not_be_started_any_more_is_found_all_the_same(hands: Hands) -> None:
    parent = await hands.parent()
    soon = Start(type="part", start_by=NOW + HOUR)
    child = await hands.start(parent, soon)
    hands.now += DAY
    assert (await hands.start(parent, soon)).id == child.id
    with pytest.raises(errors.Invalid):
        await hands.start(parent, soon, key="another")


async def test_p9_a_callers_key_never_means_a_child(hands: Hands) -> None:
    parent = await hands.parent()
    child = await hands.start(parent, key="k")
    started = await hands.service.start(
        LOCAL, Start(type="part", owner="ada", tenant="acme"), origin="native", idempotency_key="k"
    )
    assert not started.replayed
    assert started.task.id != child.id


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_one_that_did_not_succeed_begins_again_with_its_parent_and_not_before(hands: Hands, how: str) -> None:
    parent = await hands.parent()
    child = await hands.start(parent)
    if how == "failed":
        await hands.settle(await hands.claim("part"), lifecycle.fail, failure=BROKEN)
    else:
        await hands.service.cancel(LOCAL, child.id)
    found = await hands.start(parent)
    assert (found.id, found.state) == (child.id, State(how))
    again = await hands.start(await hands.retried(parent))
    assert (again.id, again.state) == (child.id, State.QUEUED)


async def test_one_that_has_succeeded_does_not_begin_again(hands: Hands) -> None:
    parent = await hands.parent()
    await hands.start(parent)
    done = await hands.settle(await hands.claim("part"), lifecycle.succeed)
    assert await hands.start(await hands.retried(parent)) == done


async def test_one_that_was_deleted_is_started_again(hands: Hands) -> None:
    parent = await hands.parent()
    child = await hands.start(parent)
    await hands.service.cancel(LOCAL, child.id)
    await hands.service.delete(LOCAL, child.id)
    again = await hands.start(await hands.retried(parent))
    assert again.id != child.id
    assert again.state is State.QUEUED
