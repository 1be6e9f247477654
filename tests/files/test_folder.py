import asyncio
import errno
import hashlib
import json
import os
import random
import signal
import stat
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from milepost.files import folder as folder_files
from milepost.files.folder import PAGE, FolderFiles
from milepost.files.protocol import FileMissing, FileStore

from .conformance import BOUND, HOUR, MEGABYTE, FileStoreConformance, content, now, stream, sweep_all_but


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "var" / "files"


@pytest.fixture
async def files(root: Path) -> AsyncIterator[FileStore]:
    store = FolderFiles(root)
    yield store
    await store.close()


class TestFolderFiles(FileStoreConformance):
    """The suite that every file store runs."""


def kept(root: Path) -> list[Path]:
    """Every file beneath the root."""
    return [path for path in root.rglob("*") if not path.is_dir()]


PROLOGUE = """
import asyncio, errno, hashlib, json, os, random, resource, sys, threading
from pathlib import Path
from milepost.files.folder import FolderFiles
root, source = map(Path, sys.argv[1:])
"""


async def child(script: str, root: Path, source: Path = Path(os.devnull)) -> Process:
    """Runs a script that uses a store on this root in a process of its own."""
    return await asyncio.create_subprocess_exec(sys.executable, "-c", PROLOGUE + script, root, source, stdout=PIPE)


async def output(script: str, root: Path, source: Path = Path(os.devnull)) -> bytes:
    """What a script prints that ends well."""
    process = await child(script, root, source)
    printed, _ = await asyncio.wait_for(process.communicate(), BOUND)
    assert process.returncode == 0
    return printed


async def test_only_the_user_may_read(root: Path, files: FileStore, tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        await files.put(stream(b"secret"))
    finally:
        os.umask(umask)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "var").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700


async def test_a_key_is_ordered_by_time_and_its_folder_is_not(root: Path, files: FileStore) -> None:
    keys = [(await files.put(stream())).key for _ in range(64)]
    assert keys == sorted(keys)
    assert {path.name for path in kept(root)} == set(keys)
    assert len({path.parent for path in kept(root)}) > 32


async def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FolderFiles(Path("files"))
    monkeypatch.chdir("/")
    stored = await store.put(stream(b"here"))
    assert (tmp_path / "files" / stored.key[-2:] / stored.key).read_bytes() == b"here"
    await store.close()


async def test_stores_on_one_root_share_its_files(root: Path, files: FileStore) -> None:
    other = FolderFiles(root)
    stored = await files.put(stream(b"shared"))
    assert await content(other, stored.key) == b"shared"
    await other.delete([stored.key])
    with pytest.raises(FileMissing):
        await content(files, stored.key)
    await other.close()


async def test_no_key_leads_out_of_the_root(root: Path, files: FileStore) -> None:
    await files.put(stream())
    secret = root.parent / ("a" * 32)
    secret.write_text("secret")
    others = [root / "notes", root / "aa" / "notes", root / "aa" / ("a" * 32 + ".bak"), root / "partial" / "notes"]
    for path in others:
        path.write_text("not the store's")
    for key in (f"../{secret.name}", f"../../{secret.name}", str(secret), "../notes", "partial", "..", "A" * 32):
        with pytest.raises(FileMissing):
            await content(files, key)
        await files.delete([key])
    assert await sweep_all_but(files) == 1
    assert set(kept(root)) == set(others)
    assert secret.exists()


async def test_no_link_is_followed(root: Path, files: FileStore, tmp_path: Path) -> None:
    """Neither by a reader nor by a sweep; and what a store did not make, it leaves alone."""
    stored = await files.put(stream(b"mine"))
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.utime(secret, (0, 0))
    links = [root / "partial" / ("a" * 32), root / "aa" / ("a" * 32), root / "bb" / ("b" * 32)]
    for link in links[:2]:
        link.symlink_to(secret)
    links[2].symlink_to("nowhere")
    (root / "cc" / ("c" * 32)).mkdir()
    for key in ("a" * 32, "b" * 32):
        with pytest.raises(FileMissing):
            await content(files, key)
    assert await sweep_all_but(files, stored.key) == 0
    assert all(link.is_symlink() for link in links)
    assert secret.read_text() == "secret"
    with pytest.raises(IsADirectoryError):
        await content(files, "c" * 32)


@pytest.mark.parametrize("name", ["partial", "aa"])
async def test_nor_one_in_a_folder_s_place(root: Path, files: FileStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    mine = tmp_path / "elsewhere" / ("a" * 32)
    mine.write_text("not the store's")
    root.mkdir(parents=True)
    (root / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError, match=name):
        await files.put(stream(b"x"))
    with pytest.raises(NotADirectoryError, match=name):
        await sweep_all_but(files)
    assert mine.exists()


async def test_nothing_stays_open(files: FileStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(MEGABYTE))
    stored = await files.put(source)
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        await files.put(stream(b"once"))
        pieces = files.read(stored.key)
        await anext(pieces)
        await pieces.aclose()
        reader = asyncio.create_task(content(files, stored.key))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    assert len(list(Path("/dev/fd").iterdir())) == before


async def test_a_copy_is_over_before_its_cancellation_is(root: Path, files: FileStore, tmp_path: Path) -> None:
    """However often it comes: else a thread would go on writing to what is closed and removed. It is over soon."""
    source = tmp_path / "source"
    os.mkfifo(source)
    put = asyncio.create_task(files.put(source))
    with await asyncio.wait_for(asyncio.to_thread(source.open, "wb", buffering=0), BOUND) as writer:
        writer.write(b"begun")
        for _ in range(3):
            put.cancel("as it was said")
            await asyncio.sleep(0)
        assert not put.done()
        assert len(kept(root)) == 1
        with pytest.raises(BrokenPipeError):
            await asyncio.to_thread(writer.writelines, [bytes(65536)] * 100)
    with pytest.raises(asyncio.CancelledError, match="as it was said"):
        await asyncio.wait_for(put, BOUND)
    assert kept(root) == []


async def test_a_file_that_grows_while_it_is_copied_comes_to_an_end(
    files: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(3 * MEGABYTE))
    append = folder_files._Write.append
    copied = 0

    def grow(self: folder_files._Write, data: bytes) -> None:
        nonlocal copied
        copied += len(data)
        append(self, data)
        if copied < 100 * MEGABYTE:
            with source.open("ab") as file:
                file.write(bytes(2 * len(data)))

    monkeypatch.setattr(folder_files._Write, "append", grow)
    stored = await files.put(source)
    assert stored.size == copied == 3 * MEGABYTE
    assert stored.sha256 == hashlib.sha256(bytes(stored.size)).hexdigest()


async def test_a_file_whose_size_is_not_known_is_copied_to_its_end(files: FileStore) -> None:
    stored = await files.put(Path("/proc/self/maps"))
    assert stored.size > 0


class Disk:
    """Lets the n-th sync from now on fail, as a worn-out disk would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self.sync)

    def sync(self, descriptor: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(descriptor)


@pytest.mark.parametrize("number", [1, 2], ids=["of the file", "of its folder"])
async def test_a_failed_sync_fails_the_put(
    root: Path, files: FileStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    disk = Disk(monkeypatch)
    stored = await files.put(stream(b"well"))
    disk.left = number
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        await files.put(stream(b"lost"))
    assert disk.left == 0
    assert [path.name for path in kept(root)] == [stored.key]


async def test_folders_that_could_not_be_synced_are_synced_by_the_next_put(
    root: Path, files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.left = 1
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        await files.put(stream(b"lost"))
    assert kept(root) == []
    disk.left = 2
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        await files.put(stream(b"lost"))
    await files.put(stream(b"well"))
    assert len(kept(root)) == 1


FULL = """
async def pieces(number):
    for _ in range(number):
        yield bytes(65536)

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, resource.RLIM_INFINITY))
    files = FolderFiles(root)
    for large in (source, pieces(48)):
        try:
            await files.put(large)
        except OSError as error:
            assert error.errno == errno.EFBIG, error
        else:
            raise AssertionError
        assert not [path for path in root.rglob("*") if not path.is_dir()]
    await files.put(pieces(2))
    await files.close()

asyncio.run(main())
"""


async def test_a_full_disk_fails_the_put(root: Path, tmp_path: Path) -> None:
    """A limit on a file's size stops a write where a full disk would: in the middle of the last block, here."""
    source = tmp_path / "source"
    source.write_bytes(bytes(3 * MEGABYTE))
    await output(FULL, root, source)
    assert [path.stat().st_size for path in kept(root)] == [131072]


TRACED = """
events, inodes, real_sync, loop_thread = [], {}, os.fsync, threading.get_ident()

def note(event, *subjects):
    events.append([event, *subjects, threading.get_ident() == loop_thread])

def audit(event, arguments):
    if event in ("os.mkdir", "os.rename", "os.remove", "open", "os.listdir", "os.scandir"):
        if str(arguments[0]).startswith(str(root.parent)):
            note(event, str(arguments[0]), str(arguments[1]) if event == "os.rename" else None)
            if event == "os.rename":
                inodes[str(arguments[1])] = os.stat(arguments[0]).st_ino

def sync(descriptor):
    real_sync(descriptor)
    note("fsync", os.fstat(descriptor).st_ino, None)

async def pieces():
    yield bytes(1_500_000)
    yield bytes(1_500_000)

async def main():
    files = FolderFiles(root)
    keys = []
    for number in range(2):
        for big in (source, pieces()):
            stored = await files.put(big)
            note("put", stored.key, None)
            keys.append(stored.key)
    async for _ in files.read(keys[0]):
        pass
    async def none(page):
        return set()
    assert await files.sweep(older_than=0, now=1 << 60, known=none) >= 4
    await files.delete(keys)
    await files.close()

sys.addaudithook(audit)
os.fsync = sync
asyncio.run(main())
print(json.dumps([events, inodes]))
"""


@pytest.mark.parametrize("root_is_there", [False, True])
async def test_the_order_of_syncs_leaves_no_gap_for_power_loss(
    root: Path, tmp_path: Path, files: FileStore, root_is_there: bool
) -> None:
    """Bytes before the name, the name before the answer; the folders on the way too, whoever made them."""
    if root_is_there:
        await files.put(stream())
    source = tmp_path / "source"
    source.write_bytes(bytes(3 * MEGABYTE))
    events, inodes = json.loads(await output(TRACED, root, source))
    happened = [(event, subject) for event, subject, _, _ in events]

    def synced(folder: Path) -> tuple[str, int]:
        return "fsync", folder.stat().st_ino

    first_put = next(at for at, (event, _) in enumerate(happened) if event == "put")
    made = [Path(subject) for event, subject in happened if event == "os.mkdir"]
    assert {root.parent, root, root / "partial", root / "00", root / "ff"} <= set(made)
    for folder in made:
        assert synced(folder.parent) in happened[happened.index(("os.mkdir", str(folder))) : first_put]

    moves = [(at, Path(events[at][2])) for at, (event, _) in enumerate(happened) if event == "os.rename"]
    assert len(moves) == 4
    for at, place in moves:
        answered = happened.index(("put", place.name))
        assert ("fsync", inodes[str(place)]) in happened[:at]
        assert synced(place.parent) in happened[at:answered]
        assert ("open", str(root / "partial" / place.name)) not in happened[at:]  # nor written to any more

    assert {event for event, _, _, in_loop in events if in_loop} == {"put"}, "a blocking call held the event loop"


CONFINED = """
async def pieces():
    yield b"kept"

privileged = os.geteuid() == 0
if privileged:
    os.setresuid(65534, 65534, 0)
asyncio.run(FolderFiles(root).put(pieces()))
if privileged:
    os.setresuid(0, 0, 0)
"""


async def test_a_folder_above_the_root_need_not_be_open_to_the_store() -> None:
    """It is then not the store's user who makes folders in it, so that there is nothing to sync."""
    with tempfile.TemporaryDirectory() as name:
        above, root = Path(name), Path(name, "files")
        root.mkdir()
        if os.geteuid() == 0:
            os.chown(root, 65534, 65534)
        above.chmod(0o111)
        try:
            await output(CONFINED, root)
        finally:
            above.chmod(0o700)
        assert [path.read_bytes() for path in kept(root)] == [b"kept"]


KILLED = """
async def pieces(data):
    for at in range(0, len(data), 200_000):
        yield data[at : at + 200_000]

async def put(files, number):
    own = source.with_name(f"source-{number}")
    while True:
        data = random.randbytes(random.randrange(1 << 21))
        data += hashlib.sha256(data).digest()
        own.write_bytes(data)
        stored = await files.put(own if number % 2 else pieces(data))
        os.write(1, f"{stored.key} {stored.size} {stored.sha256}\\n".encode())

async def main():
    files = FolderFiles(root)
    await asyncio.gather(*(put(files, number) for number in range(4)))

asyncio.run(main())
"""


def is_whole(data: bytes) -> bool:
    """Whether a file of the script above ends as it was written."""
    return hashlib.sha256(data[:-32]).digest() == data[-32:]


async def test_what_was_put_survives_kill_9(root: Path, files: FileStore, tmp_path: Path) -> None:
    answered: dict[str, tuple[int, str]] = {}
    for _ in range(5):
        process = await child(KILLED, root, tmp_path / "source")
        assert process.stdout is not None
        lines = [
            await asyncio.wait_for(process.stdout.readline(), BOUND) for _ in range(random.Random().randrange(1, 20))
        ]
        process.kill()
        lines += (await process.communicate())[0].splitlines()
        assert process.returncode == -signal.SIGKILL
        for line in lines:
            key, size, sha256 = line.decode().split()
            answered[key] = int(size), sha256

    for key, promised in answered.items():
        data = await content(files, key)
        assert (len(data), hashlib.sha256(data).hexdigest()) == promised
        assert is_whole(data)
    others = [path for path in kept(root) if path.name not in answered]
    for path in others:
        if path.parent.name == "partial":
            with pytest.raises(FileMissing):
                await content(files, path.name)
        else:  # in its place, but killed before the answer
            assert is_whole(await content(files, path.name))

    assert await sweep_all_but(files, *answered) == len(others)
    assert {path.name for path in kept(root)} == set(answered)


HANGING = """
async def pieces():
    yield bytes(3_000_000)
    os.write(1, b"midway\\n")
    await asyncio.Event().wait()

asyncio.run(FolderFiles(root).put(pieces()))
"""


async def test_what_a_killed_writer_left_is_swept_when_it_is_old(root: Path, files: FileStore) -> None:
    process = await child(HANGING, root)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), BOUND) == b"midway\n"
    process.kill()
    await process.communicate()
    [partial] = kept(root)
    assert partial.stat().st_size == 3_000_000
    with pytest.raises(FileMissing):
        await content(files, partial.name)

    async def known(page: Sequence[str]) -> set[str]:
        raise AssertionError

    assert await files.sweep(older_than=HOUR, now=now(), known=known) == 0
    assert await files.sweep(older_than=HOUR, now=now() + 2 * HOUR, known=known) == 1
    assert kept(root) == []


async def test_a_put_that_was_swept_meanwhile_fails(root: Path, files: FileStore) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield bytes(2 * MEGABYTE)
        assert await sweep_all_but(files) == 1

    with pytest.raises(FileNotFoundError):
        await files.put(slow())
    assert kept(root) == []


async def test_a_sweep_is_exact_to_the_microsecond(root: Path, files: FileStore) -> None:
    stored = await files.put(stream(b"old"))
    written = 1_700_000_000_000_001
    os.utime(root / stored.key[-2:] / stored.key, ns=(0, written * 1000))

    async def known(page: Sequence[str]) -> set[str]:
        return set()

    assert await files.sweep(older_than=HOUR, now=written + HOUR, known=known) == 0
    assert await files.sweep(older_than=HOUR, now=written + HOUR + 1, known=known) == 1


async def test_a_sweep_asks_in_pages(root: Path, files: FileStore) -> None:
    await files.put(stream())
    keys = {f"{number:032x}" for number in range(2 * PAGE + 100)}
    for key in keys:
        (root / key[-2:] / key).touch()
    pages = []

    async def known(page: Sequence[str]) -> set[str]:
        pages.append(len(page))
        return {key for key in page if int(key, 16) % 2 and key in keys}

    assert await files.sweep(older_than=HOUR, now=now() + 2 * HOUR, known=known) == PAGE + 51
    assert pages == [PAGE, PAGE, 101]
    assert {path.name for path in kept(root)} == {key for key in keys if int(key, 16) % 2}


async def test_sweeps_at_once_do_not_disturb_each_other(root: Path, files: FileStore) -> None:
    other = FolderFiles(root)
    for _ in range(20):
        await files.put(stream())
    assert sum(await asyncio.gather(sweep_all_but(files), sweep_all_but(other))) == 20
    assert kept(root) == []
    await other.close()
