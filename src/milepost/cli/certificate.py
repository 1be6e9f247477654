"""With which certificate does `serve` speak TLS, also once it has been renewed?"""

import ssl
from pathlib import Path
from typing import Final

import structlog

from milepost.cli.exits import CommandError, Exit

_PROTOCOLS: Final = ["http/1.1"]
_Mark = tuple[tuple[int, int, int], ...]

_NO_PEM: Final = "they are no certificate and its key as PEM"
_WHY: Final = {"KEY_VALUES_MISMATCH": "they are not of each other"}

log = structlog.get_logger(__name__)


class Certificate:
    """A certificate chain and its private key, in PEM files; by default both in one.

    The files are looked at again with each connection: once they have changed, what is in them now is shown. Raises
    CommandError where they can't be used.
    """

    def __init__(self, chain: Path, key: Path | None = None) -> None:
        self._chain = chain
        self._key = key or chain
        self._mark = self._marked()
        self._current = self._loaded()
        self.context = self._loaded()
        """For a server: asks at each handshake what the present one is."""
        self.context.sni_callback = self._handed

    def _handed(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:  # noqa: ARG002
        """Called by OpenSSL in each handshake, whether a name is asked for or not."""
        connection.context = self._present()

    def _present(self) -> ssl.SSLContext:
        try:
            mark = self._marked()
            if mark != self._mark:
                # Whole, or not at all: the files are exchanged one after the other.
                self._current, self._mark = self._loaded(), mark
                log.info("The certificate was renewed")
        except CommandError as error:
            log.warning("The new certificate can't be used; the one before is kept", why=str(error))
        return self._current

    def _marked(self) -> _Mark:
        """What is another one once a file has been written or exchanged."""
        try:
            found = [path.stat() for path in (self._chain, self._key)]
        except OSError as error:
            raise self._unusable(error.strerror) from error
        return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(_PROTOCOLS)
        try:
            context.load_cert_chain(self._chain, self._key, password=self._nobody)
        except ssl.SSLError as error:
            raise self._unusable(_WHY.get(error.reason, _NO_PEM)) from error
        except OSError as error:
            raise self._unusable(error.strerror) from error
        return context

    def _nobody(self) -> str:
        """The password of the key. OpenSSL would ask for it on the terminal."""
        raise self._unusable("the key is under a password, which nobody is asked for")

    def _unusable(self, why: str | None) -> CommandError:
        return CommandError(f"--tls-cert, --tls-key: {self._chain} and {self._key} can't be used ({why}).", Exit.USAGE)
