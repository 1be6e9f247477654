import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from milepost.engine.context import Place
from milepost.engine.fetch import fetch
from milepost.engine.outcome import TaskError
from milepost.files.folder import FolderFiles
from milepost.task import DeliveredFile
from tests.engine.leases import running

CONTENT = b"0123456789" * 100_000
TASK = running()


class Store(FolderFiles):
    """Waits before the second piece of a file, once it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads = 0
        self.halted = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        self.reads += 1
        async for piece in super().read(key, start, stop):
            yield piece
            self.halted.set()
            await self.may_go_on.wait()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Store]:
    files = Store(tmp_path / "files")
    yield files
    await files.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "tasks"), str(tmp_path))


async def delivered(files: FolderFiles, content: bytes = CONTENT, name: str = "a.bin") -> DeliveredFile:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    stored = await files.put(pieces())
    return DeliveredFile(stored.key, name, "application/octet-stream", stored.size, stored.sha256)


def there(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "tasks").rglob("*") if path.is_file())


async def test_a_file_comes_whole_under_its_name_and_to_be_read_only(files: Store, place: Place) -> None:
    file = await delivered(files)
    path = await fetch(files, place, TASK, 0, file)
    assert path.name == "a.bin"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o400


async def test_nobody_else_may_enter_where_it_lies(files: Store, tmp_path: Path) -> None:
    """Nor where the task writes, whichever of both was made first."""
    umask = os.umask(0)
    try:
        path = await fetch(
            files, Place(str(tmp_path / "new" / "tasks"), str(tmp_path)), TASK, 0, await delivered(files)
        )
    finally:
        os.umask(umask)
    above = [folder for folder in path.parents if folder.is_relative_to(tmp_path / "new")]
    assert len(above) == 6
    assert {folder.stat().st_mode & 0o777 for folder in above} == {0o700}


async def test_files_of_one_name_are_two(files: Store, place: Place) -> None:
    paths = [await fetch(files, place, TASK, n, await delivered(files, b"%d" % n)) for n in range(2)]
    assert [path.read_bytes() for path in paths] == [b"0", b"1"]
    assert {path.name for path in paths} == {"a.bin"}


async def test_what_was_fetched_is_not_fetched_again_unless_it_is_not_whole(files: Store, place: Place) -> None:
    file = await delivered(files)
    path = await fetch(files, place, TASK, 0, file)
    assert await fetch(files, place, TASK, 0, file) == path
    assert files.reads == 1
    path.chmod(0o600)
    path.write_bytes(CONTENT[:-1])
    assert (await fetch(files, place, TASK, 0, file)).read_bytes() == CONTENT


async def test_twice_at_once_is_no_more_than_twice(files: Store, place: Place, tmp_path: Path) -> None:
    file = await delivered(files, name="n" * 255)
    one, two = await asyncio.gather(*(fetch(files, place, TASK, 0, file) for _ in range(2)))
    assert one == two
    assert one.read_bytes() == CONTENT
    assert there(tmp_path) == ["n" * 255]


async def test_who_stops_waiting_leaves_nothing(files: Store, place: Place, tmp_path: Path) -> None:
    file = await delivered(files)
    files.may_go_on.clear()
    fetching = asyncio.create_task(fetch(files, place, TASK, 0, file))
    await files.halted.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert there(tmp_path) == []


async def test_a_file_that_is_gone_is_missing_for_good(files: Store, place: Place, tmp_path: Path) -> None:
    file = await delivered(files)
    await files.delete([file.key])
    with pytest.raises(TaskError) as missing:
        await fetch(files, place, TASK, 0, file)
    assert (missing.value.code, missing.value.retry) == ("file_missing", False)
    assert there(tmp_path) == []


async def test_where_it_can_not_be_copied_another_try_may(files: Store, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(TaskError) as failed:
        await fetch(files, Place(str(tmp_path / "plain"), ""), TASK, 0, await delivered(files))
    assert (failed.value.code, failed.value.retry) == ("not_fetched", True)
