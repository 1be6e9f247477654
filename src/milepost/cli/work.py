"""How does a worker's process run, and come to an end?"""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack

import structlog
import uvloop

from milepost.app import Milepost
from milepost.cli.exits import Exit
from milepost.cli.lifeline import held
from milepost.cli.storing import opened
from milepost.engine.runners.guard import Guard

log = structlog.get_logger(__name__)


def run(app: Milepost, *, concurrency: int, grace: float, lifeline: int | None) -> None:
    """Run the tasks of `app` until SIGTERM or SIGINT, then end the process; a second SIGINT ends it at once.

    `grace`: seconds that running tasks have then. `lifeline`: the descriptor of a server's, if one started this worker.
    Raises CommandError when the store can't be opened.
    """
    if lifeline is not None:  # else its group may have others in it, a pipeline's for example
        # What its tasks have started ends with it: the programs of a thread that did not stop, say.
        guard = Guard(os.getpid())  # noqa: F841 - held to the end
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(app, concurrency, grace, lifeline))
        # Without going home first: a thread that a task left behind would keep the process from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _run(app: Milepost, concurrency: int, grace: float, lifeline: int | None) -> Exit:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(opened(app))
        engine = app.worker(concurrency=concurrency, grace=grace)
        stopping = False

        def stop() -> None:
            nonlocal stopping
            stopping = True
            if lifeline is None:  # else the server has said so
                log.info("Stopping; Ctrl-C ends it at once")
            engine.stop()

        def interrupt() -> None:
            if stopping:
                os._exit(Exit.INTERRUPTED)
            stop()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(signal.SIGINT, interrupt)
        if lifeline is None:
            log.info("The worker is ready", store=str(app.path.resolve()), types=sorted(app.types))
        else:
            await stack.enter_async_context(held(lifeline, on_lost=engine.stop, grace=grace))
        return Exit.DONE if await engine.run() else Exit.FAILED
