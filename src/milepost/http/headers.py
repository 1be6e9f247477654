"""What does one request header say?

Asked of what the server gave, as every request is: Starlette's mapping of all headers tells of one that is not there by
an exception, and half of them are not.
"""

from typing import Final

from starlette.requests import Request

from milepost.errors import Fault, Malformed

SINGLE: Final = (
    b"host",
    b"content-type",
    b"content-length",
    b"content-disposition",
    b"transfer-encoding",
    b"authorization",
    b"origin",
    b"range",
    b"if-range",
    b"last-event-id",
)
"""What may be said but once: of two, another program on the way may heed the other one (RFC 9112, section 3.2)."""
_REPEATED: Final = "This is given more than once."


def check_single(request: Request) -> None:
    """Raises Malformed where a header that stands for one value is given more than once, or a length beside chunks."""
    names = [name for name, _ in request.scope["headers"]]
    if b"transfer-encoding" in names and b"content-length" in names:  # which some servers let pass
        raise _malformed(b"content-length", "This and Transfer-Encoding can't both be given.")
    if len(set(names)) == len(names):
        return
    for name in SINGLE:
        if names.count(name) > 1:
            raise _malformed(name, _REPEATED)


def single(request: Request, name: bytes) -> str | None:
    """The only header of a name, which is in lower case; None where there is none. Raises Malformed."""
    said = headers(request, name)
    if len(said) > 1:
        raise _malformed(name, _REPEATED)
    return said[0] if said else None


def headers(request: Request, name: bytes) -> list[str]:
    """All headers of a name, which is in lower case."""
    return [value.decode("latin-1") for key, value in request.scope["headers"] if key == name]


def joined(request: Request, name: bytes) -> str | None:
    """All headers of a name, which is in lower case, as the one list that they stand for (RFC 9110, section 5.3)."""
    said = headers(request, name)
    return ", ".join(said) if said else None


def header(request: Request, name: bytes) -> str | None:
    """The first header of a name, which is in lower case; None where there is none."""
    for key, value in request.scope["headers"]:
        if key == name:
            said: str = value.decode("latin-1")
            return said
    return None


def _malformed(name: bytes, why: str) -> Malformed:
    fault = Fault(why, parameter=name.decode().title())
    return Malformed(f"{fault.parameter}: {why}", errors=[fault])
