"""Which tasks do the clients start? Decent ones of every runner, and such as misbehave in every way that is known.

All of them leave traces, and none can harm the machine.
"""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import time
from typing import Any

from milepost import BlockingContext, Context, File, Milepost, TaskError
from tests.chaos.fence import watch
from tests.chaos.traces import Trace

app = Milepost()
if "CHAOS_TRACES" in os.environ:  # in a member of a cluster, not where tests only look at these types
    watch()

EXIT_CODE = 17
"""How a worker ends that a task has ended."""
KEPT = 12
"""Seconds that a `brief` task is remembered."""
LONGEST = 12.0
"""Seconds after which what never returns returns after all: a run has to come to its end."""


async def _walk(ctx: Context, trace: Trace, steps: int, seconds: float) -> dict[str, Any]:
    for step in range(trace.found + 1, steps + 1):
        await asyncio.sleep(seconds)
        await _step(ctx, trace, step, steps)
    return _result(ctx, trace, steps)


async def _step(ctx: Context, trace: Trace, step: int, steps: int) -> None:
    _tell(ctx, step, steps)
    with trace.saving(step):
        await ctx.checkpoint({"step": step, "epoch": ctx.task.epoch})


def _walk_blocking(ctx: BlockingContext, trace: Trace, steps: int, seconds: float) -> dict[str, Any]:
    for step in range(trace.found + 1, steps + 1):
        time.sleep(seconds)
        _step_blocking(ctx, trace, step, steps)
    return _result(ctx, trace, steps)


def _step_blocking(ctx: BlockingContext, trace: Trace, step: int, steps: int) -> None:
    _tell(ctx, step, steps)
    with trace.saving(step):
        ctx.checkpoint({"step": step, "epoch": ctx.task.epoch})


def _tell(ctx: Context | BlockingContext, step: int, steps: int) -> None:
    ctx.log("step", epoch=ctx.task.epoch, step=step)
    ctx.progress(step, total=steps, message=f"step {step}")


def _result(ctx: Context | BlockingContext, trace: Trace, steps: int) -> dict[str, Any]:
    trace.end(steps)
    return {"steps": steps, "epoch": ctx.task.epoch}


@app.task
async def on_loop(ctx: Context, *, steps: int, seconds: float) -> dict[str, Any]:
    """Does nothing wrong."""
    return await _walk(ctx, Trace(ctx), steps, seconds)


@app.task
def in_thread(ctx: BlockingContext, *, steps: int, seconds: float) -> dict[str, Any]:
    """Does nothing wrong, and goes on while its worker's event loop can't tell it to stop."""
    return _walk_blocking(ctx, Trace(ctx), steps, seconds)


@app.task(runner="process")
def in_process(ctx: BlockingContext, *, steps: int, seconds: float) -> dict[str, Any]:
    """Does nothing wrong, and goes on while its worker is suspended."""
    return _walk_blocking(ctx, Trace(ctx), steps, seconds)


@app.task(keep_result=3, keep_record=KEPT)
async def brief(ctx: Context, *, steps: int, seconds: float) -> dict[str, Any]:
    """Is soon forgotten."""
    return await _walk(ctx, Trace(ctx), steps, seconds)


@app.task(retries=2, backoff="200ms")
async def fails(ctx: Context, *, steps: int, seconds: float, times: int) -> dict[str, Any]:
    """Its first tries fail."""
    trace = Trace(ctx)
    if ctx.task.attempt <= times:
        await asyncio.sleep(seconds)
        raise TaskError(f"Attempt {ctx.task.attempt} fails.", code="as_told")
    return await _walk(ctx, trace, steps, seconds)


@app.task(retries=5, backoff="500ms")
def writes(ctx: BlockingContext, *, steps: int, seconds: float) -> File:
    """Its result is a file, written step by step; it begins anew where its private folder does not have enough."""
    trace = Trace(ctx)
    path = ctx.folder / "steps.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    if len(lines) < trace.found:
        trace.found = 0
    path.write_text("".join(f"{step}\n" for step in range(1, trace.found + 1)))
    for step in range(trace.found + 1, steps + 1):
        time.sleep(seconds)
        with path.open("a") as file:
            file.write(f"{step}\n")
            file.flush()
            os.fsync(file.fileno())
        with trace.saving(step):
            ctx.checkpoint({"step": step})
    trace.end(steps)
    return File(path, media_type="text/plain")


@app.task
async def exits(ctx: Context, *, steps: int, seconds: float, times: int) -> dict[str, Any]:
    """Takes its process down with it: the worker and its other tasks, then the one that it has for itself."""
    trace = Trace(ctx)
    if ctx.task.losses < times:
        await asyncio.sleep(seconds)
        os._exit(EXIT_CODE)
    return await _walk(ctx, trace, steps, seconds)


@app.task(runner="process")
def hungry(ctx: BlockingContext, *, steps: int, seconds: float, megabytes: int) -> dict[str, Any]:
    """Takes all the memory that it gets, which is so many megabytes more than it has."""
    trace = Trace(ctx)
    used = int(_status("VmSize").split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20),) * 2)
    hoard = []
    while True:
        time.sleep(0.001)
        hoard.append(bytearray(8 << 20))
        if len(hoard) << 3 > megabytes:
            trace.end(0)
            return {"steps": 0, "epoch": ctx.task.epoch}


def _status(field: str) -> str:
    with open("/proc/self/status") as status:  # noqa: PTH123 - a path object is what there may be no memory for
        return next(line.partition(":")[2].strip() for line in status if line.startswith(field))


@app.task(runner="process", timeout="2s")
async def deaf(ctx: Context, *, steps: int, seconds: float) -> dict[str, Any]:
    """Neither ends in time nor heeds SIGTERM."""
    trace = Trace(ctx)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        time.sleep(seconds)
    return _result(ctx, trace, steps)


@app.task(timeout="2s")
async def endless(ctx: Context, *, steps: int, seconds: float) -> dict[str, Any]:
    """Never returns."""
    Trace(ctx)
    await asyncio.Event().wait()
    return {}


@app.task(timeout="2s")
def sleeps(ctx: BlockingContext, *, steps: int, seconds: float) -> dict[str, Any]:
    """Does not end in time, and as a thread it can't be ended."""
    trace = Trace(ctx)
    time.sleep(LONGEST)
    return _result(ctx, trace, steps)


@app.task(timeout="2s")
async def stubborn(ctx: Context, *, steps: int, seconds: float) -> dict[str, Any]:
    """Swallows every CancelledError, for ever."""
    Trace(ctx)
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(seconds)


@app.task(runner="process")
def spawns(ctx: BlockingContext, *, steps: int, seconds: float) -> dict[str, Any]:
    """Starts a program that would outlive the whole run, and leaves it to itself."""
    trace = Trace(ctx)
    subprocess.Popen(["sleep", "3600"])
    return _walk_blocking(ctx, trace, steps, seconds)


@app.task
async def holds(ctx: Context, *, steps: int, seconds: float) -> dict[str, Any]:
    """Holds the event loop of its worker, and with it every other task there."""
    trace = Trace(ctx)
    time.sleep(2.5)
    return await _walk(ctx, trace, steps, seconds)


@app.task
async def oversleeps(ctx: Context, *, steps: int, seconds: float) -> dict[str, Any]:
    """Suspends its worker; when that is woken, it writes at once. Once lost it sleeps no more: see sleeper.py."""
    trace = Trace(ctx)
    if not ctx.task.losses and not trace.found:
        trace.sleep()
        await _step(ctx, trace, 1, steps)
        trace.found = 1
    return await _walk(ctx, trace, steps, seconds)


@app.task
def oversleeps_in_thread(ctx: BlockingContext, *, steps: int, seconds: float) -> dict[str, Any]:
    """As `oversleeps` does, from a thread that can't be stopped."""
    trace = Trace(ctx)
    if not ctx.task.losses and not trace.found:
        trace.sleep()
        _step_blocking(ctx, trace, 1, steps)
        trace.found = 1
    return _walk_blocking(ctx, trace, steps, seconds)
