"""Task types for the tests of the command line."""

import asyncio
import contextlib
import os
import random
import signal
import time
from typing import Annotated, Any, Literal

import msgspec

from milepost import BlockingContext, Context, File, Milepost, TaskError

app = Milepost()


def content(size: int) -> bytes:
    """What `blob` writes."""
    return random.Random(size).randbytes(size)


@app.task
async def count(ctx: Context, *, to: int, by: int = 10) -> dict[str, int]:
    """Counts, and logs every so manieth number."""
    first = ctx.saved["n"] if ctx.saved else 0
    for n in range(first, to):
        ctx.progress(n + 1, to, message=f"at {n + 1}", skipped=0)
        if (n + 1) % by == 0:
            ctx.log("counted", n=n + 1)
        await ctx.checkpoint({"n": n + 1})
    return {"counted": to, "from": first}


@app.task
async def spin(ctx: Context) -> None:
    """Goes on until it is stopped."""
    n = ctx.saved or 0
    while True:
        n += 1
        ctx.progress(n, message="spinning")
        await ctx.checkpoint(n)
        await asyncio.sleep(0.005)


@app.task
async def meet(ctx: Context, *, gate: str) -> str:
    """Waits until somebody opens the other end of a named pipe, and says so; its name is returned."""
    await ctx.checkpoint({"waiting": True})
    ctx.log("waiting", "warning")
    ctx.progress(0.5, message="waiting")
    with await asyncio.to_thread((ctx.resolve(".") / gate).open) as pipe:
        return await asyncio.to_thread(pipe.read)


@app.task
async def fail(ctx: Context, *, why: str = "no such thing") -> None:
    """Fails for good."""
    raise TaskError(why, code="nothing_there", retry=False)


@app.task(runner="thread")
def blob(ctx: BlockingContext, *, size: int, name: str = "blob.bin", media_type: str | None = None) -> File:
    """Writes a file of random bytes, the same ones for the same size."""
    path = ctx.folder / "blob"
    path.write_bytes(content(size))
    return File(path, name=name, media_type=media_type)


@app.task(runner="thread")
def note(ctx: BlockingContext, *, text: str) -> File:
    """Writes a text file."""
    path = ctx.folder / "note.txt"
    path.write_bytes(text.encode())
    return File(path, media_type="text/plain; charset=utf-8")


@app.task
async def echo(
    ctx: Context,
    *,
    text: str | None = None,
    number: int | None = None,
    items: list[int] = [],  # noqa: B006 - as its users write it
    mode: Literal["fast", "safe"] = "fast",
    size: Annotated[float, msgspec.Meta(gt=0)] = 1,
    anything: Any = None,
) -> Any:
    """Gives back what it was given."""
    return {"text": text, "number": number, "items": items, "mode": mode, "size": size, "anything": anything}


@app.task
async def crash(ctx: Context) -> str:
    """Takes its first worker down."""
    if ctx.task.losses == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"survived {ctx.task.losses}"


@app.task(runner="thread")
def leave(ctx: BlockingContext) -> str:
    """Tries to end the worker."""
    raise SystemExit(3)


@app.task(runner="thread", timeout=0.1)
def stick(ctx: BlockingContext, *, gate: str) -> None:
    """Waits for somebody who never comes, and hears nothing."""
    (ctx.resolve(".") / gate).read_text()


@app.task(timeout=0.1)
async def cling(ctx: Context) -> None:
    """Is not impressed by its end."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


@app.task
async def nothing(ctx: Context) -> None:
    """Does nothing."""


@app.task
async def hog(ctx: Context) -> str:
    """Holds its first worker's event loop for good."""
    if ctx.task.losses == 0:
        time.sleep(3600)
    return "freed"


@app.task
async def intake(ctx: Context, *, label: str, number: int = 0) -> list[Any]:
    """Says what was delivered."""
    return [label, number] + [[file.name, (await ctx.fetch(file)).read_text()] for file in ctx.files]
