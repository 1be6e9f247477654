"""How does a process hear that another one has committed?

Each process binds a Unix datagram socket, its bell, in a folder beside the store, and rings all others after a commit.
A ring says nothing: whoever hears it looks for itself.
"""

import errno
import os
import secrets
import socket
import stat
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

_NAME_BYTES: Final = 8
_LONGEST_ADDRESS: Final = 107
"""Bytes of a socket's path that fit into sockaddr_un, see unix(7)."""

# What a bell answers that nobody will listen to again, and one that just went.
_DEAD: Final = frozenset({errno.ECONNREFUSED, errno.ENOTSOCK})


class Doorbell:
    """A bell of one's own, and a way to ring all others of the same store."""

    def __init__(self, path: Path) -> None:
        self._folder = _folder(path)
        self._name = secrets.token_hex(_NAME_BYTES)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(str(self._folder / self._name))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """What to wait on for rings."""
        return self._socket.fileno()

    def hush(self) -> None:
        """Take note of every ring that has come so far."""
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(1)

    def ring(self) -> None:
        """Ring all other bells, without waiting for anybody, in any thread. Who does not hear it has a poll."""
        with suppress(OSError):
            for bell in self._folder.iterdir():
                if bell.name != self._name:
                    self._ring(bell)

    def _ring(self, bell: Path) -> None:
        try:
            self._socket.sendto(b"", str(bell))
        except OSError as error:
            # A full bell has rung already, one that went is gone; what else keeps this one silent (rights, say) is
            # made up for by the poll of its owner.
            if error.errno in _DEAD:
                with suppress(OSError):
                    bell.unlink()

    def close(self) -> None:
        """Take the bell away."""
        (self._folder / self._name).unlink(missing_ok=True)
        self._socket.close()


def _folder(path: Path) -> Path:
    """The folder of the store's bells: beside it, or where its path is too long for a socket's, under a hash of it."""
    beside = path.with_name(f"{path.name}-bells")
    if len(os.fsencode(beside)) + 1 + 2 * _NAME_BYTES <= _LONGEST_ADDRESS:
        beside.mkdir(exist_ok=True)
        return beside
    name = blake2b(os.fsencode(path), digest_size=8).hexdigest()
    private = Path(tempfile.gettempdir()) / f"milepost-{os.geteuid()}-{name}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "this folder belongs to somebody else", str(private))
    return private
