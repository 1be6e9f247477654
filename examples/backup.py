"""Backs up a folder as a compressed archive, and reads the archive again before it calls it a backup.

    milepost serve examples/backup.py --files-root examples/data
    milepost start backup folder=documents name=documents tag=monday --watch

The folder lies beneath the files root. Links are archived as links and never followed. What vanishes or can't be read
is counted as failed and named in the log; sockets, pipes and devices are skipped. Progress counts bytes, each twice:
once when it is archived, once when it is verified.
"""

import contextlib
import gzip
import hashlib
import json
import os
import stat
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from milepost import BlockingContext, File, Milepost, TaskError

app = Milepost()

CHECKPOINT_EVERY = 1.0  # seconds; a checkpoint costs three syncs of the disk, more than most files take
PIECE = 1 << 20  # bytes read at a time

Label = Annotated[str, msgspec.Meta(pattern=r"^\w[\w. -]{0,99}$", description="Letters, digits, spaces, _ . and -")]


class Unreadable(Exception):
    """A file can't be read. Not an OSError, because a full disk on the writing side is one too."""


class Damaged(Exception):
    """The archive does not hold what was read."""


@dataclass
class Position:
    """How far it has come: the last name, the lengths of archive and sums, bytes done, names failed and skipped."""

    after: str = ""
    archive: int = 0
    sums: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0


@app.task(retries=2, timeout="12h")
def backup(ctx: BlockingContext, *, folder: str, name: Label | None = None, tag: Label | None = None) -> File:
    """Back up a folder as a compressed archive, and verify that."""
    root = ctx.resolve(folder)
    if not root.is_dir():
        raise TaskError(f"There is no folder {folder!r}.", code="no_folder", retry=False)
    path, sums = ctx.folder / "backup.tar.gz", ctx.folder / "sums.jsonl"
    total = done = archive_folder(ctx, root, path, sums)

    def on_piece(size: int) -> None:
        nonlocal done
        done += size
        ctx.progress(done, 2 * total, message="Verifying")
        if ctx.stopping:
            ctx.checkpoint(ctx.saved)

    try:
        verify(path, sums, on_piece)
    except Damaged:
        ctx.checkpoint(None)  # the next try begins again
        raise
    ctx.progress(2 * total, 2 * total, message="Verified")
    return File(path, "-".join(filter(None, (name or root.name, tag))) + ".tar.gz", "application/gzip")


def archive_folder(ctx: BlockingContext, root: Path, path: Path, sums_path: Path) -> int:
    """Write the archive, and a line for each of its members with the SHA-256 of what was read; tells the bytes read."""
    with path.open("ab") as archive, sums_path.open("ab") as sums:
        at = Position(**ctx.saved) if ctx.saved else Position()
        if archive.tell() < at.archive or sums.tell() < at.sums:
            at = Position()  # the last try left its files on another machine
        cut(archive, at.archive)
        cut(sums, at.sums)
        left = sorted(entry for entry in list_folder(ctx, root) if entry[0] > at.after)
        total = at.done + sum(size for _, size, _ in left)
        saved_at = time.monotonic()

        def rest(read: int = 0) -> None:
            """Say how far it is; save that now and then, and when the task is to stop: within a large file too."""
            nonlocal saved_at
            ctx.progress(at.done + read, 2 * total, failed=at.failed, skipped=at.skipped, message="Archiving")
            if ctx.stopping or time.monotonic() - saved_at >= CHECKPOINT_EVERY:
                for file in (archive, sums):
                    file.flush()
                    os.fsync(file.fileno())
                ctx.checkpoint(asdict(at))
                saved_at = time.monotonic()

        for name, size, entry in left:
            try:
                digest = add(archive, entry, f"{root.name}/{entry.relative_to(root)}", rest)
            except Unreadable as error:
                cut(archive, at.archive)  # half of it may have been written
                at.failed += 1
                ctx.log(f"{name} can't be read: {error}", "warning", file=name)
            else:
                if digest is None:
                    at.skipped += 1
                    ctx.log(f"{name} is neither file, folder nor link", "warning", file=name)
                else:
                    at.sums += sums.write(json.dumps([name, digest]).encode() + b"\n")
                    at.archive = archive.tell()
            at.done += size
            at.after = name
            rest()
        archive.write(gzip.compress(b"\0" * 2 * tarfile.BLOCKSIZE))  # the end of every tar archive
    return total


def cut(file: BinaryIO, length: int) -> None:
    file.seek(length)
    file.truncate()


def shown(name: str) -> str:
    """A name as text that can be stored and sent; on disk it may be any bytes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def list_folder(ctx: BlockingContext, root: Path) -> Iterator[tuple[str, int, Path]]:
    """All that a folder contains: its name in the archive, its size, its path. Links to folders are not entered."""
    for place, folders, files in os.walk(root, onerror=lambda error: ctx.log(str(error), "warning")):
        # What this task writes to may lie in the folder that it reads.
        folders[:] = [folder for folder in folders if Path(place, folder) not in (ctx.folder, ctx.folder.parent)]
        for path in (Path(place, name) for name in (*folders, *files)):
            size = 0
            with contextlib.suppress(OSError):  # gone already: `add` will say so
                status = path.lstat()
                size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            yield shown(f"{root.name}/{path.relative_to(root)}"), size, path


def add(archive: BinaryIO, path: Path, name: str, on_bytes: Callable[[int], None]) -> str | None:
    """Append an entry; tells a file's SHA-256, a link's target, and None for what can't be archived.

    Each entry is a gzip member of its own. Members in a row are one valid gzip file, which unlike a single member can
    be cut after any of them and written on. Raises Unreadable.
    """
    with gzip.GzipFile(filename="", fileobj=archive, mode="wb") as member:
        tar = tarfile.TarFile(fileobj=member, mode="w", copybufsize=PIECE)  # not closed: that would end the archive
        try:
            if stat.S_IFMT(path.lstat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                return None
            info = tar.gettarinfo(path, name)
            source = Source(path, on_bytes) if info.isreg() else None
        except OSError as error:
            raise Unreadable(str(error)) from error
        if source is None:
            tar.addfile(info)
            return shown(info.linkname)
        with source.file:
            tar.addfile(info, source)
        return source.sha256.hexdigest()


class Source:
    """A file that is read into the archive: it is hashed on the way."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        # A link or a pipe that took the file's place since it was found is neither followed nor waited for.
        self.file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        self.sha256 = hashlib.sha256()
        self.on_bytes = on_bytes

    def read(self, size: int = PIECE, /) -> bytes:
        """The next `size` bytes: the archive says beforehand how many there are. Raises Unreadable."""
        try:
            piece = self.file.read(size)
        except OSError as error:
            raise Unreadable(str(error)) from error
        if len(piece) < size:
            raise Unreadable("It became shorter while it was read.")
        self.sha256.update(piece)
        self.on_bytes(self.file.tell())
        return piece


def verify(path: Path, sums: Path, on_piece: Callable[[int], None]) -> None:
    """Read the archive and compare every member with what was read for it. Raises Damaged."""
    name = ""
    try:
        with gzip.open(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar, sums.open("rb") as lines:
            for name, expected in map(json.loads, lines):
                member = tar.next()
                if member is None or shown(member.name) != name:
                    raise Damaged(f"{name} is not where it belongs in the archive.")
                if digest(tar, member, on_piece) != expected:
                    raise Damaged(f"{name} is not in the archive as it was read.")
                tar.members.clear()  # type: ignore[attr-defined]  # it would remember them all
            if tar.next() is not None:
                raise Damaged("The archive goes on after its last member.")
    except (EOFError, OSError, tarfile.TarError, zlib.error) as error:
        raise Damaged(f"The archive can't be read after {name or 'its beginning'}: {error}") from error


def digest(tar: tarfile.TarFile, member: tarfile.TarInfo, on_piece: Callable[[int], None]) -> str:
    """What `add` told when it appended this member."""
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        return shown(member.linkname)
    sha256 = hashlib.sha256()
    while piece := content.read(PIECE):
        sha256.update(piece)
        on_piece(len(piece))
    return sha256.hexdigest()
