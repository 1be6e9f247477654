"""How does a result get to a file, a pipe or a terminal, whole or not at all?"""

import codecs
import contextlib
import io
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from email.message import Message
from email.utils import collapse_rfc2231_value
from errno import EEXIST
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from typing import Annotated, BinaryIO, Final

import httpx2
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from milepost import file_name
from milepost.cli.events import FIRST_PAUSE, LONGEST_PAUSE, PATIENCE
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import DEFAULT_URL, Ca, Id, Key, Url, examples, target
from milepost.cli.remote import PAUSES, Remote, task_path
from milepost.cli.terminal import is_terminal, note, printable, say_broken, writing

FIRST_PATIENCE: Final = sum(PAUSES)
"""Seconds that the first answer is waited for where nobody answers: as long as any other command waits."""

BAR_FROM: Final = 8 << 20
"""Bytes from which on saving shows a bar, on a terminal."""

EXAMPLES = examples(
    "milepost result 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40",
    "milepost result 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 -o ledger.csv",
    "milepost result 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 -o downloads/    # under its own name",
    "milepost result 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 | jq .",
)

Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        parser=target,
        help="Save the result here; in a folder, under its own name if that is free.",
    ),
]


def result(task_id: Id, output: Output = None, url: Url = DEFAULT_URL, key: Key = None, ca: Ca = None) -> None:
    """Fetch the result of a task.

    A file appears under its name only when it is complete. A connection that breaks is taken up where it broke.
    """
    with Remote(url, key, ca) as remote:
        download = Download(remote, task_id)
        if output is not None and str(output) != "-":
            note(f"Saved {save(download, output)}")
        elif is_terminal() and output is None:
            _show(download)
        else:
            for piece in download.pieces():
                with writing():
                    sys.stdout.buffer.write(piece)
            with writing():
                sys.stdout.buffer.flush()


class Download:
    """A result's bytes, over as many connections as it takes.

    Gives up after `patience` seconds without any; before the first answer as soon as any other command would.
    `on_broken` is called once for each time that the connection broke.
    """

    def __init__(
        self,
        remote: Remote,
        task_id: str,
        *,
        patience: float = PATIENCE,
        on_broken: Callable[[], None] = say_broken,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remote = remote
        self._path = task_path(task_id, "result")
        self._patience = patience
        self._on_broken = on_broken
        self._sleep = sleep
        self._clock = clock
        self._position = 0
        self._tag: str | None = None
        self._has_begun = False
        self.headers = httpx2.Headers()
        """Those of the first answer; there with the first piece."""

    @property
    def size(self) -> int | None:
        """Bytes in all, where the server says so."""
        length = self.headers.get("content-length")
        return None if length is None else int(length)

    @property
    def name(self) -> str:
        """What the result calls itself: the name of a file, never a path."""
        try:
            said = _disposed(self.headers.get("content-disposition", ""))
        except (LookupError, TypeError, ValueError):  # it contradicts itself
            said = ""
        return file_name.cleaned(said, "result")

    @property
    def is_text(self) -> bool:
        """Whether its media type is one that a terminal can show."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind.startswith("text/") or kind.endswith(("/json", "+json", "/xml", "+xml", "/x-ndjson", "/yaml"))

    def pieces(self) -> Iterator[bytes]:
        """The bytes in order; first an empty piece, with which the headers are there. Raises CommandError."""
        pause, heard = FIRST_PAUSE, self._clock()
        while True:
            try:
                with self._remote.stream(self._path, self._condition()) as response:
                    self._begin(response)
                    yield b""
                    for piece in response.iter_raw():
                        pause, heard = FIRST_PAUSE, self._clock()
                        self._position += len(piece)
                        yield piece
                return
            except httpx2.TransportError as error:
                patience = self._patience if self._has_begun else FIRST_PATIENCE
                if self._clock() - heard > patience:
                    raise self._remote.unreachable(error) from error
                if self._has_begun and pause == FIRST_PAUSE:
                    self._on_broken()
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _condition(self) -> dict[str, str]:
        wanted = {"accept-encoding": "identity"}
        if self._position and self._tag is not None:
            wanted |= {"range": f"bytes={self._position}-", "if-range": self._tag}
        return wanted

    def _begin(self, response: httpx2.Response) -> None:
        if self._position == 0:
            self.headers, self._tag = response.headers, response.headers.get("etag")
        elif response.status_code != HTTPStatus.PARTIAL_CONTENT:
            raise CommandError("The result changed while it was fetched; fetch it again.", Exit.FAILED)
        self._has_begun = True


def _disposed(disposition: str) -> str:
    """The name that a Content-Disposition gives, or an empty one. Raises as the standard library does."""
    message = Message()
    message["content-disposition"] = disposition
    names = [value for key, value in message.get_params([], "content-disposition") if key == "filename"]
    # The exact name (RFC 6266's filename*, which comes as a tuple) goes before the one for old clients.
    names.sort(key=lambda value: isinstance(value, str))
    return collapse_rfc2231_value(names[0]) if names else ""


def save(download: Download, to: Path) -> Path:
    """Write a result to a file, or into a folder under its own name; returns where. Raises CommandError.

    A file that was named is replaced. One that only the server has named is not, whatever it is.
    """
    try:
        pieces = download.pieces()
        next(pieces)
        is_named = not to.is_dir()
        to = to.resolve() if is_named else to.resolve() / download.name
        if not is_named and os.path.lexists(to):
            raise FileExistsError(EEXIST, os.strerror(EEXIST))
        with _written(to, replace=is_named) as file:
            _copy(download, pieces, file)
    except FileExistsError as error:
        raise CommandError(
            f"{to} is there already; to replace it, name it: -o {shlex.quote(str(to))}", Exit.USAGE
        ) from error
    except OSError as error:
        raise CommandError(f"-o: {to} can't be written ({error.strerror}).", Exit.USAGE) from error
    return to


@contextlib.contextmanager
def _written(to: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file to write that becomes `to` at the end, if there is no error. Devices and pipes are written as they are.

    Raises FileExistsError where there is one by then that is not to be replaced.
    """
    if replace and to.exists() and not to.is_file():
        with to.open("wb") as file:
            yield file
        return
    # Nobody has put a link there before.
    aside = to.with_name(f".milepost-{token_hex(8)}.part")
    try:
        with aside.open("xb") as file:
            yield file
        if replace:
            aside.replace(to)
        else:
            _give_name(aside, to)
    finally:
        aside.unlink(missing_ok=True)


def _give_name(aside: Path, to: Path) -> None:
    """Let a file have a name that nothing has. Raises FileExistsError."""
    try:
        to.hardlink_to(aside)
    except FileExistsError:
        raise
    except OSError:  # not every filesystem knows a second name
        to.touch(exist_ok=False)
        aside.replace(to)


def _copy(download: Download, pieces: Iterator[bytes], file: BinaryIO) -> None:
    columns = (BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True))
    console = Console(stderr=True)
    is_long = (download.size or 0) >= BAR_FROM
    with Progress(*columns, console=console, transient=True, disable=not (console.is_terminal and is_long)) as progress:
        row = progress.add_task("", total=download.size)
        for piece in pieces:
            file.write(piece)
            progress.update(row, advance=len(piece))


def _show(download: Download) -> None:
    """Print a text on a terminal, where its control characters must do nothing."""
    pieces = download.pieces()
    next(pieces)
    if not download.is_text:
        kind = download.headers.get("content-type", "unknown")
        raise CommandError(
            f"The result is no text ({kind}); save it with `-o {download.name}`, or send it through a pipe.", Exit.USAGE
        )
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
    text = ""
    for piece in pieces:
        text = printable(decoder.decode(piece)) or text
        sys.stdout.write(text)
    if not text.endswith("\n"):
        sys.stdout.write("\n")
