"""What does `milepost worker` do?"""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Annotated

import structlog
import typer
import uvloop

from milepost.app import Milepost
from milepost.cli import logging
from milepost.cli.exits import Exit
from milepost.cli.lifeline import held
from milepost.cli.options import Concurrency, Files, FilesFolder, FilesRoot, Grace, LogLevel, Store, examples
from milepost.cli.sources import load
from milepost.cli.storing import opened
from milepost.engine.worker import DEFAULT_CONCURRENCY, DEFAULT_GRACE

log = structlog.get_logger(__name__)

EXAMPLES = examples(
    "milepost worker tasks.py --store /var/lib/milepost/tasks.db",
    "milepost worker tasks.py --concurrency 2 --grace 60",
)


def worker(
    files: Files,
    store: Store = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    grace: Grace = DEFAULT_GRACE,
    files_root: FilesRoot = None,
    files_folder: FilesFolder = None,
    log_level: LogLevel = "info",
    lifeline: Annotated[int | None, typer.Option(hidden=True, help="A socket whose other end a server holds.")] = None,
) -> None:
    """Run the tasks of these files, beside a server on the same store, until SIGTERM or Ctrl-C.

    A second Ctrl-C ends it at once. The exit code is 1 when tasks that do not stop keep it from going on.
    """
    logging.configure(log_level)
    app = load(files, store=store, files_folder=files_folder, files_root=files_root)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_work(app, concurrency, grace, lifeline))
        # At once: a thread that a task left behind would keep the process from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _work(app: Milepost, concurrency: int, grace: float, lifeline: int | None) -> Exit:
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
