"""Conformance: who waits hears of changes, whichever process makes them."""

import asyncio
from contextlib import aclosing

import pytest

from milepost import lifecycle
from milepost.store.protocol import TypeInfo
from milepost.task import State
from milepost.times import SECOND

from .scene import BOUND, MakeStore, Scene, after_changes, bounded, json_result, line, new_id

LONG = 10 * BOUND * SECOND


class Waking:
    """Waits and news of changes."""

    @pytest.mark.parametrize("whose", ["mine", "theirs"])
    async def test_a_wait_ends_with_a_newer_version(self, scene: Scene, other: Scene, whose: str) -> None:
        task = await scene.run()
        for n in range(5):
            waiting = asyncio.create_task(scene.store.wait(task.id, version=task.version + n, timeout=LONG))
            await asyncio.sleep(0)
            told = await (scene if whose == "mine" else other).report(task, progress=n / 10, entries=(line("x"),))
            await bounded(waiting)
            assert (await scene.read(task)).version == told.version

    async def test_a_wait_for_what_is_past_already_ends_at_once(self, scene: Scene) -> None:
        task = await scene.start()
        await bounded(scene.store.wait(task.id, version=0, timeout=LONG))

    async def test_a_wait_for_what_is_not_there_ends_at_once(self, scene: Scene) -> None:
        await bounded(scene.store.wait(new_id(), version=0, timeout=LONG))

    @pytest.mark.parametrize("whose", ["mine", "theirs"])
    async def test_a_wait_ends_when_the_record_goes(self, scene: Scene, other: Scene, whose: str) -> None:
        task = await scene.succeeded()
        waiting = asyncio.create_task(scene.store.wait(task.id, version=task.version, timeout=LONG))
        await asyncio.sleep(0)
        await (scene if whose == "mine" else other).delete(task)
        await bounded(waiting)

    async def test_a_wait_ends_after_its_time(self, scene: Scene) -> None:
        task = await scene.start()
        await bounded(scene.store.wait(task.id, version=task.version, timeout=SECOND // 100))
        await bounded(scene.store.wait(task.id, version=task.version, timeout=0))

    async def test_many_can_wait_for_many(self, scene: Scene, other: Scene) -> None:
        tasks = [await scene.run() for _ in range(10)]
        waiting = [
            asyncio.create_task(where.store.wait(task.id, version=task.version, timeout=LONG))
            for task in tasks
            for where in (scene, other) * 3
        ]
        await asyncio.sleep(0)
        for task in tasks[:5]:
            await scene.succeed(task)
        for task in tasks[5:]:
            await other.succeed(task)
        await bounded(asyncio.gather(*waiting))

    async def test_a_wait_that_is_given_up_leaves_the_others(self, scene: Scene) -> None:
        task = await scene.start()
        one, two = (asyncio.create_task(scene.store.wait(task.id, version=1, timeout=LONG)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        await scene.change(task, lifecycle.cancel)
        await bounded(two)
        assert one.cancelled() or isinstance((await asyncio.gather(one, return_exceptions=True))[0], BaseException)

    async def test_p4_whoever_waits_sees_every_task_to_its_end(self, scene: Scene, other: Scene) -> None:
        task = await scene.run()

        async def follow(where: Scene) -> list[int]:
            seen = [task.version]
            while True:
                await where.store.wait(task.id, version=seen[-1], timeout=LONG)
                now = await where.read(task)
                seen.append(now.version)
                if now.state.terminal:
                    return seen

        followers = [asyncio.create_task(follow(where)) for where in (scene, other)]
        for n in range(30):
            await scene.report(task, progress=n / 30)
        done = await scene.succeed(task, json_result(1))
        for seen in await bounded(asyncio.gather(*followers)):
            assert seen == sorted(seen)
            assert seen[-1] == done.version

    # News of any change.

    @pytest.mark.parametrize("whose", ["mine", "theirs"])
    async def test_changes_tell_of_every_commit(self, scene: Scene, other: Scene, whose: str) -> None:
        task = await scene.start()
        writer = scene if whose == "mine" else other
        watching = asyncio.create_task(
            after_changes(scene.store, lambda: _is_in(scene, task.id, State.CANCELLED)), name="watching"
        )
        await asyncio.sleep(0)
        await writer.change(task, lifecycle.cancel)
        await watching

    async def test_changes_tell_of_what_came_after_they_were_asked_for(self, scene: Scene) -> None:
        changes = scene.store.changes()
        await scene.start()
        await bounded(anext(changes))
        await changes.aclose()

    async def test_changes_tell_of_types_too(self, scene: Scene, other: Scene) -> None:
        async with aclosing(scene.store.changes()) as changes:
            await other.store.publish_types([TypeInfo("export", "loop", {})])
            await bounded(anext(changes))

    async def test_several_can_follow_changes(self, scene: Scene) -> None:
        followers = [scene.store.changes() for _ in range(3)]
        await scene.start()
        await bounded(asyncio.gather(*(anext(changes) for changes in followers)))
        for changes in followers:
            await changes.aclose()

    async def test_closing_the_store_ends_waits_and_changes(self, make_store: MakeStore) -> None:
        store = await make_store()
        task = await Scene(store).start()
        waiting = asyncio.create_task(store.wait(task.id, version=task.version, timeout=LONG))

        async def follow() -> None:
            async for _ in store.changes():
                pass

        following = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await store.close()
        await bounded(asyncio.gather(waiting, following))

    # Opening and closing.

    async def test_p1_closing_finishes_what_was_asked(self, make_store: MakeStore) -> None:
        store = await make_store()
        starts = [asyncio.create_task(Scene(store).start()) for _ in range(50)]
        await asyncio.sleep(0)
        await store.close()
        tasks = await bounded(asyncio.gather(*starts))
        scene = Scene(await make_store())
        assert {task.id for task in tasks} == set(await scene.find())

    async def test_a_closed_store_says_so(self, make_store: MakeStore) -> None:
        store = await make_store()
        await store.close()
        await store.close()
        scene = Scene(store)
        for use in (scene.start, scene.find, lambda: scene.get(new_id())):
            with pytest.raises(RuntimeError, match="not open"):
                await use()
        with pytest.raises(RuntimeError, match="not open"):
            store.changes()

    async def test_a_closed_store_can_be_opened_again(self, make_store: MakeStore) -> None:
        store = await make_store()
        task = await Scene(store).start()
        await store.close()
        await store.open()
        assert await Scene(store).get(task) == task


async def _is_in(scene: Scene, id: str, state: State) -> bool:
    return (await scene.read(id)).state is state
