"""When the private folders of tasks go."""

import os
import shutil
import socket
from contextlib import closing
from pathlib import Path

import pytest

from milepost import Context, TaskError
from milepost.access.principal import LOCAL
from milepost.engine import folders
from milepost.engine.context import Place, folder_of
from milepost.engine.folders import SweepFolders
from milepost.task import State, Task
from milepost.times import HOUR
from tests.chaos.disk import SmallDisk
from tests.engine.bench import Bench


@pytest.fixture
def loop(bench: Bench) -> SweepFolders:
    """The loop, round by round."""

    @bench.app.task(retries=1, backoff="0s")
    async def work(ctx: Context, *, how: str = "well") -> str:
        mark = ctx.folder / "tries"
        mark.write_text(mark.read_text() + "x" if mark.exists() else "x")
        if how == "again" and ctx.task.attempt == 1:
            raise ValueError(how)
        if how == "badly":
            raise TaskError(how, retry=False)
        return mark.read_text()

    return SweepFolders(bench.store, bench.service.files, bench.clock, bench.app._place())


def folder(bench: Bench, task: Task) -> Path:
    return Path(bench.app._place().folders, task.id)


def leave(bench: Bench, task: Task) -> Path:
    """A folder as a worker of this machine may have left it."""
    left = folder(bench, task)
    left.mkdir(parents=True)
    (left / "part").write_text("x")
    return left


@pytest.mark.parametrize(("how", "tries"), [("well", "x"), ("again", "xx"), ("badly", None)])
async def test_a_folder_outlives_a_try_but_not_the_task(
    bench: Bench, loop: SweepFolders, how: str, tries: str | None
) -> None:
    async with bench.working(loops=()):
        task = await bench.end(await bench.start("work", {"how": how}))
    if tries is not None:
        assert await bench.result(task) == tries
    assert not folder(bench, task).exists()


def attempt(epoch: int) -> Task:
    return Task("t", "default", "ada", "work", 0, 0, epoch=epoch)


async def test_p2_what_a_worker_writes_after_its_lease_is_lost_reaches_no_later_try(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path))
    late = folder_of(place, attempt(1))
    late.mkdir(parents=True)
    (late / "link").symlink_to("rows")
    with (late / "rows").open("w+") as rows:
        rows.write("1,2,")
        rows.flush()
        await folders.take_over(place, attempt(2))
        rows.write("late")
    with pytest.raises(FileNotFoundError):
        (late / "rows").open("r+")
    now = folder_of(place, attempt(2))
    assert (now / "rows").read_text() == "1,2,"
    assert (now / "link").is_symlink()
    assert [left.name for left in now.parent.iterdir()] == ["2"]


async def test_nobody_else_may_enter_a_copy_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(str(tmp_path), "")
    first = attempt(1)
    (folder_of(place, first) / "sub").mkdir(parents=True)
    folder_of(place, first).chmod(0o750)
    modes: list[int] = []
    copystat = shutil.copystat

    def noted(source: Path, target: Path) -> None:
        modes.append(target.stat().st_mode & 0o777)
        copystat(source, target)

    monkeypatch.setattr(shutil, "copystat", noted)
    umask = os.umask(0)
    try:
        await folders.take_over(place, attempt(2))
    finally:
        os.umask(umask)
    assert modes == [0o700, 0o700]
    assert folder_of(place, attempt(2)).stat().st_mode & 0o777 == 0o750


async def test_what_is_no_file_is_not_handed_on(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path))
    late = folder_of(place, attempt(1))
    (late / "sub").mkdir(parents=True)
    (late / "sub" / "rows").write_text("1,")
    os.mkfifo(late / "pipe")
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(late / "socket"))
        await folders.take_over(place, attempt(2))
    now = folder_of(place, attempt(2))
    assert [str(path.relative_to(now)) for path in sorted(now.rglob("*"))] == ["sub", "sub/rows"]


async def test_what_a_full_disk_has_no_room_for_is_copied_once_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    with SmallDisk(tmp_path / "disk", 2) as disk:
        place = Place(str(disk.path), str(disk.path))
        (folder_of(place, attempt(1)) / "sub").mkdir(parents=True)
        (folder_of(place, attempt(1)) / "sub" / "rows").write_bytes(bytes(100_000))
        disk.fill()

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            assert [left.name for left in (disk.path / "t").iterdir()] == ["1"], "what was copied so far takes no room"
            if len(pauses) == 2:
                disk.free()

        await folders.take_over(place, attempt(2), sleep=sleep)
        assert (folder_of(place, attempt(2)) / "sub" / "rows").read_bytes() == bytes(100_000)
    assert pauses == [1.0, 1.0]
    assert caplog.messages[0].startswith("There is no room for the folder of task t; trying again: [Errno 28]")


async def test_any_other_error_is_not_waited_for(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path))
    late = folder_of(place, attempt(1))
    late.mkdir(parents=True)
    folder_of(place, attempt(2)).write_text("in the way")
    with pytest.raises(NotADirectoryError):
        await folders.take_over(place, attempt(2))


async def test_p2_a_late_release_does_not_come_before_a_newer_try(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path))
    for epoch in (2, 1):
        folder_of(place, attempt(epoch)).mkdir(parents=True)
        (folder_of(place, attempt(epoch)) / "rows").write_text(str(epoch))
        folders.release(place, attempt(epoch))
    await folders.take_over(place, attempt(3))
    assert (folder_of(place, attempt(3)) / "rows").read_text() == "2"
    assert [left.name for left in tmp_path.joinpath("t").iterdir()] == ["3"]


async def test_what_was_left_in_peace_is_handed_on_as_it_is(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path))
    folders.release(place, attempt(1))
    await folders.take_over(place, attempt(1))
    first = folder_of(place, attempt(1))
    first.mkdir(parents=True)
    (first / "rows").write_text("1,")
    inode = (first / "rows").stat().st_ino
    folders.release(place, attempt(1))
    await folders.take_over(place, attempt(2))
    assert (folder_of(place, attempt(2)) / "rows").stat().st_ino == inode
    await folders.remove(place, attempt(2))
    assert list(tmp_path.iterdir()) == []


async def test_what_ended_elsewhere_is_swept_once_it_is_old(
    bench: Bench, loop: SweepFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PAGE", 2)
    waiting, paused, cancelled, deleted = [await bench.start("work") for _ in range(4)]
    left = {task.id: leave(bench, task) for task in (waiting, paused, cancelled, deleted)}
    unknown = left[waiting.id].with_name("not a task")
    unknown.mkdir()
    await bench.service.pause(LOCAL, paused.id)
    for task in (cancelled, deleted):
        assert (await bench.service.cancel(LOCAL, task.id)).state is State.CANCELLED
    await bench.service.delete(LOCAL, deleted.id)
    assert await loop.round() == HOUR
    assert all(path.exists() for path in left.values())
    bench.clock.ahead += HOUR
    os.utime(left[waiting.id])
    await loop.round()
    assert {task_id for task_id, path in left.items() if path.exists()} == {waiting.id, paused.id}
    assert not unknown.exists()


async def test_there_need_not_be_any_folders(loop: SweepFolders) -> None:
    assert await loop.round() == HOUR
