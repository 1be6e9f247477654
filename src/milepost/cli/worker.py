"""What does `milepost worker` do?"""

from typing import Annotated

import typer

from milepost.cli.limits import Settings, limit
from milepost.cli.options import (
    CallbackAllow,
    Concurrency,
    Files,
    FilesFolder,
    FilesRoot,
    Grace,
    LogLevel,
    PublicUrl,
    Store,
    examples,
)
from milepost.cli.sources import load
from milepost.engine.worker import DEFAULT_CONCURRENCY, DEFAULT_GRACE

EXAMPLES = examples(
    "milepost worker tasks.py --store /var/lib/milepost/tasks.db",
    "milepost worker tasks.py --concurrency 2 --grace 60",
)


def worker(
    files: Files,
    store: Store = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    grace: Grace = DEFAULT_GRACE,
    callback_allow: CallbackAllow = None,
    public_url: PublicUrl = None,
    files_root: FilesRoot = None,
    files_folder: FilesFolder = None,
    limits: Settings = None,
    log_level: LogLevel = "info",
    lifeline: Annotated[int | None, typer.Option(hidden=True, help="A socket whose other end a server holds.")] = None,
) -> None:
    """Run the tasks of these files, beside a server on the same store, until SIGTERM or Ctrl-C.

    The store has to be there: `milepost serve`, or `milepost migrate --create`, makes it. A second Ctrl-C ends the
    worker at once. The exit code is 1 when tasks that do not stop keep it from going on.
    """
    from milepost.cli import logging, storing, work  # a client's commands start in half the time without these

    logging.configure(log_level)
    app = load(
        files,
        store=store,
        files_folder=files_folder,
        files_root=files_root,
        callback_allow=callback_allow,
        public_url=public_url,
    )
    limit(app, limits)
    storing.check_there(app.path, "A server makes it: start `milepost serve` first, or name the one that it uses.")
    work.run(app, concurrency=concurrency, grace=grace, lifeline=lifeline)
