"""How does a result get an address that needs no credentials, for a while?

A link says which result of which task it leads to, and until when, under a signature that only this store can make.
"""

import hmac
from hashlib import sha256
from typing import Final, NamedTuple

from itsdangerous import BadData, URLSafeSerializer

LIFETIME: Final = 3600
"""Seconds that a link holds, where the result does, and up to `STEP` more."""
STEP: Final = 60
"""Within so many seconds all links to a result are the same one, so that a record reads the same."""

_PURPOSE: Final = b"links to results"


class Linked(NamedTuple):
    """What a link leads to: the result of this run of a task."""

    task_id: str
    run: int


class Links:
    """Makes links and reads them; `secret` is the store's own."""

    def __init__(self, secret: bytes) -> None:
        key = hmac.digest(secret, _PURPOSE, "sha256")
        self._serializer = URLSafeSerializer(key, salt=_PURPOSE, signer_kwargs={"digest_method": sha256})

    def make(self, linked: Linked, *, now: int) -> str:
        """A link that holds for an hour; `now` in seconds since the epoch."""
        until = (now // STEP + 1) * STEP + LIFETIME
        return str(self._serializer.dumps([linked.task_id, linked.run, until]))

    def read(self, link: str, *, now: int) -> Linked | None:
        """What it leads to; None for what was never a link of this store, or is none any more."""
        try:
            task_id, run, until = self._serializer.loads(link)
        except BadData:
            return None
        return Linked(task_id, run) if now < until else None
