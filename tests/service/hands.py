"""Who asks a service in these tests, and what stands in for the clock and the workers."""

from typing import Any

import msgspec

from milepost import lifecycle
from milepost.access.principal import LOCAL, Grant, Principal, Role
from milepost.files.folder import FolderFiles
from milepost.results import ResultBody
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import LeasedEdit
from milepost.store.sqlite.store import SqliteStore
from milepost.store.workers import Claimed, Wanted, WorkerInfo
from milepost.task import Failure, FileResult, JsonResult, Task
from milepost.times import SECOND

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


def someone(name: str, *grants: tuple[str, Role]) -> Principal:
    return Principal(name, name.title(), tuple(Grant(tenant, role) for tenant, role in grants))


ADA = someone("ada", ("acme", Role.USER))
BOB = someone("bob", ("acme", Role.USER))
MIA = someone("mia", ("acme", Role.MEMBER))
ROOT = someone("root", ("acme", Role.ADMIN))
EVE = someone("eve", ("other", Role.ADMIN))


async def read(body: ResultBody, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in body.read(start, stop)])
