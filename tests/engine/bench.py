"""An application on a workbench: an open store with files, and workers that a test starts and stops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from milepost import Milepost, times
from milepost.access.principal import LOCAL
from milepost.children import scope_of
from milepost.engine.slots import Slots
from milepost.engine.worker import Worker
from milepost.service import Service
from milepost.task import Entry, State, Task

WITHIN: Final = 20.0
"""Seconds after which a wait has failed. Nothing waits so long unless something is wrong."""


async def until(arrived: Callable[[], object]) -> None:
    """Return once something in this process has come so far."""
    async with asyncio.timeout(WITHIN):
        while not arrived():
            await asyncio.sleep(0)


class Clock:
    """The system clock, and as many µs ahead of it as a test says."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return times.now() + self.ahead


class Bench:
    """Types are registered with `app`; `service` says what became of tasks."""

    def __init__(self, app: Milepost, service: Service, folder: Path, clock: Clock) -> None:
        self.app = app
        self.clock = clock
        self.service = service
        self.store = service.store
        self.folder = folder

    def worker(self, **options: Any) -> Worker:
        """A worker that is not patient, with four slots, or `concurrency`, or `slots`."""
        options.setdefault("slots", Slots(options.pop("concurrency", 4)))
        given = {"grace": 0.2, "force_after": 0.1, "loops": self.app._loops(), "clock": self.clock}
        given |= {"start_child": self.app._start_child, "scope_of": scope_of}
        return Worker(self.app.types, self.store, self.service.files, self.app._place(), **{**given, **options})

    @contextlib.asynccontextmanager
    async def working(self, **options: Any) -> AsyncIterator[Worker]:
        """A worker that works while the block lasts."""
        worker = self.worker(**options)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait_for(running, WITHIN)

    async def publish(self) -> None:
        """Make known what was registered since the store was opened."""
        await self.store.publish_types([task_type.info for task_type in self.app.types.values()])

    async def start(self, type: str, input: Mapping[str, Any] | None = None, **options: Any) -> Task:
        """Start a task. Types that were registered since the store was opened are made known first."""
        await self.publish()
        return await self.app.start(type, input, **options)

    async def get(self, task: Task) -> Task:
        """The record as it stands."""
        return await self.service.get(LOCAL, task.id)

    async def until(self, task: Task, arrived: Callable[[Task], object]) -> Task:
        """The record, once it has come to where the test waits for it."""
        found = await self.get(task)
        try:
            async with asyncio.timeout(WITHIN):
                while not arrived(found):
                    await self.store.wait(task.id, version=found.version, timeout=1_000_000)
                    found = await self.get(task)
        except TimeoutError:
            raise AssertionError(f"It did not come so far: {found}\n{await self.entries(task)}") from None
        return found

    async def end(self, task: Task) -> Task:
        """The record at its end."""
        return await self.until(task, lambda found: found.state.terminal)

    async def reach(self, task: Task, state: State) -> Task:
        """The record in a state."""
        return await self.until(task, lambda found: found.state is state)

    async def told(self, task: Task, message: str) -> Task:
        """The record once the task has said `message` with its progress."""
        return await self.until(task, lambda found: found.message == message)

    async def entries(self, task: Task) -> list[Entry]:
        """The whole log, page by page."""
        found: list[Entry] = []
        while page := (await self.service.log(LOCAL, task.id, after=len(found), limit=100_000)).entries:
            found += page
        return found

    async def lines(self, task: Task) -> list[str]:
        """What the task itself logged."""
        return [entry.message for entry in await self.entries(task) if entry.kind == "log"]

    async def states(self, task: Task) -> list[str]:
        """Which states it went through."""
        return [str(entry.target) for entry in await self.entries(task) if entry.kind == "state"]

    async def result(self, task: Task) -> Any:
        """Its JSON result."""
        body = await self.service.result(LOCAL, task.id)
        return msgspec.json.decode(b"".join([piece async for piece in body.read(0, None)]))

    async def traceback(self, task: Task) -> str | None:
        """What admins see of where it failed."""
        return (await self.service.cold(LOCAL, task.id)).traceback

    async def saved(self, task: Task) -> Any:
        """Its last checkpoint."""
        checkpoint = (await self.service.cold(LOCAL, task.id)).checkpoint
        return None if checkpoint is None else msgspec.json.decode(checkpoint)
