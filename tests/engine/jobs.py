"""Task types that other processes load: for the process runner, and for workers in processes of their own."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import psutil

from milepost import BlockingContext, Context, File, Milepost, Parked, TaskError
from tests.engine.processes import hear, say

app = Milepost()
log = logging.getLogger("tests.jobs")


class Part(msgspec.Struct):
    start: int
    stop: int = 10


@app.task(runner="process")
def tell(ctx: BlockingContext, *, part: Part, lines: int = 3) -> dict[str, Any]:
    """Use everything that a context has."""
    for number in range(lines):
        ctx.progress(number + 1, lines, message="telling")
        ctx.log(f"line {number}", "warning", big=10**30)
    log.info("from logging")
    ctx.checkpoint({"row": part.start})
    ctx.flush()
    (ctx.folder / "mark").write_text("x")
    return {"saved": ctx.saved, "stop": part.stop, "pid": os.getpid(), "tried": ctx.task.attempt}


@app.task(runner="process")
async def tell_async(ctx: Context, *, lines: int = 3) -> int:
    """The same from an event loop."""
    for number in range(lines):
        ctx.log(f"line {number}")
    log.info("from logging")
    await ctx.checkpoint({"row": 1})
    return os.getpid()


@app.task(runner="process")
def add(ctx: BlockingContext, *, first: str, second: str) -> int:
    """Results of two other tasks, together."""
    return int(ctx.result_of(first) + ctx.result_of(second))


@app.task(runner="process")
async def ask_in_vain(ctx: Context, *, id: str) -> str:
    """Stop waiting for a result, and go on."""
    try:
        async with asyncio.timeout(0):
            await ctx.result_of(id)
    except TimeoutError:
        await ctx.checkpoint("on")
    return "gone on"


@app.task(runner="process")
def write(ctx: BlockingContext, *, size: int) -> File:
    """A file."""
    path = ctx.folder / "out.txt"
    path.write_bytes(b"x" * size)
    return File(path)


@app.task(runner="process")
def large(*, size: int) -> str:
    """A large value."""
    return "x" * size


@app.task(runner="process")
def unserialisable() -> object:
    """A value that is none."""
    return object()


@app.task(runner="process", retries=1, backoff="0s")
def fail(ctx: BlockingContext, *, how: str) -> None:
    """Fail in the way that is asked for."""
    log.warning("failing: %s", how)
    match how:
        case "error":
            raise TaskError("no such index", code="no_index", retry=False)
        case "exit":
            sys.exit(3)
        case "os._exit":
            os._exit(4)
        case "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
    raise ValueError(how)


@app.task
async def take_down(ctx: Context) -> None:
    """End whatever process this runs in."""
    os._exit(3)


@app.task(runner="process")
def kill_the_parent(ctx: BlockingContext) -> None:
    """Kill the worker from a process of its own."""
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait()


@app.task
async def outlive(ctx: Context, *, losses: int) -> None:
    """Wait until it has been lost so many times."""
    ctx.progress(0, message=f"loss {ctx.task.losses}")
    if ctx.task.losses < losses:
        await asyncio.Event().wait()


@app.task(runner="process")
def step(ctx: BlockingContext, *, pipe: str) -> str:
    """Checkpoint, then wait for a word and checkpoint again, until the word is `end`."""
    count: int = ctx.saved or 0
    while True:
        count += 1
        ctx.progress(count, message=f"step {count}")
        ctx.checkpoint(count)
        ctx.log(f"passed {count}")
        if hear(pipe) == "end":
            return f"{count} steps"


@app.task(runner="process")
def hold(ctx: BlockingContext, *, pipe: str) -> int:
    """Hold the interpreter in one call that no signal interrupts, for some minutes."""
    say(pipe, str(os.getpid()))
    return len(re.findall(r"(a*)*b", "a" * 40))


@app.task(runner="process")
def ignore(ctx: BlockingContext, *, pipe: str) -> int:
    """Never look at a checkpoint, and start a process that ignores SIGTERM too."""
    script = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('here', flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    say(pipe, f"{os.getpid()} {child.pid}")
    threading.Event().wait()
    return 0


FAMILY = "trap '' TERM; sleep 600 & echo $!; wait"
"""A program that starts another one, says which, and waits; both ignore SIGTERM."""


@app.task(runner="process")
def raise_a_family(ctx: BlockingContext, *, pipe: str, hold: bool = False) -> int:
    """Start programs that ignore SIGTERM, and wait; or `hold` the interpreter in one call."""
    child = subprocess.Popen(["sh", "-c", FAMILY], stdout=subprocess.PIPE)
    assert child.stdout is not None
    say(pipe, f"{os.getpid()} {child.pid} {int(child.stdout.readline())}")
    if hold:
        re.findall(r"(a*)*b", "a" * 40)
    threading.Event().wait()
    return 0


WITNESS = """
trap 'echo SIGTERM > "$1"; [ "$2" = yields ] && exit' TERM
echo here
while :; do sleep 600 & wait; done
"""
"""A program that says that it got SIGTERM, and ends then or goes on."""


@app.task(runner="process", retries=1, backoff=0)
def be_stopped(ctx: BlockingContext, *, pipe: str, word: str, how: str) -> str:
    """Say what comes to be seen, and heed it, or wait for a program that does, or be deaf until a `word` is heard."""
    if ctx.task.attempt > 1:
        return "tried again"
    witness = subprocess.Popen(["sh", "-c", WITNESS, "sh", pipe, how], stdout=subprocess.PIPE)
    assert witness.stdout is not None
    witness.stdout.readline()
    ctx.progress(0, message="here")
    try:
        while how == "heeds":
            ctx.checkpoint()
        if how == "yields":
            raise ChildProcessError(witness.wait())
        hear(word)
        ctx.checkpoint("late")
    except Parked:
        say(pipe, "Parked")
        raise
    return "never asked to stop"


@app.task(runner="process")
def count_children(ctx: BlockingContext) -> int:
    """How many processes are its own."""
    return len(psutil.Process().children())


@app.task(runner="process")
def call_a_program(ctx: BlockingContext, *, pipe: str) -> None:
    """Wait for a program, and fail when it does."""
    script = "import signal, sys; open(sys.argv[1], 'w').write('here\\n'); signal.pause()"
    subprocess.run([sys.executable, "-c", script, pipe], check=True)


@app.task(runner="process")
def leave_children(ctx: BlockingContext, *, pipe: str, then: str) -> int:
    """End, in one way or another, while forked processes live on."""
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    say(pipe, str(child.pid))
    if then == "die":
        os._exit(5)
    # What multiprocessing does at the end: wait for its children.
    with contextlib.suppress(AttributeError):
        multiprocessing.process._children.clear()  # type: ignore[attr-defined]
    return 1


@app.task(runner="process")
def linger(ctx: BlockingContext) -> int:
    """Return, but leave a thread behind that keeps the process from exiting."""
    threading.Thread(target=threading.Event().wait).start()
    return 1


@app.task(runner="process")
def close_the_wire(ctx: BlockingContext, *, pipe: str) -> None:
    """Lose the way to the worker, and stay."""
    say(pipe, str(os.getpid()))
    os.closerange(3, 100)
    threading.Event().wait()


@app.task
async def count(ctx: Context, *, to: int, pipe: str | None = None) -> dict[str, Any]:
    """Count on from where it was, a checkpoint a number; `pipe` is read before each of them."""
    number: int = ctx.saved or 0
    began = number
    while number < to:
        number += 1
        ctx.progress(number, to, message=f"at {number}")
        await ctx.checkpoint(number)
        ctx.log(f"passed {number}")
        if pipe:
            await asyncio.to_thread(hear, pipe)
    return {"began": began, "pid": os.getpid(), "losses": ctx.task.losses}


@app.task
async def tick(ctx: Context, *, to: int = 0) -> int:
    """Count on from where it was, without end or to a number, and say where."""
    number: int = ctx.saved or 0
    while number < to or not to:
        number += 1
        ctx.log("tick", pid=os.getpid(), number=number)
        await ctx.checkpoint(number)
        await asyncio.sleep(0.005)
    return number


@app.task
def block(ctx: BlockingContext, *, pipe: str) -> int:
    """Read a pipe that nobody may ever write to."""
    ctx.progress(0, message="blocked")
    hear(pipe)
    return os.getpid()


@app.task
async def start_one(
    ctx: Context, *, type: str, input: dict[str, Any], options: dict[str, Any] | None = None, wait: str = ""
) -> Any:
    """Start a child, wait for it (or for `wait`) and return what it returned."""
    child = await ctx.start(type, input, **(options or {}))
    (done,) = await ctx.wait(wait or child)
    return await ctx.result_of(done.id)


@app.task
async def wait_saying(ctx: Context) -> list[Any]:
    """Log what is in `saved` once it waits, and return what is there when it has waited."""
    child = await ctx.start("double", {"n": 1})
    found = [ctx.saved]
    try:
        await ctx.wait(child, state={"n": 1})
    finally:
        ctx.log("left", saved=ctx.saved)
    await ctx.wait(child, state={"n": 2})  # it has ended
    return [*found, ctx.saved]


def _wait_saying(ctx: BlockingContext) -> list[Any]:
    child = ctx.start("double", {"n": 1})
    found = [ctx.saved]
    try:
        ctx.wait(child, state={"n": 1})
    finally:
        ctx.log("left", saved=ctx.saved)
    ctx.wait(child, state={"n": 2})
    return [*found, ctx.saved]


@app.task
def wait_saying_in_thread(ctx: BlockingContext) -> list[Any]:
    """The same, blocking."""
    return _wait_saying(ctx)


@app.task(runner="process")
def wait_saying_in_process(ctx: BlockingContext) -> list[Any]:
    """The same, elsewhere."""
    return _wait_saying(ctx)


def _start_one(
    ctx: BlockingContext, type: str, input: dict[str, Any], options: dict[str, Any] | None, wait: str
) -> Any:
    child = ctx.start(type, input, **(options or {}))
    (done,) = ctx.wait(wait or child.id)
    return ctx.result_of(done.id)


@app.task
def start_one_in_thread(
    ctx: BlockingContext, *, type: str, input: dict[str, Any], options: dict[str, Any] | None = None, wait: str = ""
) -> Any:
    """The same, blocking."""
    return _start_one(ctx, type, input, options, wait)


@app.task(runner="process")
def start_one_in_process(
    ctx: BlockingContext, *, type: str, input: dict[str, Any], options: dict[str, Any] | None = None, wait: str = ""
) -> Any:
    """The same, in a process of its own."""
    return _start_one(ctx, type, input, options, wait)


@app.task
async def read_files(ctx: Context, *, lines: int = 0) -> list[Any]:
    """Say what is in the files that came with the input."""
    paths = [await ctx.fetch(file) for file in ctx.files]
    return _what_came(ctx, paths, lines)


@app.task
def read_files_in_thread(ctx: BlockingContext, *, lines: int = 0) -> list[Any]:
    """The same, blocking."""
    return _what_came(ctx, [ctx.fetch(file) for file in ctx.files], lines)


@app.task(runner="process")
def read_files_in_process(ctx: BlockingContext, *, lines: int = 0) -> list[Any]:
    """The same, in a process of its own."""
    return _what_came(ctx, [ctx.fetch(file) for file in ctx.files], lines)


def _what_came(ctx: Context | BlockingContext, paths: list[Path], lines: int) -> list[Any]:
    assert all(path.is_relative_to(ctx.folder) for path in paths)
    read = [path.read_text().splitlines()[:lines] for path in paths]
    return [
        [file.name, path.name, file.media_type, file.size, file.sha256, text]
        for file, path, text in zip(ctx.files, paths, read, strict=True)
    ]
