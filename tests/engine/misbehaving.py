"""Task types that do what a function should not, in each runner."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from milepost import BlockingContext, Context, File, Milepost, Parked, TaskError
from milepost.engine.outcome import StopReason

app = Milepost()
log = logging.getLogger("tests.misbehaving")

Act = Callable[[Any], Any]


class Unspeakable(Exception):
    """Can't be put into words, and takes whoever tries down with it."""

    def __str__(self) -> str:
        raise SystemExit("never")


class Untraceable(Exception):
    """Keeps its traceback from being written, and takes whoever tries down with it."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise SystemExit("never")


class NamelessType(type):
    """Of classes that won't say what they are called."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit("never")


class Nameless(Exception, metaclass=NamelessType):
    """Can't even be named."""


class Unmade(TaskError):
    """Lacks all that the one who catches it would ask for."""

    def __init__(self) -> None:
        """Not what it inherits."""


class Leaving(Parked):
    """Lacks all that the one who catches it would ask for."""

    def __init__(self) -> None:
        """Not what it inherits."""


class Half(float):
    """A number as libraries have them."""


def recursive() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def fail(error: BaseException) -> Any:
    raise error


def chain(_: Any) -> Any:
    error: Exception = ValueError("first")
    for number in range(2_000):
        try:
            raise RuntimeError(f"number {number}") from error
        except RuntimeError as latest:
            error = latest
    raise error


def fifo(ctx: Any) -> File:
    os.mkfifo(ctx.folder / "pipe")
    return File(ctx.folder / "pipe")


def vanished(ctx: Any) -> File:
    path: Path = ctx.folder / "report"
    path.write_text("x")
    path.unlink()
    return File(path)


def linked(ctx: Any) -> File:
    path: Path = ctx.folder / "report"
    path.symlink_to(path.name)
    return File(path)


def named(ctx: Any, name: Any, media_type: Any = None) -> File:
    path: Path = ctx.folder / "report"
    path.write_text("content")
    return File(path, name=name, media_type=media_type)


def in_bytes(ctx: Any) -> File:
    path = Path(os.fsdecode(os.fsencode(ctx.folder) + b"/caf\xe9\n.csv"))
    path.write_text("content")
    return File(path)


def flood(ctx: Any, lines: int) -> int:
    for number in range(lines):
        ctx.log(f"line {number}")
    return lines


ended, said = threading.Event(), threading.Event()


def late(ctx: Any) -> None:
    """Talk on from a thread once the task is over."""

    def talk() -> None:
        ended.wait()
        for _ in range(3):
            ctx.log("late")
            ctx.progress(0.1, message="late")
            log.info("late")
        said.set()

    threading.Thread(target=talk, daemon=True).start()


ACTS: dict[str, Act] = {
    # Results that JSON can't say, or says in its own way.
    "object": lambda _: object(),
    "recursive": lambda _: recursive(),
    "surrogate": lambda _: "a\ud800",
    "odd keys": lambda _: {(1, 2): 3},
    "digits": lambda _: 10**5_000,
    "function": lambda _: fail,
    "numbers": lambda _: [float("nan"), float("inf"), 2**64, {1: {2}}, b"\x00"],
    # Errors that can't be told.
    "unspeakable": lambda _: fail(Unspeakable()),
    "untraceable": lambda _: fail(Untraceable("x")),
    "nameless": lambda _: fail(Nameless("x")),
    "unmade": lambda _: fail(Unmade()),
    "odd error": lambda _: fail(TaskError(b"\xff", code=object(), retry="no")),  # type: ignore[arg-type]
    "long error": lambda _: fail(ValueError("x" * 10_000_000)),
    "NUL": lambda _: fail(ValueError("a\0b")),
    "surrogate error": lambda _: fail(ValueError("\ud800")),
    "recursion": lambda ctx: ACTS["recursion"](ctx),
    "chain": chain,
    "exit": lambda _: fail(SystemExit(3)),
    "memory": lambda _: fail(MemoryError()),
    "stop iteration": lambda _: fail(StopIteration()),
    "generator exit": lambda _: fail(GeneratorExit()),
    "cancelled": lambda _: fail(asyncio.CancelledError()),
    "parked": lambda _: fail(Parked(StopReason.PAUSE)),
    "parked for good": lambda _: fail(Parked(StopReason.CHILDREN, ("nobody",))),
    "parked in its own way": lambda _: fail(Leaving()),
    # Files that are none.
    "folder": lambda ctx: File(ctx.folder),
    "fifo": fifo,
    "device": lambda _: File("/dev/zero"),
    "vanished": vanished,
    "linked to itself": linked,
    "NUL in the path": lambda _: File("a\0b"),
    "long path": lambda ctx: File(ctx.folder / ("x" * 5_000)),
    "empty path": lambda _: File(""),
    # Files with odd names.
    "newline": lambda ctx: named(ctx, "a\r\nb: c.txt"),
    "slash": lambda ctx: named(ctx, "../../etc/passwd"),
    "NUL in the name": lambda ctx: named(ctx, "a\0b.txt"),
    "long name": lambda ctx: named(ctx, "x" * 300 + ".txt"),
    "bytes": in_bytes,
    "surrogate name": lambda ctx: named(ctx, "\ud800"),
    "no name": lambda ctx: named(ctx, 5),
    "odd type": lambda ctx: named(ctx, "a", media_type=b"\xff"),
    "surrogate type": lambda ctx: named(ctx, "a", media_type="\ud800"),
    # Too much of everything.
    "long line": lambda ctx: ctx.log("x" * 10_000_000),
    "long message": lambda ctx: ctx.progress(message="x" * 10_000_000),
    "long field": lambda ctx: [ctx.log("long", text="x" * 10_000_000, list=[1] * 1_000_000, n=1), ctx.log("after")],
    "many fields": lambda ctx: [ctx.log("many", **{f"f{n}": n for n in range(100_000)}), ctx.log("after")],
    "long exception": lambda _: log.error("long", exc_info=ValueError("x" * 10_000_000)),
    "flood": lambda ctx: flood(ctx, 100_000),
    # Things that are not what they should be.
    "odd progress": lambda ctx: [ctx.progress(value) for value in (Half(0.5), float("nan"), -1.0, 1e300)],
    "odd message": lambda ctx: ctx.progress(0.5, message=object()),
    "odd line": lambda ctx: ctx.log(b"\xff", x=Unspeakable()),
    "no number": lambda ctx: ctx.progress("5"),
    "no level": lambda ctx: ctx.log("x", "loud"),
    "odd arguments": lambda _: log.info("%d", "x"),
    "late": late,
}


@app.task(retries=1, backoff=0)
async def on_the_loop(ctx: Context, *, how: str) -> Any:
    """On the worker's own loop."""
    return ACTS[how](ctx)


@app.task(retries=1, backoff=0)
def in_a_thread(ctx: BlockingContext, *, how: str) -> Any:
    """Beside the loop."""
    return ACTS[how](ctx)


@app.task(retries=1, backoff=0, runner="process")
def in_a_process(ctx: BlockingContext, *, how: str) -> Any:
    """Elsewhere."""
    return ACTS[how](ctx)


@app.task(retries=1, backoff=0)
async def checkpoint_on_the_loop(ctx: Context, *, size: int) -> None:
    """Save much."""
    await ctx.checkpoint("x" * size)


@app.task(retries=1, backoff=0)
def checkpoint_in_a_thread(ctx: BlockingContext, *, size: int) -> None:
    """Save much."""
    ctx.checkpoint("x" * size)


@app.task(retries=1, backoff=0, runner="process")
def checkpoint_in_a_process(ctx: BlockingContext, *, size: int) -> None:
    """Save much."""
    ctx.checkpoint("x" * size)
