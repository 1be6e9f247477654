"""Runs a pipeline of components over files: size, characters, SHA-256, lines and words of each.

    milepost serve examples/pipeline.py --files-root examples/data
    milepost start pipeline --input @examples/data/pipeline.json --watch

One component says where the files come from: with the provider `file` from a folder beneath the files root, which its
`config.path` names (all of it, if it names none), links not followed; with `webhook` from whoever delivers
some to a standing pipeline. Of several such components `source` says which it is. The others are steps, and each sees
every byte of every file; a pipeline that names no step takes them all. Of delivered files the text itself is told too,
to answer with. A file that can't be read is counted as failed and named in the log, and the others go on.
"""

import codecs
import hashlib
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import IO, Any, Literal, NamedTuple, Protocol

import msgspec

from milepost import BlockingContext, Folder, Milepost, TaskError
from milepost.task import DeliveredFile

app = Milepost()

PIECE = 1 << 20  # bytes read at a time, so that a file of any size takes little memory
CHECKPOINT_EVERY = 1.0  # seconds; a checkpoint costs two syncs of the disk, which is more than most files take
TEXT = 1 << 16  # characters of a delivered file that are told

Provider = Literal["file", "webhook", "text", "hash", "count"]


class Component(msgspec.Struct, kw_only=True):
    """One box of a pipeline. Fields that are not named here, such as its place in an editor, are passed over."""

    provider: Provider
    id: str | None = None
    name: str | None = None
    config: dict[str, Any] = {}
    input: list[dict[str, Any]] = []


@dataclass
class Position:
    """How far it has come: the key of the last file, the bytes of the report, how many files are done and failed."""

    after: str = ""
    bytes: int = 0
    done: int = 0
    failed: int = 0


@app.task(retries=3, timeout="6h")
def pipeline(ctx: BlockingContext, *, components: list[Component], source: str | None = None) -> dict[str, Any]:
    """Run a pipeline over the files of a folder, or those delivered; tells what it found of each, and the totals."""
    origin, providers = plan(components, source)
    with ExitStack() as opened, (ctx.folder / "report.jsonl").open("ab+") as report:
        files = (
            delivered(ctx) if origin.provider == "webhook" else listed(ctx, opened.enter_context(named(ctx, origin)))
        )
        # Shorter than what was saved: it was left on another machine, and all begins again.
        at = Position(**ctx.saved) if ctx.saved and report.tell() >= ctx.saved["bytes"] else Position()
        report.truncate(at.bytes)
        saved_at = time.monotonic()

        def rest() -> None:
            """Save how far it is, now and then, and when the task is to stop: in the middle of a large file too."""
            nonlocal saved_at
            if ctx.stopping or time.monotonic() - saved_at >= CHECKPOINT_EVERY:
                report.flush()
                os.fsync(report.fileno())
                ctx.checkpoint(asdict(at))
                saved_at = time.monotonic()

        left = sorted(key for key in files if key > at.after)
        total = at.done + len(left)
        for key in left:
            name, open_file = files[key]
            ctx.progress(at.done, total, failed=at.failed, message=name)
            try:
                facts = examine(open_file(), [STEPS[provider]() for provider in providers], rest)
            except (OSError, TaskError) as error:
                at.failed += 1
                facts = {"error": str(error)}
                ctx.log(f"{name} can't be read: {error}", "warning", file=name)
            at.bytes += report.write(json.dumps({"name": name, **facts}).encode() + b"\n")
            at.done += 1
            at.after = key
            rest()
        ctx.progress(at.done, total, failed=at.failed, message="Done")
        report.seek(0)
        return summary([json.loads(line) for line in report])


def plan(components: Sequence[Component], source: str | None) -> tuple[Component, list[str]]:
    """The origin of the files and the steps to run. Raises TaskError, which names the component that is wrong."""
    named = {c.id or c.name or f"number {number}": c for number, c in enumerate(components, 1)}
    if len(named) < len(components):
        raise TaskError("Two components have the same id.", code="invalid_pipeline", retry=False)
    for name, component in named.items():
        for edge in component.input:
            if edge.get("from") not in named:
                raise wrong(name, f"takes its input from {edge.get('from')!r}, which is no component.")
    origins = {name: named.pop(name) for name in list(named) if named[name].provider in ("file", "webhook")}
    if source not in origins and (source or len(origins) != 1):
        raise wrong(source or "source", "has to be the one component with the provider 'file' or 'webhook'.")
    name = source or next(iter(origins))
    origin = origins[name]
    if not isinstance(origin.config.get("path", "."), str):
        raise wrong(name, "has a config.path that is no text.")
    all_steps = ("text", "hash", "count")
    steps = dict.fromkeys(component.provider for component in named.values()) or all_steps
    shows_text = origin.provider == "webhook"
    return origin, ["size", *("shown_text" if step == "text" and shows_text else step for step in steps)]


def wrong(name: str, why: str) -> TaskError:
    return TaskError(f"The component {name} {why}", code="invalid_pipeline", retry=False)


class Found(NamedTuple):
    """A file to examine: its name, and what opens it. That raises OSError or TaskError."""

    name: str
    open: Callable[[], IO[bytes]]


def named(ctx: BlockingContext, origin: Component) -> Folder:
    """The folder that the files come from. Raises TaskError."""
    path: str = origin.config.get("path", ".")
    try:
        return ctx.open_folder(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TaskError(f"There is no folder {path!r}.", code="no_folder", retry=False) from error


def listed(ctx: BlockingContext, folder: Folder) -> Mapping[str, Found]:
    """The files of a folder and its subfolders, by their names relative to it."""
    found = folder.walk(on_error=lambda error: ctx.log(str(error), "warning"))
    names = {shown(path): path for path, status in found if not stat.S_ISDIR(status.st_mode)}
    return {key: Found(key, partial(folder.open, path, "rb")) for key, path in names.items()}


def delivered(ctx: BlockingContext) -> Mapping[str, Found]:
    """The files that were delivered, by their numbers, as two may have one name."""

    def opened(file: DeliveredFile) -> IO[bytes]:
        return ctx.fetch(file).open("rb")

    return {f"{number:04}": Found(file.name, partial(opened, file)) for number, file in enumerate(ctx.files)}


def shown(name: str) -> str:
    """A file's name as text that can be stored and sent; on disk it may be any bytes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def examine(file: IO[bytes], steps: Sequence["Step"], rest: Callable[[], None]) -> dict[str, Any]:
    """What the steps find in a file, which is closed then. Raises OSError."""
    with file:
        while piece := file.read(PIECE):
            for step in steps:
                step.take(piece)
            rest()
    return {fact: value for step in steps for fact, value in step.facts().items()}


def summary(files: list[dict[str, Any]]) -> dict[str, Any]:
    """The result: each file, and their totals."""
    totals: Counter[str] = Counter(files=len(files), failed=sum("error" in file for file in files))
    for file in files:
        totals.update({fact: value for fact, value in file.items() if isinstance(value, int)})
    return {"files": files, "totals": dict(totals)}


class Step(Protocol):
    """What is done with one file: it takes it piece by piece, then says what it found."""

    def take(self, piece: bytes) -> None: ...
    def facts(self) -> dict[str, Any]: ...


class Size:
    size = 0

    def take(self, piece: bytes) -> None:
        self.size += len(piece)

    def facts(self) -> dict[str, Any]:
        return {"size": self.size}


class Text:
    """Its characters, read as UTF-8."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.characters = 0

    def take(self, piece: bytes, final: bool = False) -> None:
        self.keep(self.decoder.decode(piece, final))

    def keep(self, text: str) -> None:
        self.characters += len(text)

    def facts(self) -> dict[str, Any]:
        self.take(b"", final=True)
        return {"characters": self.characters}


class ShownText(Text):
    """Also the text itself, from its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def keep(self, text: str) -> None:
        super().keep(text)
        self.text += text[: TEXT - len(self.text)]

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "text": self.text}


class Hash:
    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def take(self, piece: bytes) -> None:
        self.sha256.update(piece)

    def facts(self) -> dict[str, Any]:
        return {"sha256": self.sha256.hexdigest()}


class Count:
    """Its lines and words, as `wc` counts them."""

    lines = words = 0
    inside = False  # a word that goes on in the next piece is one word

    def take(self, piece: bytes) -> None:
        self.lines += piece.count(b"\n")
        self.words += len(piece.split()) - (self.inside and not piece[:1].isspace())
        self.inside = not piece[-1:].isspace()

    def facts(self) -> dict[str, Any]:
        return {"lines": self.lines, "words": self.words}


STEPS: dict[str, type[Step]] = {"size": Size, "text": Text, "shown_text": ShownText, "hash": Hash, "count": Count}
