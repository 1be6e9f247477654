import os
import socket
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from milepost import Folder
from milepost.engine import descent
from milepost.engine.descent import LONGEST_PART, LONGEST_PATH, PathRefused, parts_of

SECRET = "from outside"
FEWEST, MOST = 3_000, 300_000
"""Of the tries of a race: so many are made, and more until both sides have won some."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder beside a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text(SECRET)
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def folder(root: Path) -> Iterator[Folder]:
    """It is open, and everything else is closed again."""
    before = opened()
    with opened_root(root) as folder:
        yield folder
    assert opened() == before


def opened_root(root: Path) -> Folder:
    return Folder(os.open(root, os.O_RDONLY), root.name)


def opened() -> int:
    """How many descriptors are open."""
    return len(list(Path("/dev/fd").iterdir()))


# Paths.


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (".", ()),
        ("./", ()),
        ("a", ("a",)),
        ("a/b/", ("a", "b")),
        ("./a/./b", ("a", "b")),
        ("...", ("...",)),
        ("..a/b..", ("..a", "b..")),
        ("a\\..\\b\n", ("a\\..\\b\n",)),
        (Path("a/b"), ("a", "b")),
        ("/srv/shop", ()),
        ("/srv/shop/", ()),
        ("/srv/shop/a/b", ("a", "b")),
        ("/mnt/shop/a", ("a",)),
        ("x" * LONGEST_PART, ("x" * LONGEST_PART,)),
        (os.fsdecode(b"caf\xe9"), ("caf\udce9",)),
    ],
)
def test_a_path_has_parts(path: Any, parts: tuple[str, ...]) -> None:
    assert parts_of(path, ("/mnt/shop", "/srv/shop")) == parts


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "is empty"),
        ("..", "leads upward"),
        ("a/../b", "leads upward"),
        ("../", "leads upward"),
        ("/srv/shop/../x", "leads upward"),
        ("a//b", "an empty part"),
        ("//srv/shop", "an empty part"),
        ("a//", "an empty part"),
        ("a\0b", "NUL"),
        ("\ud800", "characters"),
        ("x" * (LONGEST_PART + 1), "255 bytes"),
        ("ü" * 128, "255 bytes"),
        ("x/" * (LONGEST_PATH // 2 + 1), "4096 bytes"),
        ("/", "not lie beneath"),
        ("/srv", "not lie beneath"),
        ("/srv/shopping/a", "not lie beneath"),
        ("/etc/passwd", "not lie beneath"),
    ],
)
def test_a_path_that_is_none_or_leads_out_is_refused(path: str, why: str) -> None:
    with pytest.raises(PathRefused, match=why) as refused:
        parts_of(path, ("/mnt/shop", "/srv/shop"))
    assert (refused.value.code, refused.value.retry) == ("path_refused", False)
    assert refused.value.message.startswith(f"The path {path!r} ")


def test_every_path_lies_beneath_the_root_of_all() -> None:
    assert parts_of("/etc/passwd", ("/",)) == ("etc", "passwd")


# What is there.


class Link(NamedTuple):
    """A symbolic link, and where it leads."""

    target: str


PIPE = None
Tree = dict[str, Any]
names = st.sampled_from(["a", "b", "c"])
leaves = st.binary(max_size=3) | st.just(PIPE)
targets = st.sampled_from(["a", "b/c", ".", "..", "../outside", "/etc/passwd", "nowhere", "../outside/file"])
trees = st.dictionaries(
    names,
    st.recursive(leaves | st.builds(Link, targets), lambda below: st.dictionaries(names, below, max_size=3)),
    max_size=3,
)
paths = st.lists(names | st.sampled_from([".", "..", "", "a\0"]), max_size=5).map("/".join)


def grow(tree: Tree, at: Path) -> None:
    """Make it real."""
    for name, node in tree.items():
        place = at / name
        match node:
            case Link(target):
                place.symlink_to(target)
            case dict():
                place.mkdir()
                grow(node, place)
            case bytes():
                place.write_bytes(node)
            case _:
                os.mkfifo(place)


def found(tree: Tree, path: str) -> Any:
    """What is at the path, or the error that says why there is nothing."""
    parts = path.removesuffix("/").split("/")
    if not path or path == "/" or "\0" in path or ".." in parts or "" in parts[1:] or path.startswith("/"):
        return PathRefused
    node: Any = tree
    for part in (part for part in parts if part != "."):
        if not isinstance(node, dict):
            return as_folder(node)
        if part not in node:
            return FileNotFoundError
        node = node[part]
        if isinstance(node, Link):
            return PathRefused
    return node


def said(call: Callable[[], Any]) -> Any:
    """What a call gives, or the type of its error."""
    try:
        return call()
    except (OSError, PathRefused) as error:
        return type(error)


@settings(deadline=None, max_examples=150)
@given(trees, st.lists(paths, min_size=3, max_size=8))
@example({"a": Link("../outside")}, ["a/file", "a", "./a/"])
@example({"a": {"b": PIPE}}, ["a/b", "a/b/c", "a"])
def test_whatever_is_there_only_what_lies_beneath_is_found(tree: Tree, asked: list[str]) -> None:
    with TemporaryDirectory() as above:
        root = Path(above, "root")
        root.mkdir()
        Path(above, "outside").mkdir()
        Path(above, "outside", "file").write_text(SECRET)
        grow(tree, root)
        before = opened()
        with opened_root(root) as folder:
            for path in asked:
                node = found(tree, path)
                assert said(lambda path=path: read(folder, path)) == as_file(node), path  # type: ignore[misc]
                assert said(lambda path=path: listed(folder, path)) == as_folder(node), path  # type: ignore[misc]
            assert sorted(path for path, _ in folder.walk()) == sorted(path for path, _ in every(tree))
            assert folder.files() == sorted(path for path, node in every(tree) if isinstance(node, bytes))
        assert opened() == before


def read(folder: Folder, path: str) -> bytes:
    with folder.open(path, "rb") as file:
        content: bytes = file.read()
        return content


def listed(folder: Folder, path: str) -> set[str]:
    with folder.open_folder(path) as below:
        return {name for name, _ in below.walk(leave_out=lambda name, _: "/" in name)}


def as_file(node: Any) -> Any:
    return IsADirectoryError if isinstance(node, dict) else PathRefused if node is PIPE else node


def as_folder(node: Any) -> Any:
    if isinstance(node, dict):
        return set(node)
    return PathRefused if node is PIPE else NotADirectoryError if isinstance(node, bytes) else node


def every(tree: Tree, above: str = "") -> list[tuple[str, Any]]:
    """All that is in a tree, by path; links are not followed."""
    here = [(f"{above}{name}", node) for name, node in tree.items()]
    return here + [found for path, node in here if isinstance(node, dict) for found in every(node, f"{path}/")]


def test_links_are_told_and_not_followed(root: Path, folder: Folder) -> None:
    (root / "a").mkdir()
    (root / "a" / "out").symlink_to("../../outside/file")
    assert stat.S_ISLNK(folder.stat("a/out").st_mode)
    assert folder.readlink("a/out") == "../../outside/file"
    assert folder.stat(".").st_ino == root.stat().st_ino
    for path in (".", "a"):
        with pytest.raises(OSError, match="Invalid argument"):
            folder.readlink(path)
    (root / "b").symlink_to("a")
    for ask in (folder.stat, folder.readlink, folder.open, folder.open_folder):
        with pytest.raises(PathRefused, match="'b/out' leads through a link"):
            ask("b/out")


def test_a_pipe_a_socket_and_a_device_are_refused_and_not_waited_for(root: Path, folder: Folder) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server, opened_root(Path("/dev")) as devices:
        server.bind(str(root / "socket"))
        for place, path in ((folder, "pipe"), (folder, "socket"), (devices, "null")):
            for mode in ("r", "w", "a", "r+"):
                with pytest.raises(PathRefused, match=f"'{path}' is no regular file"):
                    place.open(path, mode, **({} if mode != "r+" else {"buffering": 1}))
            for beneath in (path, f"{path}/a"):
                with pytest.raises(PathRefused, match=f"'{beneath}' is no folder"):
                    place.open_folder(beneath)
    (root / "plain").touch()
    with pytest.raises(NotADirectoryError):
        folder.open_folder("plain")


@pytest.mark.parametrize("kind", ["pipe", "socket", "link", "folder"])
@pytest.mark.parametrize("mode", ["r", "w"])
def test_what_takes_a_file_s_place_as_it_is_opened_is_refused_too(
    root: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch, kind: str, mode: str
) -> None:
    (root / "file").write_text("inside")
    check = descent._check_is_file
    checked: list[str] = []

    def swap(status: os.stat_result, path: str) -> None:
        check(status, path)
        checked.append(path)
        if len(checked) == 1:
            (root / "file").unlink()
            if kind == "pipe":
                os.mkfifo(root / "file")
            elif kind == "socket":
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(str(root / "file"))
            elif kind == "link":
                (root / "file").symlink_to("../outside/file")
            else:
                (root / "file").mkdir()

    monkeypatch.setattr(descent, "_check_is_file", swap)
    with pytest.raises((PathRefused, IsADirectoryError)):
        folder.open("file", mode)
    assert (root.parent / "outside" / "file").read_text() == SECRET


def test_files_are_written_in_the_folder_only(root: Path, folder: Folder) -> None:
    (root / "sub").mkdir()
    (root / "out").symlink_to("../outside")
    (root / "leaf").symlink_to("../outside/new")
    with folder.open("sub/new", "x", encoding="utf-8", newline="\r\n") as file:
        file.write("ü\n")
    assert (root / "sub" / "new").read_bytes() == b"\xc3\xbc\r\n"
    with folder.open("sub/new", "ab") as file:
        file.write(b"more")
    with folder.open("sub/new") as file:
        assert (file.name, file.read()) == ("sub/new", "ü\nmore")
        assert os.get_blocking(file.fileno())
    with pytest.raises(FileExistsError):
        folder.open("sub/new", "x")
    for path in ("out/new", "leaf"):
        for mode in ("w", "x", "a"):
            with pytest.raises((PathRefused, FileExistsError)):
                folder.open(path, mode)
    with pytest.raises(ValueError, match="mode"):
        folder.open("sub/new", "q")
    with pytest.raises(IsADirectoryError, match=r"'\.'"):
        folder.open(".")
    assert sorted(path.name for path in (root.parent / "outside").iterdir()) == ["file"]


def test_a_folder_that_nobody_closes_is_closed_when_it_is_forgotten(root: Path) -> None:
    before = opened()
    for _ in range(3):
        opened_root(root)
    assert opened() == before


def test_a_folder_has_a_name_and_is_closed_once(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    with opened_root(root) as folder:
        assert [folder.open_folder(path).name for path in ("a/b", "a/", ".")] == ["b", "a", "root"]
        folder.close()
    assert folder.descriptor < 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        folder.open_folder("a")


def test_a_walk_passes_over_what_is_left_out_vanishes_or_cannot_be_read(root: Path, folder: Folder) -> None:
    for name in ("kept", "left", "linked", "gone"):
        (root / name).mkdir()
        (root / name / "file").touch()
    errors: list[OSError] = []
    seen = []
    for path, status in folder.walk(leave_out=lambda path, _: path == "left", on_error=errors.append):
        seen.append(path)
        assert stat.S_ISDIR(status.st_mode) == ("/" not in path)
        if path in ("linked", "gone"):
            (root / path / "file").unlink()
            (root / path).rmdir()
        if path == "linked":
            (root / path).symlink_to("../outside")
    assert sorted(seen) == ["gone", "kept", "kept/file", "linked"]
    assert [error.filename for error in errors] == ["gone"]
    assert len(list(folder.walk())) == 5


def test_what_vanishes_while_a_folder_is_listed_was_never_there(
    root: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").touch()
    scan = os.scandir

    def late(descriptor: int) -> Any:
        entries = scan(descriptor)
        found = list(entries)
        (root / "a").unlink(missing_ok=True)
        entries.close()
        return Found(found)

    monkeypatch.setattr(os, "scandir", late)
    assert list(folder.walk()) == []


class Found(list[Any]):
    """Entries that were listed."""

    def __enter__(self) -> "Found":
        return self

    def __exit__(self, *_: object) -> None: ...


# Races.


class Swapper:
    """Lets a name be what it was, nothing, a link to elsewhere, and nothing again, as fast as it can."""

    def __init__(self, root: Path, name: str, target: str) -> None:
        self._places = [root / each for each in (name, "was", "link")]
        self._places[2].symlink_to(target)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        name, was, link = self._places
        while not self._stop.is_set():
            for source, to in ((name, was), (link, name), (name, link), (was, name)):
                source.rename(to)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def race(ask: Callable[[], Any]) -> Counter[Any]:
    """What comes of asking again and again."""
    came: Counter[Any] = Counter()
    for number in range(MOST):
        came[said(ask)] += 1
        if number > FEWEST and came["inside"] and came[PathRefused]:
            break
    return came


@pytest.mark.parametrize("through", [descent._THROUGH, descent._FOLDER], ids=["this system", "any other"])
@pytest.mark.parametrize("name", ["spot", "above/spot", "spot/below", "file"])
def test_p7_nobody_who_swaps_names_makes_it_read_from_outside(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, through: int
) -> None:
    monkeypatch.setattr(descent, "_THROUGH", through)
    outside = root.parent / "outside"
    place = root / name
    if name != "file":
        place.mkdir(parents=True)
        place /= "file"
        (outside / "below").mkdir()
        (outside / "below" / "file").write_text(SECRET)
    place.write_text("inside")
    asked = str(place.relative_to(root))
    swapped = root / ("spot" if name == "spot/below" else name)
    target = outside / "file" if name == "file" else outside
    before = opened()
    with opened_root(root) as folder, Swapper(swapped.parent, swapped.name, str(target)):
        came = race(lambda: read(folder, asked).decode())
    assert came.keys() <= {"inside", PathRefused, FileNotFoundError, NotADirectoryError}
    assert came["inside"]
    assert came[PathRefused]
    assert opened() == before


def test_p7_nor_makes_a_walk_tell_of_what_is_outside(root: Path) -> None:
    (root / "spot").mkdir()
    (root / "spot" / "inside").touch()
    tellings: set[tuple[str, ...]] = set()
    with opened_root(root) as folder, Swapper(root, "spot", "../outside"):
        for number in range(MOST):
            tellings.add(tuple(sorted(path for path, _ in folder.walk() if "/" in path)))
            if number > FEWEST and len(tellings) > 1:
                break
    assert len(tellings) > 1
    assert {path for telling in tellings for path in telling} <= {"spot/inside", "was/inside"}
