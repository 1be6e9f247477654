import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import Context, NamedPath, TaskError
from milepost.engine.context import Place
from milepost.engine.descent import PathRefused, parts_of
from milepost.engine.named_paths import field_of
from milepost.errors import Invalid
from milepost.file_name import PATH_PATTERN
from milepost.task import State
from tests.engine.bench import Bench
from tests.engine.leases import Book

REFUSED = [
    "../x",
    "a/../../x",
    "a/../b",
    "/etc/passwd",
    "out",
    "out/x",
    "circle/x",
    "nul\0",
    "/",
    "",
    "a//b",
    "ä" * 200,
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A files root, with what leads out of it."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to("/etc")
    (root / "circle").symlink_to(root / "circle")
    (root / "a").mkdir()
    (root / "a" / "b.txt").write_text("inside")
    (root / "within").symlink_to("a")
    os.mkfifo(root / "pipe")
    return root


def context(root: Path | str, **input: Any) -> Context:
    return Context(Book().lease(input=msgspec.json.encode(input)), Place("", str(root)))


def test_what_a_caller_named_is_opened(root: Path) -> None:
    ctx = context(root)
    for path in ("a/b.txt", root / "a" / "b.txt", f"{root}/a/b.txt"):
        with ctx.open(path) as file:
            assert file.read() == "inside"
        with ctx.open(path, "rb") as file:
            assert file.read() == b"inside"
        assert ctx.resolve(path) == root / "a" / "b.txt"
    with ctx.open_folder("a") as folder, folder.open("b.txt") as file:
        assert (folder.name, file.read()) == ("a", "inside")
    with ctx.open_folder(".") as folder:
        assert (folder.name, "a/b.txt" in dict(folder.walk())) == ("root", True)
    assert ctx.resolve(".") == root
    assert ctx.resolve("a/new/b") == root / "a" / "new" / "b"
    assert ctx.resolve("a/b.txt/c") == root / "a" / "b.txt" / "c"


def test_what_is_not_there_is_an_error_as_of_open(root: Path) -> None:
    ctx = context(root)
    with pytest.raises(FileNotFoundError, match="'a/none'"):
        ctx.open("a/none")
    with pytest.raises(FileNotFoundError, match="'none'"):
        ctx.open_folder("none")
    with pytest.raises(NotADirectoryError, match=r"'a/b\.txt'"):
        ctx.open_folder("a/b.txt")
    with pytest.raises(IsADirectoryError, match="'a'"):
        ctx.open("a")
    with pytest.raises(FileNotFoundError):
        context(root / "none").open("a")


@pytest.mark.parametrize("path", [*REFUSED, "within", "within/b.txt"])
def test_paths_that_lead_out_or_through_links_are_refused_and_their_field_is_named(root: Path, path: str) -> None:
    ctx = context(root, items=[{"a/b~": "c"}, {"a/b~": path}])
    for ask in (ctx.resolve, ctx.open, ctx.open_folder):
        with pytest.raises(TaskError) as refusal:
            ask(path)
        assert (refusal.value.code, refusal.value.retry) == ("path_refused", False)
        assert refusal.value.message.startswith(f"/input/items/1/a~1b~0: The path {path!r} ")


def test_neither_pipe_nor_device_is_a_file(root: Path) -> None:
    ctx = context(root, path="pipe")
    for ask in (ctx.resolve, ctx.open):
        with pytest.raises(TaskError, match=r"^/input/path: The path 'pipe' is (no regular|neither a) file"):
            ask("pipe")
    with pytest.raises(TaskError, match=r"^/input/path: The path 'pipe' is no folder\."):
        ctx.open_folder("pipe")


def test_the_root_itself_may_be_a_link_and_have_both_names(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    ctx = context(tmp_path / "alias")
    for path in ("a/b.txt", root / "a/b.txt", tmp_path / "alias" / "a/b.txt"):
        with ctx.open(path) as file:
            assert file.read() == "inside"
        assert ctx.resolve(path) == root / "a" / "b.txt"


@pytest.mark.parametrize(
    ("path", "input", "field"),
    [
        ("a", {"n": 1, "path": "a", "other": "a"}, "/input/path"),
        ("a", {"paths": ["b", "a/"]}, "/input/paths/1"),
        ("", {"path": ""}, "/input/path"),
        ("", {"path": "."}, None),
        ("a", {"path": "b", "none": None}, None),
    ],
)
def test_the_field_is_the_first_that_has_the_path(path: str, input: Any, field: str | None) -> None:
    assert field_of(path, msgspec.json.encode(input)) == field


pieces = st.sampled_from([".", "..", "...", "/", "a", "b.c", " ", "\0", "\n", "-"]) | st.text(max_size=3)


@given(st.lists(pieces, max_size=8).map("".join))
def test_the_pattern_refuses_what_would_be_refused_later(path: str) -> None:
    try:
        parts_of(path, ("/",))
    except PathRefused:
        is_path = False
    else:
        is_path = True
    as_python = bool(path) and re.search(PATH_PATTERN, path) is not None
    assert as_python == is_path or any("\ud800" <= each <= "\udfff" for each in path)


async def test_a_named_path_is_checked_at_the_start_and_again_when_it_is_opened(bench: Bench) -> None:
    folder = Path(bench.app._files_root)
    (folder / "note.txt").write_text("three short words")

    @bench.app.task
    async def count(ctx: Context, *, path: NamedPath) -> int:
        with ctx.open(path) as file:
            return len(file.read().split())

    await bench.publish()
    async with bench.working():
        for path in ("note.txt", "./note.txt", str(folder / "note.txt")):
            task = await bench.end(await bench.start("count", {"path": path}))
            assert task.state is State.SUCCEEDED, task.failure
        for path in ("..", "a/../b", "a//b", "", "a\0", "x" * 5_000):
            with pytest.raises(Invalid, match="/input/path"):
                await bench.start("count", {"path": path})
        with pytest.raises(Invalid) as invalid:
            await bench.start("count", {"path": "a/.."})
        assert invalid.value.faults[0].detail == "A path beneath the files root, without `..`, empty parts and NUL."
        (folder / "out").symlink_to("/etc/passwd")
        task = await bench.end(await bench.start("count", {"path": "out"}))
        assert task.failure is not None
        assert (task.failure.code, task.attempt) == ("path_refused", 1)
        assert task.failure.message == "/input/path: The path 'out' leads through a link."
