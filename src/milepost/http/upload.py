"""How does a request bring a file?

Its body is the file. A Content-Disposition names it (RFC 6266, and RFC 8187 for names beyond ASCII), whatever its media
type; without one the body has to be sent as `application/octet-stream`. No web page can send either elsewhere without
asking first, as a form or as plain text could be.
"""

from collections.abc import Sequence
from email.message import Message
from typing import Any, Final

from starlette.requests import Request

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.errors import Fault, Invalid
from milepost.http.body import BodyReader, check_coding, check_length, media_type
from milepost.http.errors import UnsupportedMediaType
from milepost.http.headers import header
from milepost.http.patience import pieces
from milepost.intake import Upload

OCTET_STREAM: Final = "application/octet-stream"
LONGEST_DISPOSITION: Final = 2048
"""Characters of a Content-Disposition: for two names of the longest kind, percent-encoded. To read it takes time that
grows with the square of its length."""


class UploadReader:
    """Reads what is delivered: a file, as an `Upload`, or a JSON body of one type."""

    def __init__(self, shape: Any, media_types: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> None:
        self._body = BodyReader(shape, media_types, limits)
        self._most = limits.delivery
        self._patience = limits.patience
        self._media_types = tuple(media_types)

    async def read(self, request: Request) -> Any:
        """The upload, its bytes still to come, or the body. Raises as BodyReader does."""
        kind, disposition = media_type(request), header(request, b"content-disposition")
        if kind.startswith("multipart/"):
            raise UnsupportedMediaType("Send each file in a request of its own, as its body.", self._media_types)
        if disposition is None and kind in self._media_types:
            return await self._body.read(request)
        if disposition is None and kind != OCTET_STREAM:
            wanted = f"{' or '.join(self._media_types)}, or with a Content-Disposition that names the file"
            raise UnsupportedMediaType(f"The body must be sent as {wanted}.", (*self._media_types, OCTET_STREAM))
        check_coding(request, "file")
        check_length(request, "file", self._most)
        return Upload(pieces(request, self._patience), disposed_name(disposition), header(request, b"content-type"))


def disposed_name(disposition: str | None) -> str | None:
    """The name that a Content-Disposition gives, the exact one where there are two. Raises Invalid."""
    if disposition is not None and len(disposition) > LONGEST_DISPOSITION:
        raise Invalid(Fault(f"This has more than {LONGEST_DISPOSITION} characters.", parameter="Content-Disposition"))
    message = Message()
    message["content-disposition"] = disposition or ""
    given: Sequence[tuple[str, Any]]
    try:
        given = message.get_params([], "content-disposition")
    except (LookupError, TypeError, ValueError) as error:  # what contradicts itself
        raise Invalid(Fault("This can't be read (RFC 6266).", parameter="Content-Disposition")) from error
    said = [value for name, value in given if name == "filename"]
    exact = [value[-1] for value in said if isinstance(value, tuple)]  # it comes with its charset and language
    name: str | None = next(iter((*exact, *said)), None)
    try:  # as UTF-8, which RFC 8187 asks for, and most programs send where it is not encoded at all
        return name and name.encode("latin-1").decode()
    except UnicodeError:
        return name
