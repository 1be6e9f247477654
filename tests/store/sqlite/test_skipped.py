"""One record that can't be changed, whoever damaged it, must not stop all others, and says so once."""

import logging
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from milepost import lifecycle
from milepost.store.sqlite import SqliteStore
from milepost.store.sqlite.skipped import RECALL
from milepost.store.workers import Wanted
from milepost.task import State, Task
from milepost.times import DAY, HOUR
from milepost.trigger import Trigger
from tests.store.scene import START, Scene, json_result

LAST = 2**63 - 1
"""No version follows on this one: a change of the record raises."""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is said of records that are skipped."""
    caplog.set_level(logging.ERROR, "milepost.store")
    return caplog


def damage(path: Path, task: Task, version: int = LAST) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE task SET version = ? WHERE id = ?", (version, task.id))


def spoil(path: Path, task: Task) -> None:
    """Make it unreadable."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE task SET counts = '{' WHERE id = ?", (task.id,))


def told(log: pytest.LogCaptureFixture, task: Task) -> list[str]:
    """What was said of a task, without the reason."""
    return [message.split(":")[0] for message in log.messages if task.id in message]


def once(task: Task, how: str = "changed") -> list[str]:
    return [f"The record of task {task.id} can't be {how}, it is left as it is"]


async def test_p2_the_other_tasks_of_a_lost_worker_are_queued_again(
    path: Path, scene: Scene, log: pytest.LogCaptureFixture
) -> None:
    first, bad, last = await scene.run(), await scene.run(), await scene.run()
    damage(path, bad)
    silent = await scene.store.pulses()
    assert sorted(await scene.store.rescue(silent, now=scene.now)) == sorted([first.id, last.id])
    assert await scene.store.rescue([], now=scene.now) == []
    assert [(await scene.read(task)).state for task in (first, bad, last)] == [
        State.QUEUED,
        State.RUNNING,
        State.QUEUED,
    ]
    assert told(log, bad) == once(bad)


async def test_p2_a_worker_that_goes_gives_its_other_tasks_back(path: Path, scene: Scene) -> None:
    bad, good = await scene.run(), await scene.run()
    damage(path, bad)
    assert await scene.store.dismiss("w1", now=scene.now) == [good.id]
    assert (await scene.read(good)).state is State.QUEUED


@pytest.mark.parametrize("how", ["changed", "read"])
async def test_others_come_due_however_many_are_damaged(
    path: Path, scene: Scene, log: pytest.LogCaptureFixture, how: str
) -> None:
    bad = [await scene.start(run_at=START + n) for n in range(1, 4)]
    good = await scene.start(run_at=START + HOUR)
    for task in bad:
        damage(path, task) if how == "changed" else spoil(path, task)
    assert await scene.store.enqueue_due(now=START + HOUR, limit=3) == []
    assert await scene.store.next_due(now=START) == START + HOUR, "nobody hurries because of what can't be queued"
    assert await scene.store.enqueue_due(now=START + HOUR, limit=3) == [good.id]
    assert await scene.store.next_due(now=START) is None
    assert [told(log, task) for task in bad] == [once(task, how) for task in bad]


async def test_other_runs_begin_and_other_starts_are_missed(path: Path, scene: Scene) -> None:
    again = Trigger(every=HOUR, anchor=START)
    runs = [await scene.succeeded(trigger=again) for _ in range(2)]
    starts = [await scene.start(start_by=START + HOUR) for _ in range(2)]
    for bad, _ in (runs, starts):
        damage(path, bad)
    assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == [starts[1].id, runs[1].id]


async def test_other_results_expire_however_many_are_damaged(
    path: Path, scene: Scene, log: pytest.LogCaptureFixture
) -> None:
    bad = [await scene.succeeded(json_result(1), keep_result=HOUR) for _ in range(2)]
    good = await scene.succeeded(json_result(1), keep_result=HOUR + 1)
    for task in bad:
        damage(path, task)
    scene.now += DAY
    assert (await scene.store.expire(now=scene.now, limit=2)).more
    assert not (await scene.store.expire(now=scene.now, limit=2)).more
    with closing(apsw.Connection(str(path))) as connection:
        found = connection.execute("SELECT id FROM task WHERE result IS NOT NULL").fetchall()
    assert sorted(found) == sorted((task.id,) for task in bad)
    assert (await scene.read(good)).result is None
    assert [told(log, task) for task in bad] == [once(task) for task in bad]


async def test_p7_other_records_expire_however_many_can_t_be_read(path: Path, scene: Scene) -> None:
    bad = [await scene.failed(keep_record=DAY) for _ in range(2)]
    good = await scene.failed(keep_record=DAY + 1)
    for task in bad:
        spoil(path, task)
    scene.now += 2 * DAY
    gone = [await scene.store.expire(now=scene.now, limit=2) for _ in range(2)]
    assert [deleted.ids for deleted in gone] == [(), (good.id,)]
    assert [deleted.more for deleted in gone] == [True, False]


async def test_others_are_claimed(path: Path, scene: Scene, log: pytest.LogCaptureFixture) -> None:
    bad, good, last = await scene.start(priority=9), await scene.start(), await scene.start()
    worse = await scene.start()
    damage(path, bad)
    damage(path, worse)
    await scene.enlist()
    assert [claimed.task.id for claimed in await scene.claim(limit=1)] == [good.id]
    assert [claimed.task.id for claimed in await scene.claim("w1", Wanted("export"), limit=10)] == [last.id]
    for task in (bad, worse):
        assert (await scene.read(task)).state is State.QUEUED
        assert told(log, task) == once(task)


async def test_others_say_that_nobody_offers_them(path: Path, scene: Scene, log: pytest.LogCaptureFixture) -> None:
    bad, good = await scene.start(), await scene.start()
    damage(path, bad)
    assert await scene.store.note_obstacles(now=scene.now) == [good.id]
    assert await scene.store.note_obstacles(now=scene.now) == []
    assert told(log, bad) == once(bad)


async def test_what_it_waits_for_can_end_and_others_hear_of_it(path: Path, scene: Scene) -> None:
    root = await scene.run()
    bad, good = await scene.start(depends_on=(root.id,)), await scene.start(depends_on=(root.id,))
    damage(path, bad)
    assert (await scene.succeed(root)).state is State.SUCCEEDED
    assert [(await scene.read(task)).state for task in (bad, good)] == [State.BLOCKED, State.QUEUED]


async def test_its_parent_can_be_cancelled_with_its_other_children(path: Path, scene: Scene) -> None:
    parent = await scene.run()
    bad, good = await scene.start(parent=parent.id), await scene.start(parent=parent.id)
    damage(path, bad)
    assert (await scene.change(parent, lifecycle.cancel)).cancel_requested
    assert [(await scene.read(task)).state for task in (bad, good)] == [State.QUEUED, State.CANCELLED]


async def test_once_it_is_mended_it_goes_on(path: Path, scene: Scene) -> None:
    task = await scene.start(run_at=START + HOUR)
    damage(path, task)
    assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == []
    damage(path, task, task.version)
    assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == [task.id]


async def test_so_it_does_where_it_was_mended_in_place(path: Path, log: pytest.LogCaptureFixture) -> None:
    elapsed = [0]
    store = SqliteStore(path, timer=lambda: elapsed[0])
    await store.open()
    scene = Scene(store)
    task = await scene.start(run_at=START + HOUR)
    spoil(path, task)
    assert await store.enqueue_due(now=START + HOUR, limit=10) == []
    for _ in range(2):
        elapsed[0] += RECALL
        assert await store.enqueue_due(now=START + HOUR, limit=10) == []
    assert told(log, task) == once(task, "read")
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE task SET counts = NULL WHERE id = ?", (task.id,))
    elapsed[0] += RECALL
    assert await store.enqueue_due(now=START + HOUR, limit=10) == [task.id]
    await store.close()


async def test_a_new_task_in_its_place_is_not_taken_for_it(path: Path, scene: Scene) -> None:
    task = await scene.start(run_at=START + HOUR)
    spoil(path, task)
    assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == []
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DELETE FROM task; DELETE FROM input; DELETE FROM log")
    another = await scene.start(run_at=START + HOUR)
    assert await scene.store.enqueue_due(now=START + HOUR, limit=10) == [another.id]


async def test_a_disk_that_fails_is_no_fault_of_a_record(
    path: Path, scene: Scene, log: pytest.LogCaptureFixture
) -> None:
    task = await scene.start(run_at=START + HOUR)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            "CREATE TRIGGER bad BEFORE UPDATE ON task BEGIN SELECT RAISE(ROLLBACK, 'the disk failed'); END"
        )
    with pytest.raises(apsw.ConstraintError, match="the disk failed"):
        await scene.store.enqueue_due(now=START + HOUR, limit=10)
    assert told(log, task) == []
