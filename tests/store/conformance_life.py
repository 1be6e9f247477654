"""Conformance: what holds whatever happens, and in which order."""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING, Filter
from milepost.store.workers import Wanted
from milepost.task import State, Task
from milepost.times import SECOND

from .scene import FAILURE, Scene, json_result, line, whole


class Life:
    """Random things that happen to a few tasks which depend on each other."""

    def __init__(self, scene: Scene, tenant: str, data: st.DataObject) -> None:
        self.scene = scene
        self.tenant = tenant
        self.type = tenant
        self.data = data
        self.versions: dict[str, int] = {}

    async def live(self) -> None:
        happenings = [
            self.start,
            self.start,
            self.claim,
            self.claim,
            self.settle,
            self.settle,
            self.ask,
            self.link,
            self.lose,
            self.delete,
        ]
        for _ in range(self.data.draw(st.integers(5, 25), label="happenings")):
            self.scene.now += SECOND
            await self.data.draw(st.sampled_from(happenings))()
            await self.check()

    async def some(self) -> Task | None:
        ids = await self.scene.find(tenant=self.tenant)
        return await self.scene.get(self.data.draw(st.sampled_from(ids))) if ids else None

    async def start(self) -> None:
        ids = await self.scene.find(tenant=self.tenant)
        depends_on = self.data.draw(st.lists(st.sampled_from(ids), unique=True, max_size=3)) if ids else []
        wish = self.data.draw(st.sampled_from(["fail", "run", "stay"]))
        await self.scene.start(
            tenant=self.tenant,
            type=self.type,
            depends_on=tuple(depends_on),
            on_dependency_failure=wish,
            max_attempts=2,
        )

    async def claim(self) -> None:
        await self.scene.enlist()
        await self.scene.claim("w1", Wanted(self.type), limit=2)

    async def settle(self) -> None:
        running = await self.scene.find(tenant=self.tenant, states=(State.RUNNING,))
        if not running:
            return
        task = await self.scene.read(self.data.draw(st.sampled_from(running)))
        changes: list[tuple[Any, dict[str, Any]]] = [
            (lifecycle.succeed, {"result": json_result([1])}),
            (lifecycle.fail, {"failure": FAILURE}),
            (lifecycle.fail, {"failure": FAILURE, "retry_in": SECOND}),
            (lifecycle.park, {}),
            (lifecycle.report, {"report": lifecycle.Report(progress=0.5, entries=(line("x"),), checkpoint=b"1")}),
        ]
        change, arguments = self.data.draw(st.sampled_from(changes))
        await self.scene.settle(task, change, **arguments)

    async def ask(self) -> None:
        task = await self.some()
        if task is None:
            return
        change = self.data.draw(st.sampled_from([lifecycle.cancel, lifecycle.pause, lifecycle.resume]))
        now = self.scene.now
        if task.state in (State.FAILED, State.CANCELLED):
            await self.scene.retry(task)
        else:
            await self.scene.try_change(task, lambda t, _: change(t, now=now))

    async def link(self) -> None:
        ids = await self.scene.find(tenant=self.tenant)
        waiting = await self.scene.find(tenant=self.tenant, states=(State.QUEUED, State.BLOCKED))
        if waiting:
            task = await self.scene.read(self.data.draw(st.sampled_from(waiting)))
            await self.scene.wait_for(task, self.data.draw(st.lists(st.sampled_from(ids), unique=True, max_size=3)))

    async def lose(self) -> None:
        await self.scene.store.dismiss("w1", now=self.scene.now)
        await self.scene.store.enqueue_due(now=self.scene.now, limit=100)

    async def delete(self) -> None:
        task = await self.some()
        if task is not None:
            await self.scene.delete(task, cascade=self.data.draw(st.booleans()))

    async def check(self) -> None:
        page = await self.scene.store.find(
            Filter(tenant=self.tenant), EVERYTHING, after=None, limit=1000, now=self.scene.now
        )
        records = {task.id: task for task in page.tasks}
        for task in page.tasks:
            entries = await self.scene.log(task)
            assert whole(entries)
            assert len(entries) == task.log_seq
            assert entries[-1].version <= task.version
            moves = [entry for entry in entries if entry.kind == "state"]
            assert moves[-1].target is task.state
            assert all(a.target is b.source for a, b in pairwise(moves))
            assert task.version >= self.versions.get(task.id, 1)
            self.versions[task.id] = task.version
            self.check_waiting(task, records)

    @staticmethod
    def check_waiting(task: Task, records: dict[str, Task]) -> None:
        if task.state is not State.BLOCKED:
            assert (task.blocked_by, task.blocked_reason) == ((), None)
            return
        assert task.blocked_by
        assert task.blocked_reason
        for dependency in task.blocked_by:
            state = records[dependency].state
            assert dependency in task.depends_on
            assert not state.terminal or (task.on_dependency_failure == "stay" and state is not State.SUCCEEDED)
