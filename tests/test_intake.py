import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from milepost import intake
from milepost.access.limits import Limits
from milepost.errors import Conflict, TooLarge, Unavailable
from milepost.files.folder import FolderFiles
from milepost.intake import MAX_FILE_NAME, UNNAMED, Upload
from milepost.store.protocol import TypeInfo
from milepost.task import State, Task

INFO = TypeInfo("intake", "loop", {})
STANDING = Task(
    id="standing",
    tenant="acme",
    owner="ada",
    type="intake",
    created_at=1,
    updated_at=1,
    runner="external",
    state=State.RUNNING,
)


async def pieces(*sent: bytes) -> AsyncIterator[bytes]:
    for piece in sent:
        yield piece


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[FolderFiles]:
    files = FolderFiles(tmp_path / "files")
    yield files
    await files.close()


def stored(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("task", "info", "why"),
    [
        (replace(STANDING, runner="loop"), INFO, "Only a standing task"),
        (STANDING, None, "no task type 'intake'"),
        (replace(STANDING, state=State.SUCCEEDED), INFO, "The task is succeeded"),
        (replace(STANDING, cancel_requested=True), INFO, "is to be cancelled"),
    ],
)
def test_what_takes_no_deliveries_says_why(task: Task, info: TypeInfo | None, why: str) -> None:
    intake.check(STANDING, INFO)
    with pytest.raises(Conflict, match=why):
        intake.check(task, info)


def test_what_has_come_to_an_end_may_have_taken_some_before() -> None:
    intake.check(replace(STANDING, state=State.CANCELLED), INFO, running=False)


def test_a_delivery_goes_over_the_standing_tasks_own_input() -> None:
    standing = replace(STANDING, assignee="bob", priority=3, timeout=5, max_attempts=2, keep_result=7, keep_record=8)
    start = intake.start_of(standing, {"a": 1, "b": {"x": 1}}, {"b": 2, "c": 3})
    assert start.input == {"a": 1, "b": 2, "c": 3}
    assert (start.type, start.tenant, start.owner, start.assignee, start.parent) == (
        *("intake", "acme", "ada", "bob"),
        "standing",
    )
    assert (start.priority, start.timeout, start.max_attempts, start.keep_result, start.keep_record) == (3, 5, 2, 7, 8)
    assert start.runner is None, "a worker runs it"


async def test_files_are_kept_with_what_is_said_of_them(files: FolderFiles, tmp_path: Path) -> None:
    (tmp_path / "here.json").write_bytes(b"{}")
    one, two, three = await intake.keep(
        files,
        [
            Upload(pieces(b"a", b"", b"bc"), "up/a.bin", "text/x-mine"),
            Upload(tmp_path / "here.json", "here.json"),
            Upload(pieces()),
        ],
    )
    assert (one.name, one.media_type, one.size) == ("a.bin", "text/x-mine", 3)
    assert (two.name, two.media_type, two.size) == ("here.json", "application/json", 2)
    assert (three.name, three.media_type, three.size) == (UNNAMED, "application/octet-stream", 0)
    assert b"".join([piece async for piece in files.read(one.key)]) == b"abc"
    await intake.discard(files, [one, two, three])
    assert stored(tmp_path) == []


async def test_of_too_much_nothing_is_kept(files: FolderFiles, tmp_path: Path) -> None:
    limits = Limits(delivery=10, delivery_files=3)
    (tmp_path / "here").write_bytes(b"1234567")
    await intake.keep(files, [Upload(pieces(b"123")), Upload(tmp_path / "here"), Upload(pieces())], limits)
    before = stored(tmp_path)
    for uploads in (
        [Upload(pieces(b"1234")), Upload(pieces(b"123456", b"7"))],
        [Upload(pieces(b"1234")), Upload(tmp_path / "here")],
        [Upload(pieces())] * 4,
    ):
        with pytest.raises(TooLarge):
            await intake.keep(files, uploads, limits)
    assert stored(tmp_path) == before


async def test_what_is_no_regular_file_is_no_delivery(files: FolderFiles, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=f"Not a regular file: '{path}'"):
            await intake.keep(files, [Upload(path)])


async def test_a_stream_that_breaks_off_leaves_nothing(files: FolderFiles, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"1"
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        await intake.keep(files, [Upload(pieces(b"1")), Upload(broken())])
    with pytest.raises(FileNotFoundError):
        await intake.keep(files, [Upload(pieces(b"1")), Upload(tmp_path / "absent")])
    assert stored(tmp_path) == []


async def test_a_store_that_fails_is_no_fault_of_the_callers(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    broken = FolderFiles(tmp_path / "plain" / "files")
    with pytest.raises(Unavailable, match="nothing was changed"):
        await intake.keep(broken, [Upload(pieces(b"1"))])
    await broken.close()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("a.txt", "a.txt"),
        (" über uns.txt ", "über uns.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\a.txt", "a.txt"),
        (".env", ".env"),
        ("a\0b\n\u202ec\ud800", "a_b__c_"),
        ("ü" * 200, "ü" * 127),
        ("a" * 254 + " b", "a" * 254),
        *((nothing, UNNAMED) for nothing in (None, "", " ", ".", "..", "a/", "a/..")),
    ],
)
def test_a_name_is_one_in_any_folder(said: str | None, name: str) -> None:
    assert intake.file_name(said) == name
    assert len(name.encode()) <= MAX_FILE_NAME
