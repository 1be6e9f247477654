"""Conformance: the states and outcomes in logs, told apart from what tasks log themselves."""

import asyncio

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING
from milepost.store.workers import Wanted
from milepost.task import Entry, Failure, State

from .scene import ACME, OTHER, START, MakeStore, Scene, bounded, draft, line, new_id


class Histories:
    """The newest states and outcomes of tasks, newest first."""

    async def test_a_history_is_the_log_without_its_lines(self, scene: Scene, other: Scene) -> None:
        task = await scene.run(max_attempts=2)
        for n in range(30):
            await scene.report(task, entries=tuple(line(f"{n}.{k}") for k in range(n % 4)))
        await scene.settle(task, lifecycle.fail, failure=Failure("x", "It broke."), retry_in=0)
        expected = [entry for entry in reversed(await scene.log(task)) if entry.kind != "log"]
        assert [(e.kind, e.source, e.target) for e in expected] == [
            ("state", State.RUNNING, State.QUEUED),
            ("outcome", None, None),
            ("state", State.QUEUED, State.RUNNING),
            ("state", None, State.QUEUED),
        ]
        assert await other.history(task) == expected
        for limit in range(6):
            assert await other.history(task, limit=limit) == expected[:limit]
        for before in range(1, expected[0].seq + 3):
            assert await other.history(task, before=before) == [e for e in expected if e.seq < before]
            assert await other.history(task, before=before, limit=1) == [e for e in expected if e.seq < before][:1]

    async def test_histories_come_in_the_order_asked_for(self, scene: Scene) -> None:
        first, second = await scene.run(), await scene.failed()
        ids = [second.id, new_id(), first.id, second.id]
        pages = await scene.store.history(ids, EVERYTHING, limit=1, now=START)
        assert [page and page.task.id for page in pages] == [second.id, None, first.id, second.id]
        assert [page and page.entries[0].target for page in pages] == ["failed", None, "running", "failed"]
        assert await scene.store.history([], EVERYTHING, limit=1, now=START) == []

    async def test_lines_in_the_change_of_a_state_are_passed_over(self, scene: Scene) -> None:
        task = await scene.run()
        told = (line("a"), line("b"))
        await scene.settle(task, lifecycle.succeed, report=lifecycle.Report(entries=told))
        newest = await scene.history(task, limit=2)
        assert [(entry.kind, entry.seq) for entry in newest] == [("state", 6), ("outcome", 5)]

    async def test_what_is_told_of_a_full_log_is_in_its_history(self, make_store: MakeStore) -> None:
        scene = Scene(await make_store(max_log_bytes=1_000))
        task = await scene.run()
        await scene.report(task, entries=tuple(line("x" * 100) for _ in range(30)))
        await scene.succeed(task)
        entries = await scene.history(task)
        assert [entry.kind for entry in entries] == ["state", "outcome", "state", "state"]
        assert (entries[1].fields or {})["log_dropped"] > 0

    async def test_p6_nobody_sees_the_history_of_what_he_may_not(self, scene: Scene) -> None:
        task = await scene.start()
        seen, hidden, absent = [
            await scene.store.history([task_id], scope, limit=10, now=START)
            for task_id, scope in ((task.id, ACME), (task.id, OTHER), (new_id(), OTHER))
        ]
        assert [page and page.task for page in seen] == [task]
        assert hidden == absent == [None]

    async def test_p7_a_history_goes_with_its_record(self, scene: Scene) -> None:
        task = await scene.succeeded()
        assert task.expires_at is not None
        for now, there in ((task.expires_at - 1, True), (task.expires_at, False)):
            (page,) = await scene.store.history([task.id], EVERYTHING, limit=10, now=now)
            assert (page is not None) is there

    async def test_p4_a_history_and_its_record_are_of_one_moment(self, scene: Scene, other: Scene) -> None:
        task = await scene.run(max_attempts=100)

        async def write() -> None:
            current = task
            for _ in range(20):
                current = await scene.settle(current, lifecycle.park)
                (claimed,) = await scene.claim("w1", Wanted(task.type))
                current = claimed.task
            await scene.succeed(current)

        async def read() -> None:
            while True:
                (page,) = await other.store.history([task.id], EVERYTHING, limit=3, now=START)
                assert page is not None
                moves: list[Entry] = [entry for entry in page.entries if entry.kind == "state"]
                assert moves[0].target is page.task.state
                assert moves[0].seq == page.task.log_seq
                if page.task.state.terminal:
                    return

        await bounded(asyncio.gather(write(), read()))

    async def test_a_new_task_has_begun(self, scene: Scene) -> None:
        created = await scene.try_start(draft(parent=None, unique_key="k"))
        for task in (await scene.start(), created.task):  # type: ignore[union-attr]
            (entry,) = await scene.history(task)
            assert (entry.kind, entry.source, entry.target, entry.seq) == ("state", None, State.QUEUED, 1)
