"""Does an archive hold what the folder held, and is one that does not ever called a backup?"""

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from milepost import Folder
from milepost.access.principal import LOCAL
from milepost.errors import Invalid
from milepost.task import FileResult, State
from tests.examples.running import DATA, example, log_lines, result, running, served, until, until_done, until_end

backup = example("backup")


def nothing(size: int) -> None:
    """Nobody listens."""


def tree(folder: Path) -> dict[str, tuple[str, bytes]]:
    """What a folder contains: kind and content by name."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.fsencode(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", b"")
        else:
            found[name] = ("file", path.read_bytes())
    return found


def extracted(content: bytes, to: Path) -> Path:
    """Where GNU tar puts what it finds in an archive."""
    to.mkdir()
    subprocess.run(["tar", "--extract", "--gzip", "--directory", to], input=content, check=True, capture_output=True)
    return to


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A files root with a folder of all kinds of things."""
    folder = tmp_path / "root" / "things"
    shutil.copytree(DATA / "documents", folder)
    (folder / "empty").mkdir()
    (folder / "nothing.txt").touch()
    (folder / "large.bin").write_bytes(os.urandom(3 << 20))
    (folder / ("long" * 40)).mkdir()
    (folder / ("long" * 40) / ("name" * 40)).write_text("more than the old tar formats can name")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("any bytes")
    (folder / "out").symlink_to("/etc")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "to a file").symlink_to("harvest.csv")
    os.link(folder / "harvest.csv", folder / "second name.csv")
    return folder.parent


async def run(folder: Path, root: Path, /, **input: Any) -> tuple[Any, bytes, list[Any]]:
    """The ended task, its archive if it made one, its log."""
    async with running(served(backup, folder, root)) as app:
        task = await until_end(app, await app.start("backup", input))
        return task, await result(app, task) if task.result else b"", await log_lines(app, task)


async def test_archive_holds_what_the_folder_held(tmp_path: Path, root: Path) -> None:
    task, content, log = await run(tmp_path, root, folder="things", name="My things", tag="monday")
    assert task.state is State.SUCCEEDED, task.failure
    assert isinstance(task.result, FileResult)
    assert (task.result.name, task.result.media_type) == ("My things-monday.tar.gz", "application/gzip")
    assert tree(extracted(content, tmp_path / "out") / "things") == tree(root / "things")
    size = sum(len(data) for kind, data in tree(root / "things").values() if kind == "file")
    assert (task.counts.done, task.counts.total, task.counts.failed) == (2 * size, 2 * size, 0)
    assert log == []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archived = archive.getmember("things/harvest.csv")
    assert archived.mtime == pytest.approx((root / "things" / "harvest.csv").stat().st_mtime)


async def test_no_name_in_an_archive_leads_out_of_it(tmp_path: Path, root: Path) -> None:
    odd = ["..\n", "a\nb", "\x1b[2J", "-rf", "C:\\x", "\u202egnp", "... ", "%2e%2e%2f"]
    for name in odd:
        (root / "things" / name).touch()
    task, content, _ = await run(tmp_path, root, folder="things/.")
    assert task.state is State.SUCCEEDED, task.failure
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = archive.getnames()
    assert {f"things/{name}" for name in odd} <= set(names)
    for name in names:
        first, *rest = name.split("/")
        assert first == "things"
        assert not {"", ".", ".."} & set(rest)
    assert not any(name.startswith("things/out/") for name in names), "what a link leads to is not read"


@pytest.mark.parametrize(
    ("input", "name"), [({}, "things.tar.gz"), ({"tag": "v1.2"}, "things-v1.2.tar.gz"), ({"name": "n"}, "n.tar.gz")]
)
async def test_name_and_tag_are_optional(tmp_path: Path, root: Path, input: dict[str, str], name: str) -> None:
    task, _, _ = await run(tmp_path, root, folder="things", **input)
    assert task.result.name == name


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\nb"])
async def test_names_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    async with running(served(backup, tmp_path)) as app:
        with pytest.raises(Invalid, match="/input/name"):
            await app.start("backup", {"folder": "documents", "name": name})


@pytest.mark.parametrize(
    ("folder", "code"), [("elsewhere", "no_folder"), ("/", "path_refused"), ("things/out", "path_refused")]
)
async def test_what_it_refuses_fails_at_once(tmp_path: Path, root: Path, folder: str, code: str) -> None:
    task, _, _ = await run(tmp_path, root, folder=folder)
    assert (task.state, task.attempt, task.failure.code) == (State.FAILED, 1, code)
    assert task.failure.message.startswith("/input/folder: ") == (code == "path_refused")


async def test_a_folder_that_leads_upward_is_refused_at_the_start(tmp_path: Path) -> None:
    async with running(served(backup, tmp_path)) as app:
        with pytest.raises(Invalid, match=r"/input/folder: A path beneath the files root"):
            await app.start("backup", {"folder": "documents/../.."})


async def test_p7_nothing_from_outside_is_archived_whatever_happens_to_names(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was found is a link to elsewhere by the time that it is archived; so is a file."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "to-the-harbour-office.txt").write_text("not for you")
    add = backup.add

    def swapped(archive: Any, folder: Any, path: str, on_bytes: Any) -> Any:
        if path == "letters/to-the-harbour-office.txt":
            (root / "things" / "letters").rename(tmp_path / "letters")
            (root / "things" / "letters").symlink_to(outside)
        if path == "nothing.txt":
            (root / "things" / path).unlink()
            (root / "things" / path).symlink_to(outside / "to-the-harbour-office.txt")
        return add(archive, folder, path, on_bytes)

    monkeypatch.setattr(backup, "add", swapped)
    task, content, log = await run(tmp_path, root, folder="things")
    assert task.state is State.SUCCEEDED, task.failure
    assert "things/letters/to-the-harbour-office.txt" in {line.fields["file"] for line in log}
    assert not [kind for kind, data in tree(extracted(content, tmp_path / "out")).values() if data == b"not for you"]


async def test_its_own_folder_is_not_in_the_archive(tmp_path: Path, root: Path) -> None:
    """The store lies in the folder that is backed up."""
    task, content, _ = await run(root / "things", root, folder="things")
    assert task.state is State.SUCCEEDED
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = archive.getnames()
    assert "things/milepost.db" in names
    assert not [name for name in names if task.id in name]


async def test_what_cannot_be_archived_is_counted_and_named(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(root / "things" / "pipe")
    (root / "things" / "vanishes.txt").write_text("here and gone")
    (root / "things" / "shrinks.bin").write_bytes(bytes(3 << 20))
    add = backup.add

    def disturbed(archive: Any, folder: Any, path: str, on_bytes: Any) -> Any:
        """The folder changes while it is archived."""

        def shrink(read: int) -> None:
            os.truncate(root / "things" / path, 1 << 20)
            on_bytes(read)

        if path == "vanishes.txt":
            (root / "things" / path).unlink()
        return add(archive, folder, path, shrink if path == "shrinks.bin" else on_bytes)

    monkeypatch.setattr(backup, "add", disturbed)
    task, content, log = await run(tmp_path, root, folder="things")
    assert task.state is State.SUCCEEDED, task.failure
    assert (task.counts.failed, task.counts.skipped) == (2, 1)
    assert task.counts.done == task.counts.total
    assert {(line.level, line.fields["file"]) for line in log} == {
        ("warning", "things/pipe"),
        ("warning", "things/shrinks.bin"),
        ("warning", "things/vanishes.txt"),
    }
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = archive.getnames()
    expected = tree_without_pipe(root / "things")
    assert set(names) == {f"things/{name}" for name in expected - {"shrinks.bin"}}


def tree_without_pipe(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "pipe"}


@pytest.mark.parametrize("lost", [False, True])
async def test_pause_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    """It carries on after the last file; from the beginning if its archive is gone."""
    monkeypatch.setattr(backup, "CHECKPOINT_EVERY", 0)
    added: list[str] = []
    add = backup.add

    def noted(archive: Any, folder: Any, path: str, on_bytes: Any) -> Any:
        added.append(path)
        return add(archive, folder, path, on_bytes)

    monkeypatch.setattr(backup, "add", noted)
    folder = tmp_path / "root" / "files"
    folder.mkdir(parents=True)
    for number in range(300):
        (folder / f"{number:03}.txt").write_text(f"{number}\n" * 100)
    async with running(served(backup, tmp_path, folder.parent)) as app:
        task = await app.start("backup", {"folder": "files"})
        await until_done(app, task, 5_000)
        await app.service.pause(LOCAL, task.id)
        await until(app, task, State.PAUSED)
        if lost:
            shutil.rmtree(next(tmp_path.rglob("sums.jsonl")).parent)
        else:
            with next(tmp_path.rglob("backup.tar.gz")).open("ab") as archive:
                archive.write(b"what a killed try wrote after its last checkpoint")
        seen = len(added)
        assert 0 < seen < 300
        await app.service.resume(LOCAL, task.id)
        ended = await until_end(app, task)
        content = await result(app, task)
    assert ended.state is State.SUCCEEDED, ended.failure
    assert tree(extracted(content, tmp_path / "out") / "files") == tree(folder)
    assert added[seen] in (["000.txt"] if lost else [f"{seen - 1:03}.txt", f"{seen:03}.txt"])


@pytest.mark.parametrize("phase", ["Archiving", "Verifying"])
async def test_cancel_takes_effect_within_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setattr(backup, "PIECE", 4 << 10)
    folder = tmp_path / "root" / "files"
    folder.mkdir(parents=True)
    size = 1 << 30 if phase == "Archiving" else 200 << 20
    with (folder / "large").open("wb") as file:
        file.truncate(size)
    async with running(served(backup, tmp_path, folder.parent)) as app:
        task = await app.start("backup", {"folder": "files"})
        await until_done(app, task, 1 if phase == "Archiving" else size + 1, timeout=60)
        await app.service.cancel(LOCAL, task.id)
        ended = await until_end(app, task)
    assert (ended.state, ended.message) == (State.CANCELLED, phase)
    assert ended.counts.done < 2 * size


async def test_a_damaged_archive_is_made_again(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Any] = []
    archive_folder = backup.archive_folder

    def careless(ctx: Any, folder: Folder, path: Path, sums: Path) -> int:
        """The disk turns a bit, the first time."""
        size: int = archive_folder(ctx, folder, path, sums)
        if not tries:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        tries.append(ctx.saved)
        return size

    monkeypatch.setattr(backup, "archive_folder", careless)
    monkeypatch.setattr(backup, "CHECKPOINT_EVERY", 0)
    task, content, _ = await run(tmp_path, root, folder="things")
    assert (task.state, task.attempt) == (State.SUCCEEDED, 2)
    assert tree(extracted(content, tmp_path / "out") / "things") == tree(root / "things")


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, Path]:
    """An archive of three files, and its sums."""
    path, sums = tmp_path / "backup.tar.gz", tmp_path / "sums.jsonl"
    lines = []
    with path.open("wb") as file, Folder(os.open(tmp_path, os.O_RDONLY), "root") as folder:
        for name in ("a", "b", "c"):
            (tmp_path / name).write_text(name * 100)
            lines.append(json.dumps([f"root/{name}", backup.add(file, folder, name, nothing)]))
        file.write(gzip.compress(bytes(1024)))
    sums.write_text("\n".join(lines) + "\n")
    return path, sums


def test_verify_reads_every_byte(archive: tuple[Path, Path]) -> None:
    pieces: list[int] = []
    backup.verify(*archive, pieces.append)
    assert sum(pieces) == 300


def test_verify_finds_every_turned_bit(archive: tuple[Path, Path]) -> None:
    """But for those that mean nothing, such as the time in the head of a gzip member."""
    path, sums = archive
    whole = path.read_bytes()
    unnoticed = 0
    for place in range(len(whole)):
        turned = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        path.write_bytes(turned)
        try:
            backup.verify(path, sums, nothing)
        except backup.Damaged:
            continue
        unnoticed += 1
        assert gzip.decompress(turned) == gzip.decompress(whole)
    assert unnoticed < len(whole) / 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:2], "goes on after its last"),
        (lambda lines: [*lines, '["d", ""]\n'], "d is not where it belongs"),
        (lambda lines: [lines[1], lines[0], lines[2]], "b is not where it belongs"),
        (lambda lines: [lines[0].replace('"]', '0"]'), *lines[1:]], "a is not in the archive as it was read"),
    ],
)
def test_verify_compares_with_what_was_read(archive: tuple[Path, Path], change: Any, message: str) -> None:
    path, sums = archive
    sums.write_text("".join(change(sums.read_text().splitlines(keepends=True))))
    with pytest.raises(backup.Damaged, match=message):
        backup.verify(path, sums, nothing)


def test_a_disk_that_is_full_is_not_taken_for_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1 << 20))
    with (
        Folder(os.open(tmp_path, os.O_RDONLY), "root") as folder,
        open("/dev/full", "wb", buffering=0) as full,  # noqa: PTH123
        pytest.raises(OSError, match="No space left"),
    ):
        backup.add(full, folder, "file", nothing)


def test_an_error_while_reading_is_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with Folder(os.open(tmp_path, os.O_RDONLY), "root") as folder:
        source = backup.Source(folder, "file", nothing)
    with source.file, (tmp_path / "file").open("ab") as unreadable:
        os.dup2(unreadable.fileno(), source.file.fileno())
        with pytest.raises(backup.Unreadable):
            source.read(1)
