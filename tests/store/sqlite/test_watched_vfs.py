from pathlib import Path

import apsw
import pytest

from milepost.store.sqlite import SqliteStore
from tests.store.scene import MakeStore, Scene

from .lossy_disk import LossyDisk, Name, Sync, SyncFolder, everything
from .watched_vfs import FailOnce, code_of, watched


async def test_a_watched_store_is_shared_as_any(path: Path) -> None:
    """The index of the write-ahead log is passed on, beside the one who watches too."""
    with watched() as vfs:
        one, two = SqliteStore(path), SqliteStore(path)
        await one.open()
        await two.open()
        task = await Scene(one).start()
        assert await Scene(two).get(task) == task
        beside = apsw.Connection(str(path), vfs="unix")
        assert beside.execute("SELECT id FROM task").get == task.id
        beside.close()
        await one.close()
        await two.close()
    assert not [event for event in vfs.events if isinstance(event, Name) and event.path.endswith("-shm")]


async def test_what_is_noted_is_what_is_there(path: Path, make_store: MakeStore) -> None:
    before = await make_store()
    await Scene(before).start()
    await before.close()
    with watched(path) as vfs:
        store = SqliteStore(path)
        await store.open()
        await Scene(store).start()
        wal = path.with_name(f"{path.name}-wal")
        assert LossyDisk(vfs.events).after_loss(everything) == {str(file): file.read_bytes() for file in (path, wal)}
        await store.close()
        assert LossyDisk(vfs.events).after_loss(everything) == {str(path): path.read_bytes()}


async def test_the_sync_of_a_folder_is_seen(path: Path) -> None:
    with watched() as vfs:
        store = SqliteStore(path)
        await store.open()
        await Scene(store).start()
        wal = next(event.file for event in reversed(vfs.events) if isinstance(event, Name))
        assert wal is not None
        made = vfs.events.index(Name(f"{path}-wal", wal))
        first_sync = vfs.events.index(Sync(wal), made)
        assert SyncFolder(str(path.parent)) in vfs.events[made:first_sync]
        await store.close()


async def test_afterwards_nobody_is_watched(path: Path) -> None:
    with watched() as vfs:
        assert apsw.vfs_names()[0] == "watched"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    assert vfs.events == []
    assert "watched" not in apsw.vfs_names()


@pytest.mark.parametrize("code", [apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE])
def test_one_operation_fails_as_the_disk_says(path: Path, code: int) -> None:
    with watched() as vfs:
        connection = apsw.Connection(str(path))
        vfs.before = fail = FailOnce("write", 2, code)
        with pytest.raises(apsw.Error) as failed:
            connection.execute("CREATE TABLE t (x)")
        assert fail.failed
        assert code_of(failed.value) == code
        connection.execute("CREATE TABLE t (x)")
        connection.close()
