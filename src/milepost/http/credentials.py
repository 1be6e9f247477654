"""How do clients show a key?

Every form leads to the same text, `mp_<id>_<secret>`, so that one key works in every dialect.
"""

from starlette.requests import Request

from milepost.http.headers import header

PREFIX = "mp_"


def bearer(request: Request) -> str | None:
    """The key in `Authorization: Bearer KEY` (RFC 6750); None where there is none."""
    said = header(request, b"authorization")
    if said is None:
        return None
    scheme, _, key = said.partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def raw_or_bearer(request: Request) -> str | None:
    """The key in `Authorization: KEY`, with or without `Bearer` before it; None where there is none."""
    return bearer(request) or (header(request, b"authorization") or "").strip() or None


def key_of(identity: str, secret: str) -> str:
    """The key whose id and secret a client shows apart; a secret that is a whole key stands for itself."""
    return secret if secret.startswith(PREFIX) else f"{PREFIX}{identity}_{secret}"
