"""Backs up a folder as a compressed archive, and reads the archive again before it calls it a backup.

    milepost serve examples/backup.py --files-root examples/data
    milepost start backup folder=documents name=documents tag=monday --watch

The folder lies beneath the files root and is opened once: whatever happens to names meanwhile, nothing from elsewhere
is archived. Links are archived as links and never followed. What vanishes or can't be read is counted as failed and
named in the log; sockets, pipes and devices are skipped. Progress counts bytes, each twice: once when it is archived,
once when it is verified.
"""

import grp
import gzip
import hashlib
import json
import os
import pwd
import stat
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated, BinaryIO

import msgspec

from milepost import BlockingContext, File, Folder, Milepost, NamedPath, TaskError

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
def backup(ctx: BlockingContext, *, folder: NamedPath, name: Label | None = None, tag: Label | None = None) -> File:
    """Back up a folder as a compressed archive, and verify that."""
    path, sums = ctx.folder / "backup.tar.gz", ctx.folder / "sums.jsonl"
    try:
        root = ctx.open_folder(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TaskError(f"There is no folder {folder!r}.", code="no_folder", retry=False) from error
    with root:
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


def archive_folder(ctx: BlockingContext, root: Folder, path: Path, sums_path: Path) -> int:
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
                digest = add(archive, root, entry, rest)
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


def list_folder(ctx: BlockingContext, root: Folder) -> Iterator[tuple[str, int, str]]:
    """All that a folder contains: its name in the archive, its size, its path. Links to folders are not entered."""
    own = [path.stat() for path in (ctx.folder, ctx.folder.parent)]  # what this task writes to may lie in what it reads
    for path, status in root.walk(
        leave_out=lambda _, status: any(os.path.samestat(status, each) for each in own),
        on_error=lambda error: ctx.log(str(error), "warning"),
    ):
        yield shown(f"{root.name}/{path}"), status.st_size if stat.S_ISREG(status.st_mode) else 0, path


def add(archive: BinaryIO, root: Folder, path: str, on_bytes: Callable[[int], None]) -> str | None:
    """Append an entry; tells a file's SHA-256, a link's target, and None for what can't be archived.

    Each entry is a gzip member of its own. Members in a row are one valid gzip file, which unlike a single member can
    be cut after any of them and written on. Raises Unreadable.
    """
    with gzip.GzipFile(filename="", fileobj=archive, mode="wb") as member:
        tar = tarfile.TarFile(fileobj=member, mode="w", copybufsize=PIECE)  # not closed: that would end the archive
        name = f"{root.name}/{path}"
        source = None
        try:
            status = root.stat(path)
            match stat.S_IFMT(status.st_mode):
                case stat.S_IFREG:
                    source = Source(root, path, on_bytes)
                    info = described(name, tarfile.REGTYPE, os.fstat(source.file.fileno()))
                case stat.S_IFDIR:
                    info = described(name, tarfile.DIRTYPE, status)
                case stat.S_IFLNK:
                    info = described(name, tarfile.SYMTYPE, status)
                    info.linkname = root.readlink(path)
                case _:
                    return None
        except (OSError, TaskError) as error:
            raise Unreadable(str(error)) from error
        if source is None:
            tar.addfile(info)
            return shown(info.linkname)
        with source.file:
            tar.addfile(info, source)
        return source.sha256.hexdigest()


def described(name: str, kind: bytes, status: os.stat_result) -> tarfile.TarInfo:
    """What an archive says of an entry."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, stat.S_IMODE(status.st_mode), status.st_mtime
    info.size = status.st_size if kind == tarfile.REGTYPE else 0
    info.uid, info.gid = status.st_uid, status.st_gid
    with suppress(KeyError):
        info.uname = pwd.getpwuid(status.st_uid).pw_name
    with suppress(KeyError):
        info.gname = grp.getgrgid(status.st_gid).gr_name
    return info


class Source:
    """A file that is read into the archive: it is hashed on the way."""

    def __init__(self, root: Folder, path: str, on_bytes: Callable[[int], None]) -> None:
        self.file: IO[bytes] = root.open(path, "rb")
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
