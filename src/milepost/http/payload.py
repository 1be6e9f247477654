"""How do the files of one delivery come in, however a client sends them: as the body itself, or several as a form?

As the body: any bytes, of whatever media type, under the name that a Content-Disposition gives. As a form: every file
of `multipart/form-data` (RFC 7578), whatever its field is called. A form is read to its end before anything is done, as
there is no other way to know that it is whole; what is large of it waits in temporary files.

The operation that reads one names these media types and no `body`. A page of somebody else's can't send it: forms can
be sent unasked by POST only, so that such an operation has to have another method.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.errors import Fault, Invalid, Malformed, Unavailable
from milepost.http.body import check_coding, check_length, is_without_body, media_type, too_large
from milepost.http.headers import header
from milepost.http.patience import pieces
from milepost.http.upload import OCTET_STREAM, disposed_name
from milepost.intake import Upload

FORM: Final = "multipart/form-data"
TEXT: Final = "text/plain"
MEDIA_TYPES: Final = (OCTET_STREAM, TEXT, FORM, "application/x-www-form-urlencoded")
"""For an operation's `media_types`; all others are read as a file too. The last is what curl says where nothing is."""

BETWEEN: Final = 1 << 20
"""Bytes that a form may have between its files."""
MAX_FIELDS: Final = 20
"""Fields of a form that are no files; they are passed over."""
MAX_FIELD: Final = 64 << 10
"""Bytes of such a field, and of the head of a file."""
PIECE: Final = 256 << 10
"""Bytes that are read at once of a file that has come in."""

_NAMES: Final = {TEXT: "text.txt", "application/json": "data.json", "text/csv": "data.csv", "text/html": "page.html"}
"""What a file is called that comes without a name."""


@asynccontextmanager
async def payload(request: Request, limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[Sequence[Upload]]:
    """The files that a request brings, inside only. The body itself is still to come; a form has come in whole.

    Raises Invalid (there is nothing), Malformed, TooLarge, UnsupportedMediaType, Unavailable (no room for it).
    """
    if is_without_body(request):
        raise Invalid(Fault("There is nothing in it to deliver: send a file, several as a form, or text.", pointer=""))
    kind = media_type(request)
    check_coding(request, "body")
    if kind != FORM:
        check_length(request, "body", limits.delivery)
        name = disposed_name(header(request, b"content-disposition")) or _NAMES.get(kind)
        yield (Upload(pieces(request, limits.patience), name, header(request, b"content-type")),)
        return
    most = limits.delivery + BETWEEN
    check_length(request, "form", most)
    async with aclosing(_bounded(pieces(request, limits.patience), most)) as coming:
        bounds = {"max_files": limits.delivery_files, "max_fields": MAX_FIELDS, "max_part_size": MAX_FIELD}
        form = _Form(request.headers, coming, **bounds)
        try:
            yield [Upload(_pieces(file), file.filename, file.content_type) for file in await form.files()]
        finally:
            form.close()


class _Form(MultiPartParser):
    """Starlette's parser, but what ends before its end is no form, and nothing of it is left open."""

    ended = False

    def on_end(self) -> None:
        self.ended = True

    async def files(self) -> Sequence[UploadFile]:
        """All files in it, in their order. Raises Malformed, Invalid, Unavailable."""
        try:
            form = await self.parse()
        except MultiPartException as error:
            raise Malformed(f"The form can't be read. {error.message}") from error
        except OSError as error:
            raise Unavailable(f"The form could not be stored ({error.strerror}); nothing was changed.") from error
        if not self.ended:
            raise Malformed("The form can't be read. It ends before its last boundary.")
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        if not files:
            raise Invalid(Fault("There is no file in the form.", pointer="/files"))
        return files

    def close(self) -> None:
        """Let go of the temporary files."""
        for file in self._files_to_close_on_error:
            file.close()


async def _bounded(pieces: AsyncGenerator[bytes, None], most: int) -> AsyncGenerator[bytes, None]:
    room = most
    async with aclosing(pieces):
        async for piece in pieces:
            room -= len(piece)
            if room < 0:
                raise too_large("form", most)
            yield piece


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(PIECE):
        yield piece
