"""Conformance: who goes first when more waits than can run, and what does not go at all."""

from collections.abc import Sequence

import pytest

from milepost.lifecycle import fail, park, succeed
from milepost.store.protocol import TypeInfo
from milepost.store.refusals import Missing
from milepost.store.workers import Claimed, Wanted
from milepost.times import SECOND
from milepost.trigger import Trigger

from .scene import FAILURE, START, Scene

ONE, TWO = TypeInfo("one", "loop", {"type": "object"}), TypeInfo("two", "thread", {}, "The second.", concurrency=3)


def tenants(claimed: Sequence[Claimed]) -> list[str]:
    return [one.task.tenant for one in claimed]


def types(claimed: Sequence[Claimed]) -> list[str]:
    return [one.task.type for one in claimed]


def titles(claimed: Sequence[Claimed]) -> str:
    return "".join(one.task.title or "?" for one in claimed)


class Turns:
    """Turns of types and tenants, and paused types."""

    # Tenants.

    async def test_tenants_take_turns_and_of_one_the_older_goes_first(self, scene: Scene) -> None:
        await scene.enlist()
        for title in ("a1", "a2", "a3", "a4", "b1", "c1", "c2"):
            await scene.start(title=f"{title} ", tenant=title[0])
        assert titles(await scene.claim()) == "a1 b1 c1 a2 c2 a3 a4 "

    async def test_turns_go_on_from_claim_to_claim(self, scene: Scene) -> None:
        await scene.enlist()
        for title in ("a1", "a2", "a3", "b1", "b2", "c1"):
            await scene.start(title=f"{title} ", tenant=title[0])
        claimed = [titles(await scene.claim(limit=limit)) for limit in (1, 1, 2, 1, 5)]
        assert claimed == ["a1 ", "b1 ", "c1 a2 ", "b2 ", "a3 "]

    async def test_a_backlog_does_not_delay_somebody_elses_task(self, scene: Scene) -> None:
        await scene.enlist()
        for _ in range(300):
            await scene.start(tenant="flood")
        assert tenants(await scene.claim(limit=3)) == ["flood"] * 3
        for tenant in ("early", "late", "trickle"):
            await scene.start(tenant=tenant)
        assert tenants(await scene.claim(limit=1)) == ["late"]
        assert tenants(await scene.claim(limit=2)) == ["trickle", "early"]
        assert tenants(await scene.claim(limit=2)) == ["flood"] * 2

    async def test_many_tenants_each_have_their_turn(self, scene: Scene) -> None:
        await scene.enlist()
        names = [f"t{n:03}" for n in range(120)]
        for name in (*names, *names):
            await scene.start(tenant=name)
        claimed = [tenants(await scene.claim(limit=7)) for _ in range(36)]
        assert [name for some in claimed for name in some] == [*names, *names]

    async def test_a_task_that_was_parked_has_its_tenants_next_turn(self, scene: Scene) -> None:
        await scene.enlist()
        for title in ("a1 ", "a2 ", "b1 "):
            await scene.start(title=title, tenant=title[0])
        (first,) = await scene.claim(limit=1)
        await scene.settle(first.task, park)
        assert titles(await scene.claim()) == "b1 a1 a2 "

    async def test_tasks_that_repeat_keep_no_other_from_running(self, scene: Scene) -> None:
        await scene.enlist()
        for title in ("r1 ", "r2 "):
            await scene.start(title=title, trigger=Trigger(every=SECOND), created_at=scene.now)
        scene.now += SECOND
        await scene.start(title="once ", created_at=scene.now)
        ran = ""
        for _ in range(5):
            (first,) = await scene.claim(limit=1)
            ran += titles([first])
            await scene.settle(first.task, succeed)
            scene.now += SECOND
            await scene.store.enqueue_due(now=scene.now, limit=10)
        assert ran == "r1 r2 once r1 r2 "

    async def test_a_try_again_comes_behind_what_was_due_before_it(self, scene: Scene) -> None:
        await scene.enlist()
        for title in ("a ", "b "):
            await scene.start(title=title, max_attempts=2, created_at=scene.now)
        (first,) = await scene.claim(limit=1)
        await scene.settle(first.task, fail, failure=FAILURE, retry_in=SECOND)
        scene.now += SECOND - 1
        await scene.start(title="c ", created_at=scene.now)
        scene.now += 1
        await scene.store.enqueue_due(now=scene.now, limit=10)
        assert titles(await scene.claim()) == "b c a "

    async def test_higher_priority_goes_first_whoever_waits(self, scene: Scene) -> None:
        await scene.enlist()
        await scene.start(title="a1 ", tenant="a")
        await scene.start(title="c1 ", tenant="c")
        for title in ("b1 ", "b2 ", "b3 "):
            await scene.start(title=title, tenant="b", priority=1)
        assert titles(await scene.claim(limit=4)) == "b1 b2 b3 a1 "

    async def test_the_urgent_tasks_of_one_do_not_move_the_turns_of_the_others(self, scene: Scene) -> None:
        await scene.enlist()
        for title in ("a1 ", "a2 ", "c1 ", "c2 ", "d1 "):
            await scene.start(title=title, tenant=title[0])
        order = ""
        for _ in range(5):
            await scene.start(title="B! ", tenant="b", priority=1)
            order += titles(await scene.claim(limit=2))
        assert order == "B! a1 B! c1 B! d1 B! a2 B! c2 "

    # Types.

    async def test_types_take_turns(self, scene: Scene) -> None:
        await scene.enlist(types=("one", "two"))
        for _ in range(5):
            await scene.start(type="one")
        for _ in range(2):
            await scene.start(type="two")
        both = (Wanted("one"), Wanted("two"))
        assert types(await scene.claim("w1", *both, limit=1)) == ["one"]
        assert types(await scene.claim("w1", *both)) == ["two", "one", "two", "one", "one", "one"]

    async def test_a_type_that_had_no_turn_for_long_is_next(self, scene: Scene) -> None:
        await scene.enlist(types=("one", "two", "three"))
        wanted = (Wanted("one"), Wanted("two"), Wanted("three"))
        for name in ("one", "two", "one", "two", "one", "two"):
            await scene.start(type=name)
        assert types(await scene.claim("w1", *wanted, limit=3)) == ["one", "two", "one"]
        await scene.start(type="three")
        assert types(await scene.claim("w1", *wanted, limit=3)) == ["three", "two", "one"]

    async def test_a_type_at_its_limit_gives_its_turns_to_others(self, scene: Scene) -> None:
        await scene.enlist(types=("one", "two"))
        for name in ("one", "two") * 4:
            await scene.start(type=name)
        wanted = (Wanted("one", concurrency=2), Wanted("two"))
        first = await scene.claim("w1", *wanted, limit=5)
        assert types(first) == ["one", "two", "one", "two", "two"]
        await scene.succeed(first[0].task)
        assert types(await scene.claim("w1", *wanted)) == ["one", "two"]

    async def test_what_missed_its_start_takes_no_room(self, scene: Scene) -> None:
        await scene.enlist()
        for _ in range(3):
            await scene.start(start_by=START + SECOND)
        await scene.start(title="good")
        scene.now += SECOND
        assert titles(await scene.claim("w1", Wanted("export", concurrency=1))) == "good"

    # Paused types.

    async def test_a_paused_type_is_left_alone_by_every_worker(self, scene: Scene, other: Scene) -> None:
        await scene.store.publish_types([ONE, TWO])
        await scene.enlist("w1", types=("one", "two"))
        await other.enlist("w2", types=("one", "two"))
        await scene.start(type="one")
        await scene.start(type="one")
        await scene.start(type="two")
        both = (Wanted("one"), Wanted("two"))
        (running,) = await other.claim("w2", *both, limit=1)
        (paused,) = await scene.store.pause_types(["one"], paused=True)
        assert isinstance(paused, TypeInfo)
        assert (paused.name, paused.paused) == ("one", True)
        assert types(await other.claim("w2", *both)) == ["two"]
        assert await scene.claim("w1", *both) == []
        await other.succeed(running.task)
        await other.store.pause_types(["one"], paused=False)
        assert types(await scene.claim("w1", *both)) == ["one"]

    async def test_only_resuming_ends_a_pause(self, scene: Scene, other: Scene) -> None:
        await scene.store.publish_types([ONE, TWO])
        assert [info.paused for info in await scene.store.types()] == [False, False]
        await scene.store.pause_types(["two"], paused=True)
        await other.store.publish_types([ONE, TWO])
        assert [(info.name, info.paused) for info in await other.store.types()] == [("one", False), ("two", True)]
        (resumed,) = await other.store.pause_types(["two"], paused=False)
        assert resumed == TWO
        assert await scene.store.types() == [ONE, TWO]

    async def test_a_type_that_nobody_knows_is_not_paused(self, scene: Scene) -> None:
        await scene.store.publish_types([ONE])
        missing, paused = await scene.store.pause_types(["absent", "one"], paused=True)
        assert isinstance(missing, Missing)
        assert isinstance(paused, TypeInfo)

    # What queued tasks say.

    @pytest.mark.parametrize("enlisted", [True, False])
    async def test_a_queued_task_of_a_paused_type_says_so(self, scene: Scene, *, enlisted: bool) -> None:
        await scene.store.publish_types([ONE, TWO])
        if enlisted:
            await scene.enlist(types=("one", "two"))
        task = await scene.start(type="one")
        await scene.store.note_obstacles(now=scene.now)
        before = await scene.read(task)
        await scene.store.pause_types(["one"], paused=True)
        assert await scene.store.note_obstacles(now=scene.now) == [task.id]
        told = await scene.read(task)
        assert told.message is not None
        assert "paused" in told.message
        assert told.version == before.version + 1
        assert await scene.store.note_obstacles(now=scene.now) == []
        await scene.store.pause_types(["one"], paused=False)
        await scene.store.note_obstacles(now=scene.now)
        assert (await scene.read(task)).message == before.message

    async def test_it_says_so_until_it_is_claimed(self, scene: Scene) -> None:
        await scene.store.publish_types([ONE])
        await scene.enlist(types=("one",))
        await scene.start(type="one")
        await scene.store.pause_types(["one"], paused=True)
        await scene.store.note_obstacles(now=scene.now)
        await scene.store.pause_types(["one"], paused=False)
        (claimed,) = await scene.claim("w1", Wanted("one"))
        assert claimed.task.message is None

    async def test_many_types_have_their_say_beside_a_backlog(self, scene: Scene) -> None:
        for _ in range(1100):
            await scene.start(type="backlog")
        one = await scene.start(type="zebra")
        noted = await scene.store.note_obstacles(now=scene.now)
        assert one.id in noted
        rest: list[str] = []
        while more := await scene.store.note_obstacles(now=scene.now):
            rest += more
        assert len({*noted, *rest}) == len(noted) + len(rest) == 1101

    async def test_what_a_task_says_itself_makes_room_for_that(self, scene: Scene) -> None:
        tasks = [await scene.run(type="one") for _ in range(3)]
        for task, said in zip(tasks, ("A", "z", "No worker"), strict=True):
            await scene.report(task, message=said)
            await scene.settle(await scene.read(task), park)
        await scene.store.dismiss("w1", now=scene.now)
        assert set(await scene.store.note_obstacles(now=scene.now)) == {task.id for task in tasks}
        await scene.enlist(types=("one",))
        await scene.store.note_obstacles(now=scene.now)
        assert [(await scene.read(task)).message for task in tasks] == [None] * 3
