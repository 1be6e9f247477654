"""How do the tests of stores set their scenes?"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import msgspec
import uuid_utils

from milepost import lifecycle
from milepost.lifecycle import IllegalChange, Report, Step
from milepost.store.protocol import (
    EVERYTHING,
    Created,
    Creation,
    Deleted,
    Deletion,
    Edit,
    Filter,
    LeasedEdit,
    Scope,
    StartKey,
    TaskStore,
)
from milepost.store.refusals import LeaseLost, Refusal
from milepost.store.workers import Claimed, Wanted, WorkerInfo
from milepost.task import DeliveredFile, Entry, Failure, FileResult, JsonResult, State, Task
from milepost.times import DAY, SECOND

START = 1_800_000_000 * SECOND
"""When every scene begins, in microseconds since the Unix epoch."""
BOUND = 30
"""Seconds after which a wait has failed."""
LEASE = 30 * SECOND

BOB = Scope("bob", own=("acme",))
ANN = Scope("ann", own=("acme",))
ACME = Scope("boss", whole=("acme",))
OTHER = Scope("boss", whole=("other",))

FAILURE = Failure("broken", "It broke.")


class MakeStore(Protocol):
    """Opens one more handle on the same data, as another process has one; all are closed after the test."""

    def __call__(self, *, max_log_bytes: int = ...) -> Awaitable[TaskStore]:
        """`max_log_bytes` is the cap of a task's log."""
        ...


def new_id() -> str:
    return str(uuid_utils.uuid7())


def draft(**fields: Any) -> Task:
    given = {"id": new_id(), "tenant": "acme", "owner": "bob", "type": "export", "created_at": 0, "updated_at": 0}
    kept = {"keep_result": 7 * DAY, "keep_record": 30 * DAY}
    return Task(**{**given, **kept, **fields})


def json_result(value: Any) -> JsonResult:
    body = msgspec.json.encode(value)
    return JsonResult(len(body), msgspec.Raw(body))


def file_result(key: str = "f/1") -> FileResult:
    return FileResult(key, "report.csv", "text/csv", 12, "0" * 64)


def line(message: str, **fields: Any) -> Entry:
    return Entry(START, "log", 1, message=message, fields=fields or None)


class Scene:
    """A store with a clock that stands still until somebody moves it."""

    def __init__(self, store: TaskStore) -> None:
        self.store = store
        self.now = START

    # Callers.

    async def try_start(
        self,
        task: Task,
        *,
        input: bytes = b"{}",
        scope: Scope = EVERYTHING,
        key: StartKey | None = None,
        state: State | None = None,
        files: tuple[DeliveredFile, ...] = (),
        epoch: int | None = None,
        sealed: bytes | None = None,
    ) -> Created | Refusal:
        now = self.now
        creation = Creation(
            task,
            input,
            lambda t: lifecycle.begin(t, now=now, state=state),
            scope,
            key,
            parent_epoch=epoch,
            files=files,
            sealed=sealed,
        )
        (outcome,) = await self.store.create([creation], now=now)
        return outcome

    async def start(self, *, state: State | None = None, input: bytes = b"{}", **fields: Any) -> Task:
        outcome = await self.try_start(draft(**fields), state=state, input=input)
        assert isinstance(outcome, Created), outcome
        return outcome.task

    async def get(self, task: Task | str, scope: Scope = EVERYTHING) -> Task | None:
        task_id = task if isinstance(task, str) else task.id
        (found,) = await self.store.get([task_id], scope, now=self.now)
        return found

    async def read(self, task: Task | str) -> Task:
        found = await self.get(task)
        assert found is not None
        return found

    async def log(self, task: Task, **bounds: int) -> list[Entry]:
        page = await self.store.log(task.id, EVERYTHING, now=self.now, **{"limit": 1000, **bounds})
        assert page is not None
        return page.entries

    async def history(self, task: Task, **bounds: int) -> list[Entry]:
        (page,) = await self.store.history([task.id], EVERYTHING, now=self.now, **{"limit": 1000, **bounds})
        assert page is not None
        return page.entries

    async def find(self, scope: Scope = EVERYTHING, **asked: Any) -> list[str]:
        page = await self.store.find(Filter(**asked), scope, after=None, limit=1000, now=self.now)
        return [task.id for task in page.tasks]

    async def try_change(
        self, task: Task, apply: Callable[[Task, tuple[str, ...]], Step], *, scope: Scope = EVERYTHING, **options: Any
    ) -> Task | Refusal | IllegalChange:
        (outcome,) = await self.store.change([Edit(task.id, scope, apply, **options)], now=self.now)
        return outcome

    async def change(self, task: Task, change: Callable[..., Step], **arguments: Any) -> Task:
        now = self.now
        outcome = await self.try_change(task, lambda t, _: change(t, now=now, **arguments))
        assert isinstance(outcome, Task), outcome
        return outcome

    async def retry(self, task: Task, *, revives: bool = True) -> Task:
        now = self.now
        outcome = await self.try_change(
            task, lambda t, unmet: lifecycle.retry(t, now=now, unmet=unmet), revives=revives
        )
        assert isinstance(outcome, Task), outcome
        return outcome

    async def wait_for(self, task: Task, depends_on: Sequence[str]) -> Task | Refusal | IllegalChange:
        """Let a task that has not started wait for others."""
        now = self.now

        def apply(task: Task, unmet: tuple[str, ...]) -> Step:
            if unmet:
                return lifecycle.block(task, now=now, blocked_by=unmet, reason=None, held=False)
            return lifecycle.unblock(task, now=now) if task.state is State.BLOCKED else Step(task)

        return await self.try_change(task, apply, depends_on=tuple(depends_on))

    async def delete(
        self, task: Task, *, scope: Scope = EVERYTHING, cascade: bool = False, unfinished: bool = False
    ) -> Deleted | Refusal:
        (outcome,) = await self.store.delete([Deletion(task.id, scope, cascade, unfinished)], now=self.now)
        return outcome

    # Workers.

    async def enlist(self, worker: str = "w1", types: tuple[str, ...] = ("export",)) -> str:
        info = WorkerInfo(worker, "here", 1, 4, types)
        await self.store.enlist(info)
        return worker

    async def claim(self, worker: str = "w1", *wanted: Wanted, limit: int = 100) -> list[Claimed]:
        claimed = await self.store.claim(worker, wanted or [Wanted("export")], limit=limit, now=self.now)
        assert not isinstance(claimed, LeaseLost)
        return claimed

    async def run(self, worker: str = "w1", **fields: Any) -> Task:
        """Start a task and claim it, and no other."""
        task_type = fields.pop("type", f"t{new_id().replace('-', '')}")
        await self.enlist(worker)
        task = await self.start(type=task_type, **fields)
        (claimed,) = await self.claim(worker, Wanted(task_type))
        assert claimed.task.id == task.id
        return claimed.task

    async def try_settle(self, task: Task, change: Callable[..., Step], **arguments: Any) -> Task | LeaseLost:
        now = self.now
        edit = LeasedEdit(task.id, task.epoch, lambda t: change(t, now=now, **arguments))
        (outcome,) = await self.store.change_leased([edit], now=now)
        return outcome

    async def settle(self, task: Task, change: Callable[..., Step], **arguments: Any) -> Task:
        outcome = await self.try_settle(task, change, **arguments)
        assert isinstance(outcome, Task), outcome
        return outcome

    async def report(self, task: Task, **said: Any) -> Task:
        return await self.settle(task, lifecycle.report, report=Report(**said))

    async def succeed(self, task: Task, result: JsonResult | FileResult | None = None) -> Task:
        return await self.settle(task, lifecycle.succeed, result=result)

    async def fail(self, task: Task) -> Task:
        return await self.settle(task, lifecycle.fail, failure=FAILURE)

    async def succeeded(self, result: JsonResult | FileResult | None = None, **fields: Any) -> Task:
        return await self.succeed(await self.run(**fields), result)

    async def failed(self, **fields: Any) -> Task:
        return await self.fail(await self.run(**fields))


async def bounded(awaitable: Awaitable[Any]) -> Any:
    """What it gives, or a failed test when that takes too long."""
    async with asyncio.timeout(BOUND):
        return await awaitable


async def after_changes(store: TaskStore, satisfied: Callable[[], Awaitable[bool]]) -> None:
    """Return once this is so, looking again after every commit that the store tells of."""
    async with asyncio.timeout(BOUND), aclosing(store.changes()) as commits:
        while not await satisfied():
            await anext(commits)


def whole(entries: Sequence[Entry]) -> bool:
    """Whether a log is numbered from 1 without holes, its versions rising."""
    numbers = [entry.seq for entry in entries]
    versions = [entry.version for entry in entries]
    return numbers == list(range(1, len(entries) + 1)) and versions == sorted(versions)
