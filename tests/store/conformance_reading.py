"""Conformance: lists, logs, results, counts."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost import lifecycle
from milepost.store.protocol import EVERYTHING, LOG_PAGE_BYTES, PAGE_BYTES, Filter, Scope, Tally, TypeInfo
from milepost.store.workers import Wanted
from milepost.task import Entry, JsonResult, State
from milepost.times import HOUR
from milepost.trigger import Trigger

from .conformance_life import Life
from .scene import ACME, ANN, BOB, OTHER, START, MakeStore, Scene, bounded, json_result, line, new_id, whole

CAP = 4_000


class Reading:
    """Everything that is read besides single records."""

    # Results.

    @pytest.mark.parametrize("size", [2, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 5_000_000])
    async def test_results_are_carried_in_the_record_up_to_64_kib(self, scene: Scene, other: Scene, size: int) -> None:
        given = json_result("x" * (size - 2))
        task = await scene.succeeded(given, list_id="l")
        expected = given if size <= 64 * 1024 else JsonResult(size, None)
        page = await other.store.log(task.id, EVERYTHING, limit=1, now=START)
        found = await other.store.find(Filter(list_id="l"), EVERYTHING, after=None, limit=1, now=START)
        assert page is not None
        for seen in (task, await other.read(task), page.task, *found.tasks):
            assert seen.result == expected
        assert await other.store.result(task.id, EVERYTHING, now=START) == bytes(given.value or b"")
        # A change of something else leaves it.
        await scene.change(task, lifecycle.relabel, title="t")
        assert await other.store.result(task.id, EVERYTHING, now=START) == bytes(given.value or b"")

    async def test_there_is_no_result_before_the_end(self, scene: Scene) -> None:
        task = await scene.run()
        assert await scene.store.result(task.id, EVERYTHING, now=START) is None
        assert await scene.store.result(new_id(), EVERYTHING, now=START) is None

    @pytest.mark.parametrize("size", [2, 100, 3_000_000])
    async def test_a_result_is_read_in_parts(self, scene: Scene, other: Scene, size: int) -> None:
        given = json_result("x" * (size - 2))
        whole = bytes(given.value or b"")
        task = await scene.succeeded(given)
        bounds = [0, 1, 50, 4096, size // 2, size - 1, size, size + 10]
        for start in bounds:
            for stop in (None, *bounds):
                part = await other.store.result(task.id, EVERYTHING, start=start, stop=stop, now=START)
                assert part == whole[start : max(start, size if stop is None else stop)]

    async def test_a_part_is_of_the_run_that_was_asked_for(self, scene: Scene) -> None:
        trigger = Trigger(every=HOUR, anchor=START)
        first = await scene.succeeded(json_result("one"), trigger=trigger)

        async def part(run: int) -> bytes | None:
            return await scene.store.result(first.id, EVERYTHING, run=run, start=1, stop=3, now=scene.now)

        assert [await part(1), await part(2)] == [b"on", None]
        scene.now = START + HOUR
        await scene.store.enqueue_due(now=scene.now, limit=10)
        (claimed,) = await scene.claim("w1", Wanted(first.type))
        assert [await part(1), await part(2)] == [None, None]
        await scene.succeed(claimed.task, json_result("two"))
        assert [await part(1), await part(2)] == [None, b"tw"]

    async def test_p6_p7_a_part_is_read_only_while_the_caller_may_see_it(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result("x" * 100_000), tenant="acme", owner="ann")
        assert task.result_expires_at is not None
        for scope, now, seen in (
            (ANN, START, b"x"),
            (BOB, START, None),
            (ANN, task.result_expires_at - 1, b"x"),
            (ANN, task.result_expires_at, None),
        ):
            assert await scene.store.result(task.id, scope, run=task.run, start=50, stop=51, now=now) == seen

    async def test_a_result_of_null_is_a_result(self, scene: Scene) -> None:
        task = await scene.succeeded(json_result(None))
        assert await scene.store.result(task.id, EVERYTHING, now=START) == b"null"

    async def test_many_records_are_read_in_the_order_asked_for(self, scene: Scene) -> None:
        tasks = [await scene.start() for _ in range(100)]
        ids = [task.id for task in tasks]
        ids[50:50] = [new_id()]
        found = await scene.store.get(ids, EVERYTHING, now=START)
        assert [task and task.id for task in found] == [*ids[:50], None, *ids[51:]]

    # Logs.

    async def test_a_log_is_read_from_anywhere(self, scene: Scene) -> None:
        task = await scene.run()
        for n in range(20):
            await scene.report(task, entries=tuple(line(f"{n}.{k}") for k in range(n % 4)), progress=n / 20)
        entries = await scene.log(task)
        assert whole(entries)
        for after in range(len(entries) + 2):
            for since in (0, 1, 2, 5, 12, 30):
                expected = [e for e in entries if e.seq > after and e.version > since]
                assert await scene.log(task, after=after, since_version=since) == expected
                assert await scene.log(task, after=after, since_version=since, limit=3) == expected[:3]

    async def test_a_page_of_a_log_of_large_entries_ends_early(self, scene: Scene) -> None:
        task = await scene.run()
        told = "x" * (LOG_PAGE_BYTES // 4)
        await scene.report(task, entries=tuple(line(f"{n}{told}") for n in range(9)))  # one row
        for n in range(9, 12):
            await scene.report(task, entries=(line(f"{n}{told}"),))
        await scene.report(task, entries=(line(told * 5), line("end")))
        pages: list[list[int]] = []
        after = 0
        while not pages or pages[-1]:
            page = await scene.store.log(task.id, EVERYTHING, after=after, limit=1000, now=START)
            assert page is not None
            pages.append([entry.seq for entry in page.entries])
            after = max(pages[-1], default=0)
        # Of the first two nearly nothing is said: that it was queued, and runs.
        assert pages == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13, 14], [15], [16], []]

    async def test_p4_log_and_record_are_of_one_moment(self, scene: Scene, other: Scene) -> None:
        task = await scene.run()

        async def write() -> None:
            for n in range(50):
                await scene.report(task, progress=n / 50, entries=(line(str(n)),))
            await scene.succeed(task)

        async def read() -> None:
            seen = 0
            while True:
                page = await other.store.log(task.id, EVERYTHING, limit=1000, now=START)
                assert page is not None
                assert len(page.entries) == page.task.log_seq
                assert page.entries[-1].version <= page.task.version
                assert page.task.version >= seen
                seen = page.task.version
                if page.task.state.terminal:
                    return

        await bounded(asyncio.gather(write(), read()))

    async def test_p8_a_log_resumed_from_a_version_misses_nothing(self, scene: Scene) -> None:
        task = await scene.run()
        entries: list[Entry] = []
        seen = 0
        for n in range(10):
            await scene.report(task, entries=(line(f"{n}a"), line(f"{n}b")))
            page = await scene.store.log(task.id, EVERYTHING, since_version=seen, limit=1000, now=START)
            assert page is not None
            entries += page.entries
            seen = page.task.version
        assert entries == await scene.log(task)

    async def test_a_full_log_says_so_once_and_counts(self, make_store: MakeStore) -> None:
        scene = Scene(await make_store(max_log_bytes=CAP))
        task = await scene.run()
        for n in range(100):
            await scene.report(task, entries=(line(f"row {n} " + "x" * 40, n=n), line("y" * 40)))
        await scene.report(task, progress=0.5, message="still here")
        done = await scene.fail(task)
        entries = await scene.log(task)
        assert whole(entries)
        full = [entry for entry in entries if entry.level == "warning"]
        assert len(full) == 1
        assert "full" in full[0].message
        kept = [entry for entry in entries if entry.kind == "log" and entry not in full]
        assert entries.index(full[0]) == 2 + len(kept)
        assert done.log_dropped == 200 - len(kept)
        assert done.log_bytes < CAP + 1_000
        assert [entry.kind for entry in entries[-2:]] == ["outcome", "state"]
        assert (done.progress, done.message) == (0.5, "still here")

    async def test_a_line_larger_than_the_cap_is_dropped(self, make_store: MakeStore) -> None:
        scene = Scene(await make_store(max_log_bytes=CAP))
        task = await scene.run()
        told = await scene.report(task, entries=(line("small"), line("x" * CAP), line("small again")))
        assert told.log_dropped == 2
        assert len(await scene.log(task)) == 4

    async def test_a_full_log_stays_full(self, make_store: MakeStore) -> None:
        scene = Scene(await make_store(max_log_bytes=CAP))
        task = await scene.run()
        await scene.report(task, entries=(line("x" * CAP), line("short")))
        told = await scene.report(task, entries=(line("short too"),))
        assert told.log_dropped == 3
        assert "short" not in " ".join(entry.message for entry in await scene.log(task))

    # Lists.

    async def test_lists_are_newest_first_and_paged(self, scene: Scene) -> None:
        ids = [(await scene.start(list_id=f"l{n % 2}", owner="bob" if n % 3 else "ann")).id for n in range(25)]
        newest = list(reversed(ids))
        cases: list[tuple[Scope, Filter, list[str]]] = [
            (EVERYTHING, Filter(), newest),
            (ACME, Filter(), newest),
            (ACME, Filter(list_id="l1"), [one for one in newest if ids.index(one) % 2]),
            (BOB, Filter(tenant="acme"), [one for one in newest if ids.index(one) % 3]),
        ]
        for scope, asked, expected in cases:
            seen: list[str] = []
            after = None
            while True:
                page = await scene.store.find(asked, scope, after=after, limit=4, now=START)
                seen += [task.id for task in page.tasks]
                assert len(page.tasks) == 4 or page.next is None
                if page.next is None:
                    break
                after = page.next
            assert seen == expected

    async def test_a_page_that_ends_with_the_last_task_has_no_next(self, scene: Scene) -> None:
        for _ in range(4):
            await scene.start()
        page = await scene.store.find(Filter(), EVERYTHING, after=None, limit=4, now=START)
        assert (len(page.tasks), page.next) == (4, None)
        page = await scene.store.find(Filter(), EVERYTHING, after=None, limit=0, now=START)
        assert (page.tasks, page.next) == ([], None)

    @pytest.mark.parametrize(
        ("scope", "asked"),
        [
            (EVERYTHING, {}),
            (BOB, {}),
            (ACME, {"tenant": "acme"}),
            (EVERYTHING, {"states": (State.SCHEDULED,)}),
            (EVERYTHING, {"list_id": "l"}),
        ],
    )
    async def test_a_page_of_large_records_ends_early(self, scene: Scene, scope: Scope, asked: dict[str, Any]) -> None:
        size = PAGE_BYTES // 10
        large: dict[str, Any] = {
            "metadata": {"x": "y" * size},
            "assignee": "bob",
            "run_at": START + HOUR,
            "list_id": "l",
        }
        tasks = [await scene.start(**large) for _ in range(25)]
        pages: list[list[str]] = []
        after: str | None = None
        while not pages or after is not None:
            page = await scene.store.find(Filter(**asked), scope, after=after, limit=20, now=START)
            pages.append([task.id for task in page.tasks])
            after = page.next
        assert [len(page) for page in pages] == [10, 10, 5]
        assert [task_id for page in pages for task_id in page] == [task.id for task in reversed(tasks)]

    async def test_a_page_has_a_record_however_large(self, scene: Scene) -> None:
        tasks = [await scene.start(metadata={"x": "y" * (PAGE_BYTES + 1)}) for _ in range(2)]
        first = await scene.store.find(Filter(), EVERYTHING, after=None, limit=20, now=START)
        second = await scene.store.find(Filter(), EVERYTHING, after=first.next, limit=20, now=START)
        assert [task.id for task in first.tasks + second.tasks] == [task.id for task in reversed(tasks)]
        assert second.next is None

    async def test_tasks_made_and_deleted_meanwhile_do_not_disturb_paging(self, scene: Scene) -> None:
        tasks = [await scene.succeeded() for _ in range(6)]
        first = await scene.store.find(Filter(), EVERYTHING, after=None, limit=3, now=START)
        await scene.start()
        await scene.delete(tasks[3])
        second = await scene.store.find(Filter(), EVERYTHING, after=first.next, limit=3, now=START)
        assert [task.id for task in second.tasks] == [tasks[n].id for n in (2, 1, 0)]

    @pytest.mark.parametrize("after", ["", "x", "AAAA", "ÄÖ", "A" * 32, "7", "-1", "a" * 1000])
    async def test_a_cursor_that_is_none_is_refused(self, scene: Scene, after: str) -> None:
        await scene.start()
        with pytest.raises(ValueError, match="cursor"):
            await scene.store.find(Filter(), EVERYTHING, after=after, limit=3, now=START)

    async def test_p6_a_cursor_tells_nothing_of_other_tenants(self, scene: Scene) -> None:
        await scene.start()
        await scene.start()
        cursors = set()
        for _ in range(3):
            page = await scene.store.find(Filter(tenant="acme"), ACME, after=None, limit=1, now=START)
            cursors.add(page.next)
        assert None not in cursors
        assert len(cursors) == 3

    async def test_filters_narrow_the_list(self, scene: Scene) -> None:
        root = await scene.succeeded(type="root")
        tasks = {
            "plain": await scene.start(),
            "other tenant": await scene.start(tenant="other", list_id="l", parent=root.id),
            "scheduled": await scene.start(run_at=START + HOUR),
            "of ann": await scene.start(owner="ann"),
            "for ann": await scene.start(assignee="ann"),
            "listed": await scene.start(list_id="l", type="backup"),
            "child": await scene.start(parent=root.id),
            "dependent": await scene.start(depends_on=(root.id,), list_id="l"),
            "paused": await scene.change(await scene.start(), lifecycle.pause),
        }
        names = {task.id: name for name, task in tasks.items()} | {root.id: "root"}

        async def listed(scope: Scope = EVERYTHING, **asked: Any) -> list[str]:
            return sorted(names[one] for one in await scene.find(scope, **asked))

        assert await listed() == sorted(names.values())
        assert await listed(tenant="other") == ["other tenant"]
        assert await listed(OTHER) == ["other tenant"]
        assert await listed(OTHER, tenant="acme") == []
        assert await listed(states=(State.SCHEDULED, State.PAUSED)) == ["paused", "scheduled"]
        assert await listed(states=(State.PAUSED, State.SUCCEEDED)) == ["paused", "root"]
        assert await listed(ACME, states=(State.PAUSED,)) == ["paused"]
        assert await listed(type="backup") == ["listed"]
        assert await listed(type="backup", states=(State.RUNNING,)) == []
        assert await listed(owner="ann") == ["of ann"]
        assert await listed(owner="ann", tenant="acme") == ["of ann"]
        assert await listed(BOB, owner="ann") == []
        assert await listed(assignee="ann") == ["for ann"]
        assert await listed(ACME, assignee="ann") == ["for ann"]
        assert await listed(ANN) == ["for ann", "of ann"]
        assert await listed(ANN, states=(State.QUEUED,)) == ["for ann", "of ann"]
        assert await listed(list_id="l") == ["dependent", "listed", "other tenant"]
        assert await listed(list_id="l", tenant="acme") == ["dependent", "listed"]
        assert await listed(ACME, list_id="l") == ["dependent", "listed"]
        assert await listed(list_id="l", type="backup") == ["listed"]
        assert await listed(parent=root.id) == ["child", "other tenant"]
        assert await listed(ACME, parent=root.id) == ["child"]
        assert await listed(depends_on=root.id) == ["dependent"]
        assert await listed(depends_on=root.id, list_id="x") == []
        assert await listed(depends_on=new_id()) == []
        assert await listed(number=root.number) == ["other tenant", "root"]
        assert await listed(number=root.number, tenant="acme") == ["root"]
        assert await listed(BOB, number=tasks["of ann"].number, tenant="acme") == []

    async def test_p6_who_depends_on_a_task_is_not_told_to_those_who_can_not_see_it(self, scene: Scene) -> None:
        root = await scene.start()
        dependent = await scene.start(owner="ann", depends_on=(root.id,))
        assert await scene.find(ACME, depends_on=root.id) == [dependent.id]
        assert await scene.get(dependent, ANN) is not None
        assert await scene.find(ANN, depends_on=root.id) == []

    async def test_p6_who_is_told_of_its_own_tasks_alone_sees_none_that_is_assigned_to_it(self, scene: Scene) -> None:
        scope = Scope("bob", own=("acme",), assigned=False)
        own, anothers = await scene.start(), await scene.start(owner="ann", assignee="bob")
        assert await scene.get(anothers, BOB) == anothers
        assert (await scene.get(own, scope), await scene.get(anothers, scope)) == (own, None)
        for asked in ({}, {"assignee": "bob"}, {"owner": "ann"}, {"number": anothers.number}):
            assert await scene.find(scope, **asked) == ([own.id] if not asked else []), asked
        assert await scene.store.log(anothers.id, scope, limit=1, now=START) is None
        assert await scene.store.tally(scope, now=START) == [Tally("export", State.QUEUED, 1)]

    async def test_lists_of_several_tenants_are_in_order(self, scene: Scene) -> None:
        scope = Scope("bob", whole=("a", "b"), own=("c", "a"))
        ids = [(await scene.start(tenant=tenant)).id for tenant in "abcabdabc"]
        expected = [one for one, tenant in zip(ids, "abcabdabc", strict=True) if tenant != "d"][::-1]
        assert await scene.find(scope) == expected
        page = await scene.store.find(Filter(), scope, after=None, limit=5, now=START)
        assert [task.id for task in page.tasks] == expected[:5]

    # Counts and types.

    async def test_the_unfinished_are_counted_by_tenant(self, scene: Scene) -> None:
        root = await scene.start()
        await scene.start(owner="ann", depends_on=(root.id,))
        await scene.start(run_at=START + HOUR)
        await scene.succeeded(tenant="other")
        await scene.run(tenant="other")
        tenants = ["acme", "nobody", "other", "acme"]
        assert await scene.store.unfinished(tenants, most=100) == [3, 0, 1, 3]
        assert await scene.store.unfinished(tenants, most=2) == [2, 0, 1, 2]

    async def test_tallies_count_what_the_caller_sees(self, scene: Scene) -> None:
        await scene.start()
        await scene.start(type="backup")
        await scene.start(owner="ann")
        await scene.start(run_at=START + HOUR)
        await scene.start(tenant="other")

        async def tallied(scope: Scope) -> set[Tally]:
            return set(await scene.store.tally(scope, now=START))

        assert await tallied(ACME) == {
            Tally("export", State.QUEUED, 2),
            Tally("export", State.SCHEDULED, 1),
            Tally("backup", State.QUEUED, 1),
        }
        assert await tallied(ANN) == {Tally("export", State.QUEUED, 1)}
        assert Tally("export", State.QUEUED, 3) in await tallied(EVERYTHING)

    async def test_types_are_known_to_every_process(self, scene: Scene, other: Scene) -> None:
        assert await scene.store.types() == []
        export = TypeInfo("export", "loop", {"type": "object"}, "Exports.", 3, HOUR, 5, 2, 1, 2)
        backup = TypeInfo("backup", "process", {})
        await scene.store.publish_types([export, backup])
        assert await other.store.types() == [backup, export]
        newer = TypeInfo("export", "thread", {"type": "object", "title": "new"})
        await other.store.publish_types([newer])
        assert await scene.store.types() == [backup, newer]

    async def test_the_files_that_some_record_points_to_are_known(self, scene: Scene) -> None:
        assert await scene.store.known_files([]) == set()
        assert await scene.store.known_files(["f/1"]) == set()

    async def test_the_store_s_secret_is_its_own_and_stays(self, scene: Scene, other: Scene) -> None:
        secret = await scene.store.secret()
        assert len(secret) == 32
        assert await other.store.secret() == secret

    # Everything together.

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data())
    async def test_p2_p4_p10_hold_whatever_happens(self, make_store: MakeStore, data: st.DataObject) -> None:
        scene = Scene(await make_store())
        await Life(scene, f"t{new_id()}", data).live()
        await scene.store.close()
