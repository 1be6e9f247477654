"""One record that can't be read, whoever damaged it, must not stop all others."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from milepost.store.protocol import EVERYTHING, Deleted, Filter
from milepost.store.workers import Wanted
from milepost.task import State, Task
from milepost.times import DAY, HOUR
from tests.store.scene import Scene


def damage(path: Path, task: Task) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE task SET counts = '{' WHERE id = ?", (task.id,))


async def test_the_tasks_of_a_lost_worker_are_queued_again(
    path: Path, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = await scene.run(), await scene.run()
    damage(path, bad)
    assert await scene.store.rescue(await scene.store.pulses(), now=scene.now) == [good.id]
    assert "can't be read" in caplog.text


async def test_others_are_claimed(path: Path, scene: Scene) -> None:
    bad, good, last = await scene.start(priority=9), await scene.start(), await scene.start()
    damage(path, bad)
    await scene.enlist()
    assert [claimed.task.id for claimed in await scene.claim(limit=1)] == [good.id]
    assert [claimed.task.id for claimed in await scene.claim(limit=10)] == [last.id]
    assert await scene.claim("w1", Wanted("export"), limit=10) == []


async def test_others_are_listed_and_come_due_and_expire(path: Path, scene: Scene) -> None:
    bad, good = await scene.start(run_at=scene.now + HOUR), await scene.start(run_at=scene.now + HOUR)
    old, older = await scene.failed(keep_record=DAY), await scene.failed(keep_record=DAY)
    damage(path, bad)
    damage(path, old)
    assert await scene.find() == [older.id, good.id]
    scene.now += DAY
    assert await scene.store.enqueue_due(now=scene.now, limit=10) == [good.id]
    assert (await scene.read(good)).state is State.QUEUED
    assert (await scene.store.expire(now=scene.now, limit=10)).ids == (older.id,)


async def test_a_list_goes_on_behind_it(path: Path, scene: Scene) -> None:
    tasks = [await scene.start() for _ in range(4)]
    damage(path, tasks[2])
    first = await scene.store.find(Filter(), EVERYTHING, after=None, limit=2, now=scene.now)
    second = await scene.store.find(Filter(), EVERYTHING, after=first.next, limit=2, now=scene.now)
    assert [task.id for task in first.tasks + second.tasks] == [tasks[3].id, tasks[1].id, tasks[0].id]
    assert second.next is None


async def test_what_it_waits_for_can_end_and_others_hear_of_it(path: Path, scene: Scene) -> None:
    root = await scene.run()
    bad, good = await scene.start(depends_on=(root.id,)), await scene.start(depends_on=(root.id,))
    damage(path, bad)
    await scene.fail(root)
    assert (await scene.read(good)).state is State.FAILED
    assert isinstance(await scene.delete(good), Deleted)
    assert isinstance(await scene.delete(root), Deleted)
