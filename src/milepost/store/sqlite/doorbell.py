"""How does a process hear that another one has committed?

Each process binds a Unix datagram socket, its bell, in a folder beside the store, and rings all others after a commit.
A ring says which records were changed, so that nobody has to look at all that somebody waits for. It is only a hint,
which can be lost, and says nothing where that would be much: whoever hears it then looks for itself.
"""

import errno
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from milepost.store.sqlite.transaction import Changed

_NAME_BYTES: Final = 8
_LONGEST_ADDRESS: Final = 107
"""Bytes of a socket's path that fit into sockaddr_un, see unix(7)."""

LONGEST: Final = 60_000
"""Bytes of what a ring says: of some 1,200 changes. Only who could not be told for seconds is owed as many."""
FULL: Final = 10
"""Rings with which a bell may have been full, see net.unix.max_dgram_qlen in unix(7): it is 10, or more."""

_decode: Final = msgspec.json.Decoder(Changed).decode

# What a bell answers that nobody will listen to again, and one that just went.
_DEAD: Final = frozenset({errno.ECONNREFUSED, errno.ENOTSOCK})
_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS})


class Doorbell:
    """A bell of one's own, and a way to ring all others of the same store."""

    def __init__(self, path: Path) -> None:
        self._folder = _folder(path)
        self._name = secrets.token_hex(_NAME_BYTES)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._owed: dict[str, Changed | None] = {}
        """What bells that were full were not told; None for what is too much."""
        self._plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            for one in (self._socket, self._plain):
                one.setblocking(False)
            self._socket.bind(str(self._folder / self._name))
        except OSError:
            self._socket.close()
            self._plain.close()
            raise

    def fileno(self) -> int:
        """What to wait on for rings."""
        return self._socket.fileno()

    def heard(self) -> Iterator[Changed | None]:
        """What every ring says that has come so far: what was changed, or None, for what can't be known."""
        rings = 0
        with suppress(BlockingIOError):
            while True:
                said = self._socket.recv(LONGEST)
                rings += 1
                yield _understood(said)
        if rings >= FULL:
            yield None  # whatever came while the bell was full was not heard

    def ring(self, changed: Changed | None = None) -> None:
        """Ring all other bells, without waiting for anybody, in any thread. Who does not hear it has a poll."""
        said = _said(changed)
        with suppress(OSError):
            for bell in self._folder.iterdir():
                if bell.name != self._name:
                    self._ring(bell, changed, said)

    def _ring(self, bell: Path, changed: Changed | None, said: bytes) -> None:
        if bell.name in self._owed:
            owed = self._owed.pop(bell.name)
            changed = None if owed is None or changed is None else owed | changed
            said = _said(changed)
        try:
            self._socket.sendto(said, str(bell))
        except OSError as error:
            # One that went is gone; what keeps a bell silent otherwise (rights, say) is made up for by the poll of its
            # owner.
            if error.errno in _DEAD:
                with suppress(OSError):
                    bell.unlink()
            elif error.errno in _FULL:
                self._owe(bell, changed if said else None)

    def _owe(self, bell: Path, changed: Changed | None) -> None:
        """A full bell has rung already. What it was not told it is told with the next ring; if none comes, it looks."""
        self._owed[bell.name] = changed
        # Should it be that others, which do not listen, were told so much that there is no memory left to tell more:
        # this takes hardly any.
        with suppress(OSError):
            self._plain.sendto(b"", str(bell))

    def close(self) -> None:
        """Take the bell away."""
        (self._folder / self._name).unlink(missing_ok=True)
        self._socket.close()
        self._plain.close()


def _said(changed: Changed | None) -> bytes:
    said = b"" if changed is None else msgspec.json.encode(changed)
    return said if len(said) <= LONGEST else b""


def _understood(said: bytes) -> Changed | None:
    try:
        return _decode(said) if said else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _folder(path: Path) -> Path:
    """The folder of the store's bells: beside it, or where its path is too long for a socket's, under a hash of it."""
    beside = path.with_name(f"{path.name}-bells")
    if _fits(beside):
        beside.mkdir(exist_ok=True)
        return beside
    name = f"milepost-{os.geteuid()}-{blake2b(os.fsencode(path), digest_size=8).hexdigest()}"
    private = Path(tempfile.gettempdir(), name)
    if not _fits(private):
        private = Path("/tmp", name)  # noqa: S108 it is looked at below whose it is
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "this folder belongs to somebody else", str(private))
    return private


def _fits(folder: Path) -> bool:
    """Whether a bell in it has an address."""
    return len(os.fsencode(folder)) + 1 + 2 * _NAME_BYTES <= _LONGEST_ADDRESS
