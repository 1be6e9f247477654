"""Task types whose tries start programs, for the tests of what is left of those."""

import os
import subprocess
import threading
import time

from milepost import BlockingContext, Context, Milepost

app = Milepost()

FAMILY = "trap '' TERM; sleep 600 & echo $!; wait"
"""A program that starts another one, says which, and waits; both ignore SIGTERM."""


def raise_a_family(ctx: BlockingContext) -> None:
    child = subprocess.Popen(["sh", "-c", FAMILY], stdout=subprocess.PIPE)
    assert child.stdout is not None
    ctx.progress(message=f"{os.getpid()} {child.pid} {int(child.stdout.readline())}")
    ctx.flush()
    threading.Event().wait()


@app.task(runner="process")
def elsewhere(ctx: BlockingContext) -> None:
    """Starts programs from a process of its own, and stops for nobody."""
    raise_a_family(ctx)


@app.task(runner="thread")
def here(ctx: BlockingContext) -> None:
    """Starts programs from the worker itself, and stops for nobody."""
    raise_a_family(ctx)


@app.task
async def hog(ctx: Context) -> None:
    """Holds its worker's event loop for good."""
    time.sleep(3600)
