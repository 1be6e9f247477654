"""How do clients show a key?"""

from starlette.requests import Request

from milepost.http.headers import header


def bearer(request: Request) -> str | None:
    """The key in `Authorization: Bearer KEY` (RFC 6750); None where there is none."""
    said = header(request, b"authorization")
    if said is None:
        return None
    scheme, _, key = said.partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None
