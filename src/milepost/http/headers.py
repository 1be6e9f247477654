"""What does one request header say?"""

from starlette.requests import Request


def joined(request: Request, name: bytes) -> str | None:
    """All headers of a name, which is in lower case, as the one list that they stand for (RFC 9110, section 5.3)."""
    said = [value.decode("latin-1") for key, value in request.scope["headers"] if key == name]
    return ", ".join(said) if said else None


def header(request: Request, name: bytes) -> str | None:
    """The first header of a name, which is in lower case; None where there is none.

    For what every request is asked: half of them lack it, and Starlette's mapping tells that by an exception.
    """
    for key, value in request.scope["headers"]:
        if key == name:
            said: str = value.decode("latin-1")
            return said
    return None
