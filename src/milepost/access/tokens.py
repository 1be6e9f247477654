"""How does a task get a second name that gives nothing away, and which nobody who knows its id can work out?

A token is the id under a permutation of all 128-bit numbers that only this store knows: both ways are a computation, so
that nothing is kept, and what was never a token leads to an id that is not there. The permutation is a Feistel network
of `ROUNDS` rounds whose functions are HMAC-SHA256; from four rounds on it can't be told from a random one, not even by
who may ask both ways (Luby and Rackoff, 1988).
"""

import hmac
from typing import Final
from uuid import UUID

from milepost.task import parse_id

ROUNDS: Final = 6
"""Two more than the proof asks for."""

_PURPOSE: Final = b"task tokens"
_HALF: Final = 8
"""Bytes."""


class Tokens:
    """Makes tokens and reads them; `secret` is the store's own."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _PURPOSE, "sha256")

    def make(self, task_id: str) -> str:
        """The token of a task, a dashed UUID; the same one every time."""
        left, right = _halves(task_id)
        for number in range(ROUNDS):
            left, right = right, _xor(left, self._scrambled(number, right))
        return str(UUID(bytes=left + right))

    def read(self, token: str) -> str | None:
        """The id that it stands for, whether there is such a task or not; None for what has not the form of a UUID."""
        parsed = parse_id(token)
        if parsed is None:
            return None
        left, right = _halves(parsed)
        for number in reversed(range(ROUNDS)):
            left, right = _xor(right, self._scrambled(number, left)), left
        return str(UUID(bytes=left + right))

    def _scrambled(self, number: int, half: bytes) -> bytes:
        return hmac.digest(self._key, bytes([number]) + half, "sha256")[:_HALF]


def _halves(identity: str) -> tuple[bytes, bytes]:
    whole = UUID(identity).bytes
    return whole[:_HALF], whole[_HALF:]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
