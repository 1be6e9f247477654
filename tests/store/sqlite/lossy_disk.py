"""What may be left on a disk when the power fails?

A disk, and the kernel in front of it, keep what they are told in a cache and carry it over when, and in the order that,
they like. Only a sync is a promise. So this model remembers of every piece that can change by itself what it has been
since its last sync, and a power loss leaves any of these, of each piece independently of all others:

- a sector of a file (512 bytes, which are written whole or not at all: what SQLite calls a powersafe overwrite);
- the size of a file, where what was never written reads as zeros, and what is past it is cut off;
- a name in a folder: the file that it stands for, or that it stands for none. A new file is lost without its name,
  however well it was synced itself, and a deleted one may be back. Folders have names too.

A sync of a file settles its sectors and its size, a sync of a folder settles the names in it. This is more than a
journaling file system would lose, and all that POSIX lets it lose. A sync that fails is worse than none: Linux then
takes what it could not write for written, so that no later sync of the file saves it; only writing it once more does.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from milepost.task import Task

SECTOR: Final = 512
_ZEROS: Final = bytes(SECTOR)


class Write(NamedTuple):
    """Bytes were written to a file; files have numbers, as one name can stand for several in turn."""

    file: int
    offset: int
    data: bytes


class Resize(NamedTuple):
    """A file was cut, or made longer."""

    file: int
    size: int


class Sync(NamedTuple):
    """What a file contains was made durable."""

    file: int


class SyncFailed(NamedTuple):
    """It was not, and who wanted it was told so."""

    file: int


class Name(NamedTuple):
    """A name was given to a file or folder, or (None) taken away."""

    path: str
    file: int | None


class SyncFolder(NamedTuple):
    """The names in a folder were made durable."""

    path: str


class Answer(NamedTuple):
    """A caller was told that something is done, and how the records are then; the disk knows nothing of it."""

    what: str
    tasks: tuple[Task, ...] = ()


Event: TypeAlias = Write | Resize | Sync | SyncFailed | Name | SyncFolder | Answer
Choose: TypeAlias = Callable[[int], int]
"""Which of so many contents, the oldest of which is the last that was synced, a piece has after the loss."""
Image: TypeAlias = dict[str, bytes]
"""Files by their paths."""


def nothing(contents: int) -> int:
    """What was not synced is lost."""
    return 0


def everything(contents: int) -> int:
    """The cache was written back just in time."""
    return contents - 1


def some(seed: int, kept: float) -> Choose:
    """Of each piece any content; the newest with a probability of `kept` at least."""
    chance = random.Random(seed)
    return lambda contents: contents - 1 if chance.random() < kept else chance.randrange(contents)


class LossyDisk:
    """What has happened to the files of a disk up to now, and what a loss of power now may leave of them."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        # The contents that a piece has had since the last sync of what it belongs to, the oldest first.
        self._sectors: dict[int, list[list[bytes]]] = {}
        self._sizes: dict[int, list[int]] = {}
        self._names: dict[str, list[int | None]] = {}
        # Sectors that no sync writes any more, by their files.
        self._given_up: dict[int, set[int]] = {}
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Let this happen."""
        match event:
            case Write(file, offset, data):
                self._write(file, offset, data)
            case Resize(file, size):
                self._resize(file, size)
            case Sync(file):
                given_up = self._given_up.get(file, set())
                sectors = self._sectors.setdefault(file, [])
                _settle(contents for number, contents in enumerate(sectors) if number not in given_up)
                _settle([self._sizes.setdefault(file, [0])])
            case SyncFailed(file):
                written = enumerate(self._sectors.get(file, ()))
                self._given_up[file] = {number for number, contents in written if len(contents) > 1}
            case Name(path, file):
                _add(self._names.setdefault(path, [None]), file)
            case SyncFolder(folder):
                _settle(names for path, names in self._names.items() if _parent(path) == folder)

    def after_loss(self, choose: Choose) -> Image:
        """The files that are left if the power fails now."""
        names = {path: _chosen(files, choose) for path, files in self._names.items()}
        kept: Image = {}
        for path, file in names.items():
            # The folders that were there before anything happened have no names here, and stay.
            reachable = all(names.get(folder, folder) is not None for folder in _ancestors(path))
            if file in self._sizes and reachable:
                kept[path] = self._contents(file, choose)
        return kept

    def _contents(self, file: int, choose: Choose) -> bytes:
        size = _chosen(self._sizes[file], choose)
        data = b"".join(_chosen(contents, choose) for contents in self._sectors.get(file, ()))
        return data[:size].ljust(size, b"\0")

    def _write(self, file: int, offset: int, data: bytes) -> None:
        end = offset + len(data)
        sectors = self._sectors.setdefault(file, [])
        sectors.extend([_ZEROS] for _ in range(len(sectors), -(-end // SECTOR)))
        for number in range(offset // SECTOR, -(-end // SECTOR)):
            start = number * SECTOR
            here = data[max(0, start - offset) : start + SECTOR - offset]
            at = max(0, offset - start)
            before = sectors[number][-1]
            _add(sectors[number], before[:at] + here + before[at + len(here) :])
            self._given_up.get(file, set()).discard(number)
        sizes = self._sizes.setdefault(file, [0])
        _add(sizes, max(sizes[-1], end))

    def _resize(self, file: int, size: int) -> None:
        for number, contents in enumerate(self._sectors.get(file, ())):
            left = max(0, size - number * SECTOR)
            _add(contents, contents[-1][:left].ljust(SECTOR, b"\0"))
        _add(self._sizes.setdefault(file, [0]), size)


def write_out(image: Image, folder: Path, *, instead_of: Path) -> None:
    """Put the files of an image into another folder than they were in."""
    for path, data in image.items():
        place = folder / Path(path).relative_to(instead_of)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def _add(contents: list[Any], newest: Any) -> None:
    if newest != contents[-1]:
        contents.append(newest)


def _settle(pieces: Iterable[list[Any]]) -> None:
    for contents in pieces:
        del contents[:-1]


def _chosen(contents: list[Any], choose: Choose) -> Any:
    return contents[choose(len(contents))] if len(contents) > 1 else contents[0]


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _ancestors(path: str) -> Iterator[str]:
    while (path := _parent(path)) != "/":
        yield path
