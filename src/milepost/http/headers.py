"""What does one request header say?

Asked of what the server gave, as every request is: Starlette's mapping of all headers tells of one that is not there by
an exception, and half of them are not.
"""

from typing import Final

from starlette.requests import Request

from milepost.errors import Fault, Malformed

SINGLE: Final = (b"host", b"content-type", b"content-length", b"content-disposition", b"authorization")
"""What may be said but once: of two, another program on the way may heed the other one (RFC 9112, section 3.2)."""


def check_single(request: Request) -> None:
    """Raises Malformed where a header that stands for one value is given more than once."""
    names = [name for name, _ in request.scope["headers"]]
    if len(set(names)) == len(names):
        return
    for name in SINGLE:
        if names.count(name) > 1:
            fault = Fault("This is given more than once.", parameter=name.decode().title())
            raise Malformed(f"{fault.parameter}: {fault.detail}", errors=[fault])


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
