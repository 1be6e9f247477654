"""What does a request carry, and how do files get there without being held in memory?"""

import asyncio
import mimetypes
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx2
import msgspec

PIECE: Final = 1 << 16
"""Bytes read from a file at a time."""

OCTET_STREAM: Final = "application/octet-stream"

Sendable = str | os.PathLike[str] | tuple[str, bytes]
"""A file to send: its path, or a name and its bytes."""


class Stored(NamedTuple):
    """A file on disk, and how many bytes of it are sent."""

    path: Path
    size: int


class Body(NamedTuple):
    """Headers that say what it is, and its parts one after the other. It can be sent more than once."""

    headers: dict[str, str]
    parts: Sequence[bytes | Stored] = ()

    @property
    def size(self) -> int:
        """Bytes that it has."""
        return sum(part.size if isinstance(part, Stored) else len(part) for part in self.parts)


NOTHING: Final = Body({})


def json_body(value: Any) -> Body:
    """A value as JSON. Raises TypeError for what JSON has no form for."""
    return Body({"content-type": "application/json"}, [msgspec.json.encode(value)])


def text_body(text: str) -> Body:
    """Plain text."""
    return Body({"content-type": "text/plain; charset=utf-8"}, [text.encode()])


def file_body(file: Sendable) -> Body:
    """One file, as it is, with its name in a Content-Disposition (RFC 6266, RFC 8187).

    Raises OSError for what can't be read.
    """
    name, content = _opened(file)
    # Readers disagree on what a backslash means there, and a percent sign: who is given both names takes the exact one.
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    disposition = f'attachment; filename="{plain}"'
    if plain != name:
        disposition += f"; filename*=UTF-8''{quote(os.fsencode(name), safe='')}"
    return Body({"content-type": _media_type(name), "content-disposition": disposition}, [content])


def form_body(files: Sequence[Sendable], field: str) -> Body:
    """Several files as a form (RFC 7578), each in a field of this name. Raises OSError for what can't be read."""
    boundary = secrets.token_hex(16)
    parts: list[bytes | Stored] = []
    for file in files:
        name, content = _opened(file)
        # As browsers write it: what would end the name is percent-encoded (the HTML standard, section 4.10.22.8).
        shown = os.fsencode(name).replace(b"\r", b"%0D").replace(b"\n", b"%0A").replace(b'"', b"%22")
        said = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="'.encode()
        kind = f'"\r\nContent-Type: {_media_type(name)}\r\n\r\n'.encode()
        parts += [said + shown + kind, content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body({"content-type": f"multipart/form-data; boundary={boundary}"}, parts)


def _media_type(name: str) -> str:
    # Of the ending alone: a whole name is taken for a URL, and may say what it likes.
    return mimetypes.guess_type(f"file{Path(name).suffix}")[0] or OCTET_STREAM


def _opened(file: Sendable) -> tuple[str, bytes | Stored]:
    """A file's name and content. What can't be read is found before anything is sent."""
    if isinstance(file, tuple):
        name, content = file
        return name, bytes(content)
    path = Path(file)
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for who writes into it
        raise OSError(f"{path} is no regular file.")
    with path.open("rb") as opened:
        return path.name, Stored(path, os.fstat(opened.fileno()).st_size)


class Stream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The bytes of a body on their way, for either kind of transport. `check` is called between them, and may raise.

    Raises OSError when a file can't be read any more, or became shorter.
    """

    def __init__(self, body: Body, check: Callable[[], None]) -> None:
        self._parts = body.parts
        self._check = check

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, Stored):
                yield from self._pieces(part)
            else:
                self._check()
                yield part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, Stored):
                pieces = self._pieces(part)
                # In a thread: a disk may be slow, or a network behind it.
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    yield piece
            else:
                self._check()
                yield part

    def _pieces(self, stored: Stored) -> Iterator[bytes]:
        """What is in a file, as far as it went when the body was made: what was added since is not sent."""
        left = stored.size
        with stored.path.open("rb") as file:
            while left:
                self._check()
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise OSError(f"{stored.path} became shorter while it was sent.")
                left -= len(piece)
                yield piece
