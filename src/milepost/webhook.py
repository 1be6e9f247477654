"""How is a callback signed, and which URLs can be called? (Standard Webhooks 1.0; everything here is pure.)

A call carries an id, the same at each try, the time of the try, and a signature of both with the body: the HMAC-SHA256
under a secret of the tenant. Who receives it checks that with the secret, and refuses what is too old.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins
SECRET_BYTES: Final = 32
MAX_URL: Final = 2000
"""Longest URL of a callback, in characters."""

URL: Final = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[!-~]+")
"""What a URL consists of, as far as a pattern can say that others read too; see `is_url`."""
NO_URL: Final = (
    f"An http or https URL of up to {MAX_URL} characters of ASCII, with a host, and without name, password or fragment."
)


def new_secret() -> bytes:
    """A secret that nobody can guess."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """A secret as its receiver is given it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def headers(id: str, time: int, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """What a call carries to be verified: `time` of the try in seconds since the epoch, a signature for each secret."""
    said = f"{id}.{time}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, said, "sha256")).decode() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(time),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def is_url(text: str) -> bool:
    """Whether this can be called. Names and passwords in it would be sent to whoever may read the record."""
    if len(text) > MAX_URL or not URL.fullmatch(text) or set(text) & _NEVER:
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc and _can_be_named(parts.hostname)
    except ValueError:  # a port that is none, a bracket that has no other
        return False


_NEVER: Final = frozenset('#\\"<>^`{|}')
"""What no URL has (RFC 3986), and the beginning of a fragment, which no server would see."""


def _can_be_named(host: str | None) -> bool:
    """Whether a host has no part that no name can have, which would be told by an odd error only when it is called."""
    return host is not None and all(0 < len(part) <= 63 for part in host.removesuffix(".").split("."))
