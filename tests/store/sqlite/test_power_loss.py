"""What is left of a store when the power fails, at any moment of its life? See `power_loss.py` and `lossy_disk.py`."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost import lifecycle
from milepost.files.folder import FolderFiles
from milepost.lifecycle import Report
from milepost.store.protocol import IdempotencyKey
from milepost.store.sqlite import SqliteStore, connection, writer
from milepost.store.sqlite.migrate import migrate, migrations
from milepost.store.workers import Wanted
from milepost.task import FileResult, Task
from milepost.times import DAY
from tests.store.scene import FAILURE, START, Scene, draft, json_result, line

from .groups import in_one_commit
from .lossy_disk import (
    Answer,
    Event,
    LossyDisk,
    Name,
    Resize,
    Sync,
    SyncFailed,
    SyncFolder,
    Write,
    everything,
    nothing,
    some,
)
from .power_loss import Answering, Damaged, HalfDone, Lost, Proof, content, cuts, lost, reopened
from .watched_calls import watched_calls
from .watched_vfs import FailOnce, watched

LITTLE = 0.03
MOST = 0.97


async def live(scene: Scene, events: list[Event]) -> Task:
    """Go through what a store does, one call at a time; answers with the task that was deleted."""
    await scene.store.open()
    first = await scene.start(title="first", input=b'{"rows": 500}')
    await scene.try_start(draft(), key=IdempotencyKey("again", b"f", START + DAY))
    await scene.start(depends_on=(first.id,))
    await scene.enlist()
    (claimed,) = await scene.claim("w1", Wanted("export"), limit=1)
    task = claimed.task
    # A flush of the log, a checkpoint, a beat, and the end with a result and the last of the log.
    await scene.report(task, progress=0.5, entries=(line("one", rows=1), line("two")))
    await scene.report(task, checkpoint=b'{"row": 250}', entries=tuple(line("x" * 500) for _ in range(20)))
    heart = scene.store.heart()
    assert heart.beat("w1")
    events.append(Answer("beat"))
    heart.close()
    end = Report(progress=1.0, entries=(line("three"),))
    await scene.settle(task, lifecycle.succeed, result=json_result({"rows": ["y" * 100] * 100}), report=end)
    (other,) = await scene.claim("w1", Wanted("export"), limit=1)
    await scene.settle(other.task, lifecycle.fail, failure=FAILURE, traceback="Traceback …")
    doomed = await scene.start()
    await scene.change(doomed, lifecycle.cancel)
    await scene.delete(doomed)
    await scene.store.close()
    return doomed


def live_through(path: Path, *, synchronous: str | None = None) -> Proof:
    """What the disk of a store sees of its life, with many checkpoints, and of its being opened and used once more.

    With `synchronous` the writer is made to sync less than the product has it do.
    """

    def connect(*arguments: Any, **named: Any) -> apsw.Connection:
        made = connection.connect(*arguments, **named)
        made.pragma("synchronous", synchronous)
        return made

    async def both_lives() -> Task:
        doomed = await live(Scene(Answering(SqliteStore(path), vfs.events)), vfs.events)
        again = Scene(Answering(SqliteStore(path), vfs.events))
        await again.store.open()
        await again.start()
        # The model knows what is there.
        wal = path.with_name(f"{path.name}-wal")
        assert LossyDisk(vfs.events).after_loss(everything) == {str(file): file.read_bytes() for file in (path, wal)}
        await again.store.close()
        return doomed

    with pytest.MonkeyPatch.context() as patch, watched() as vfs:
        patch.setattr(connection, "WAL_PAGES", 20)
        if synchronous is not None:
            patch.setattr(writer, "connect", connect)
        doomed = asyncio.run(both_lives())
    return Proof(vfs.events, path, gone=[doomed.id])


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    return live_through(tmp_path_factory.mktemp("life") / "milepost.db")


async def test_p1_what_was_acknowledged_survives_a_loss_of_power_at_every_moment(life: Proof) -> None:
    for cut in cuts(life.events, seeds=(1,), kept=(LITTLE, MOST)):
        await (life.check(cut) if life.beside_sync(cut) else asyncio.to_thread(life.check_moment, cut))


def test_the_life_has_all_that_a_disk_can_lose(life: Proof) -> None:
    """Else the proofs would say less than they seem to."""
    names = {event.path for event in life.events if isinstance(event, Name)}
    assert {name.rpartition("milepost.db")[2] for name in names} == {"", "-journal", "-wal"}
    database = next(event.file for event in life.events if isinstance(event, Name))
    assert database is not None
    carried_over = [at for at, event in enumerate(life.events) if event == Sync(database)]
    restarts = [event for event in life.events if isinstance(event, Write) and event.offset == 0]
    assert len(carried_over) >= 4
    assert len(restarts) >= 6


@settings(max_examples=150, deadline=None)
@given(where=st.floats(0, 1), seed=st.integers(0), kept=st.sampled_from([0.0, LITTLE, 0.3, 0.7, MOST, 0.998]))
def test_p1_whatever_reaches_the_disk_in_whatever_order(life: Proof, where: float, seed: int, kept: float) -> None:
    at = round(where * len(life.events))
    life.check_moment(lost(life.events, at, some(seed, kept), f"some({seed}, {kept})"))


async def test_p1_calls_that_share_a_commit_survive_together(path: Path) -> None:
    with watched() as vfs:
        scene = Scene(Answering(SqliteStore(path), vfs.events))
        await scene.store.open()
        running = [await scene.run() for _ in range(3)]
        before = len(vfs.events)

        await in_one_commit(
            scene,
            scene.start(),
            scene.succeed(running[0], json_result([1])),
            scene.report(running[1], checkpoint=b"1"),
            scene.report(running[2], entries=(line("flushed"),)),
        )
        events = vfs.events[:]
        await scene.store.close()
    assert [event.what for event in events[-4:] if isinstance(event, Answer)] == ["create", *["change_leased"] * 3]
    proof = Proof(events, path)
    assert proof.moments[-1] == proof.moments[-4] != proof.moments[-5]
    for cut in cuts(events, start=before, seeds=range(3), kept=(LITTLE, MOST)):
        await proof.check(cut)


# When a sync fails before that.


async def insist(call: Callable[[str], Awaitable[Task]]) -> Task:
    """Try again when the disk fails, and say so, as a worker does."""
    try:
        return await call("at once")
    except apsw.IOError:
        return await call("at last")


async def live_in_spite(path: Path, nth: int) -> tuple[Proof, bool]:
    """What the disk sees of a store that it fails to sync once; and whether it came to that."""
    with watched() as vfs:
        scene = Scene(Answering(SqliteStore(path), vfs.events))
        await scene.store.open()
        vfs.before = fail = FailOnce("sync", nth, apsw.SQLITE_IOERR_FSYNC)
        task = await insist(lambda how: scene.run(title=how))
        await insist(lambda how: scene.report(task, message=how, entries=(line("x" * 3000), line(how))))
        await insist(lambda how: scene.start(title=how))
        await insist(lambda how: scene.report(task, message=how))
        await insist(lambda how: scene.succeed(task, json_result([how])))
        await insist(lambda how: scene.start(title=how))
        await scene.store.close()
    return Proof(vfs.events, path), fail.failed


async def test_p1_a_failed_sync_costs_nobody_else_their_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even as Linux takes it: what could not be written is not written by the next sync."""
    monkeypatch.setattr(connection, "WAL_PAGES", 8)
    for nth in itertools.count(1):
        proof, failed = await live_in_spite(path.with_name(f"{nth}.db"), nth)
        since = next((at for at, event in enumerate(proof.events) if isinstance(event, SyncFailed)), 0)
        for at in range(since + 1, len(proof.events) + 1):
            if isinstance(proof.events[at - 1], Answer):
                await proof.check_store(lost(proof.events, at, nothing, "nothing"))
                await proof.check_store(lost(proof.events, at, some(nth, 0.5), "some"))
        if not failed:
            break
    assert nth > 10


# When a store is made, or brought up to date.


async def test_p1_a_store_is_made_wholly_or_not_at_all(path: Path) -> None:
    with watched() as vfs:
        await asyncio.to_thread(migrate, path, busy_timeout=1000, scripts=migrations())
        vfs.events.append(Answer("migrate"))
    proof = Proof(vfs.events, path)
    for cut in cuts(vfs.events, seeds=range(2), kept=(LITTLE, MOST)):
        await proof.check(cut)


async def test_p1_a_store_is_brought_up_to_date_wholly_or_not_at_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reopened(path) as scene:
        running = await scene.run()
        await scene.report(running, checkpoint=b"1", entries=(line("kept"),))
        older = await scene.succeed(running, json_result([1]))
    newest = [
        *migrations(),
        "ALTER TABLE task ADD COLUMN colour TEXT; CREATE INDEX task_colour ON task (colour);",
        "CREATE TABLE extra (x); INSERT INTO extra SELECT id FROM task; UPDATE worker SET beats = beats + 1;",
    ]
    with watched(path) as vfs:
        # What was there before anything happens here.
        vfs.events.append(Answer("found", (older,)))
        before = len(vfs.events)
        await asyncio.to_thread(migrate, path, busy_timeout=1000, scripts=newest)
        vfs.events.append(Answer("migrate"))
    proof = Proof(vfs.events, path)
    final = content(path)
    for cut in cuts(vfs.events, start=before, seeds=range(2), kept=(LITTLE, MOST)):
        proof.check_moment(cut)
        with proof.put(cut.image) as left:
            # Whoever opens it next finishes what was cut short.
            await asyncio.to_thread(migrate, left, busy_timeout=1000, scripts=newest)
            assert content(left) == final


# When the result is a file.


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def deliver(path: Path, events: list[Event]) -> None:
    """Settle tasks with files as results."""
    files = FolderFiles(path.parent / "files")
    scene = Scene(Answering(SqliteStore(path), events))
    await scene.store.open()
    for data in (b"a,b\n" * 1000, b"", b"z" * 70_000):
        task = await scene.run()
        stored = await files.put(pieces(data))
        await scene.succeed(task, FileResult(stored.key, "report.csv", "text/csv", stored.size, stored.sha256))
    await scene.store.close()
    await files.close()


async def check_files(root: Path, settled: Iterable[Task]) -> None:
    """Every result of a task that is settled is whole. Raises Lost."""
    files = FolderFiles(root)
    for task in settled:
        if isinstance(result := task.result, FileResult):
            place = root / result.key[-2:] / result.key
            data = b"".join([piece async for piece in files.read(result.key)]) if place.exists() else None
            if data is None or hashlib.sha256(data).hexdigest() != result.sha256:
                raise Lost(f"The file of {task} is {data!r}.")
    await files.close()


async def check_results(proof: Proof) -> int:
    """Lose power at every moment that matters to files; raises Lost. Answers how many results were looked at."""
    looked_at = 0
    for cut in cuts(proof.events, seeds=(1,), kept=(LITTLE, MOST)):
        if proof.events[: cut.at] and isinstance(proof.events[cut.at - 1], Write | Resize):
            continue
        with proof.put(cut.image) as path:
            async with reopened(path) as scene:
                found = [await scene.read(task_id) for task_id in await scene.find()]
                await check_files(path.parent / "files", found)
                looked_at += len([task for task in found if task.result is not None])
    return looked_at


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    path = tmp_path_factory.mktemp("delivered") / "milepost.db"
    with watched() as vfs, watched_calls(vfs.events, path.parent):
        asyncio.run(deliver(path, vfs.events))
    return Proof(vfs.events, path)


async def test_p1_the_file_of_a_settled_task_survives_a_loss_of_power(delivered: Proof) -> None:
    assert await check_results(delivered) > 30


# Would these proofs find anything?


def finds(kind: type[Lost], proof: Proof) -> bool:
    """Whether a loss of power, sooner or later, does this to a store."""
    for cut in cuts(proof.events, seeds=(1,), kept=(LITTLE, 0.5, MOST)):
        try:
            proof.check_moment(cut)
        except Lost as error:
            if type(error) is kind:
                return True
    return False


@pytest.mark.parametrize("synchronous", ["normal", "off"])
def test_a_store_that_syncs_less_is_found_out(path: Path, synchronous: str) -> None:
    assert finds(Lost, live_through(path, synchronous=synchronous))


def test_a_disk_that_only_says_that_it_synced_is_found_out(life: Proof) -> None:
    assert finds(Lost, life.but([event for event in life.events if not isinstance(event, Sync)]))


def test_a_failed_sync_that_is_not_told_is_found_out(life: Proof) -> None:
    last = max(at for at, event in enumerate(life.events) if isinstance(event, Answer) and event.what == "create")
    at, synced = max((at, event) for at, event in enumerate(life.events[:last]) if isinstance(event, Sync))
    events = [*life.events[:at], SyncFailed(synced.file), *life.events[at + 1 :]]
    assert finds(Lost, life.but(events))


def test_a_folder_that_is_not_synced_is_found_out(life: Proof) -> None:
    assert finds(Lost, life.but([event for event in life.events if not isinstance(event, SyncFolder)]))


def test_a_database_that_is_not_synced_before_its_log_is_cut_is_found_out(life: Proof) -> None:
    database = next(event.file for event in life.events if isinstance(event, Name))
    assert database is not None
    assert finds(Damaged, life.but([event for event in life.events if event != Sync(database)]))


def test_an_answer_before_the_commit_is_found_out(life: Proof) -> None:
    events: list[Event] = []
    for event in life.events:
        synced = [at for at, earlier in enumerate(events) if isinstance(earlier, Sync)]
        events.insert(synced[-1] if synced and isinstance(event, Answer) else len(events), event)
    assert finds(Lost, life.but(events))


def test_a_call_that_needs_two_commits_is_found_out(life: Proof) -> None:
    two_calls = [at for at, event in enumerate(life.events) if isinstance(event, Answer) and event.what == "create"][1]
    assert finds(HalfDone, life.but([*life.events[:two_calls], *life.events[two_calls + 1 :]]))


@pytest.mark.parametrize("forgotten", [Sync, SyncFolder])
async def test_a_result_that_is_not_synced_is_found_out(delivered: Proof, forgotten: type[Event]) -> None:
    numbers = {event.file for event in delivered.events if isinstance(event, Name) and "/files/" in event.path}

    def of_files(event: Event) -> bool:
        match event:
            case Sync(file):
                return file in numbers
            case SyncFolder(path):
                return "/files/" in path
        return False

    kept = [event for event in delivered.events if not (isinstance(event, forgotten) and of_files(event))]
    with pytest.raises(Lost):
        await check_results(delivered.but(kept))
