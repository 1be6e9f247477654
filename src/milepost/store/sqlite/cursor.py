"""How does a list tell where its next page begins, and nothing else?

The place is a row number, which counts the tasks of all tenants. So it is sealed with a key of the store's own.
"""

import base64
import binascii
import hmac
import secrets
from hashlib import blake2b
from typing import Final

from milepost.store.refusals import BadCursor

_NONCE: Final = 8
_PLACE: Final = 8
_MARK: Final = 8


class Cursors:
    """Seals places and opens them again; `key` is the same for all processes that share a store."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, place: int) -> str:
        """The place as text that means nothing to others."""
        nonce = secrets.token_bytes(_NONCE)
        hidden = _xor(place.to_bytes(_PLACE), self._hash(b"pad", nonce))
        return base64.urlsafe_b64encode(nonce + hidden + self._hash(b"mark", nonce + hidden)).decode().rstrip("=")

    def open(self, text: str) -> int:
        """The place. Raises BadCursor for a text that `seal` did not give."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadCursor("not a cursor") from error
        nonce, hidden, mark = sealed[:_NONCE], sealed[_NONCE : _NONCE + _PLACE], sealed[_NONCE + _PLACE :]
        if not hmac.compare_digest(mark, self._hash(b"mark", nonce + hidden)):
            raise BadCursor("not a cursor of this store")
        return int.from_bytes(_xor(hidden, self._hash(b"pad", nonce)))

    def _hash(self, purpose: bytes, data: bytes) -> bytes:
        return blake2b(data, digest_size=_MARK, key=self._key, person=purpose).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
