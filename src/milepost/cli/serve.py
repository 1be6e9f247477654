"""What does `milepost serve` do?"""

import contextlib
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from milepost import __version__
from milepost.app import Milepost
from milepost.cli.dialects import AparaviProfile, Names, PathMap, choose
from milepost.cli.options import (
    DEFAULT_URL,
    CallbackAllow,
    Concurrency,
    Files,
    FilesFolder,
    FilesRoot,
    Grace,
    LogLevel,
    Store,
    examples,
)
from milepost.cli.sockets import LOCALHOST, listen, urls
from milepost.cli.sources import load
from milepost.cli.tables import parameters, say_fields
from milepost.cli.terminal import say
from milepost.engine.worker import DEFAULT_CONCURRENCY, DEFAULT_GRACE

EXAMPLES = examples(
    "milepost serve tasks.py",
    "milepost serve shop.py reports.py --store shop.db --files-root /srv/shop",
    "milepost serve tasks.py --port 0 --no-worker",
    "milepost serve tasks.py --dialect native --dialect quant",
)


def serve(
    files: Files,
    store: Store = None,
    host: Annotated[
        str,
        typer.Option(envvar="MILEPOST_HOST", metavar="HOST", help="localhost (IPv4 and IPv6), or a loopback address."),
    ] = LOCALHOST,
    port: Annotated[
        int, typer.Option(envvar="MILEPOST_PORT", metavar="PORT", min=0, max=65535, help="0 takes any free one.")
    ] = 8006,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", envvar="MILEPOST_NO_WORKER", help="Run no tasks; `milepost worker` does.")
    ] = False,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    files_root: FilesRoot = None,
    files_folder: FilesFolder = None,
    grace: Grace = DEFAULT_GRACE,
    callback_allow: CallbackAllow = None,
    dialect: Names = None,
    aparavi: AparaviProfile = None,
    path_map: PathMap = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", envvar="MILEPOST_NO_AUTH", help="Ask nobody for a key, though there are some.")
    ] = False,
    log_level: LogLevel = "info",
) -> None:
    """Serve the task types of these files over HTTP, and run their tasks, until SIGTERM or Ctrl-C.

    Tasks run in a worker, a process of its own that is started again if they take it down. At the end running tasks
    have --grace seconds to end or reach a checkpoint; the others carry on at the next start. A second Ctrl-C ends
    everything at once.
    """
    from milepost.cli import logging, server  # a client's commands start in half the time without these

    logging.configure(log_level)
    app = load(files, store=store, files_folder=files_folder, files_root=files_root, callback_allow=callback_allow)
    choose(app, dialect, aparavi, path_map)
    sockets = listen(host, port)
    command = _worker_command(
        files,
        {
            "--store": app.path.resolve(),
            "--files": files_folder and files_folder.resolve(),
            "--files-root": files_root and files_root.resolve(),
            "--concurrency": concurrency,
            "--grace": grace,
            "--log-level": log_level,
        },
        callback_allow or (),
    )
    with contextlib.ExitStack() as stack:
        for one in sockets:
            stack.enter_context(one)
        server.run(
            app,
            sockets,
            None if no_worker else command,
            grace=grace,
            access_log=log_level == "debug",
            no_auth=no_auth,
            on_ready=lambda is_open: _say_ready(
                app, sockets, no_worker=no_worker, access=_access(is_open=is_open, no_auth=no_auth)
            ),
        )


def _worker_command(files: Sequence[Path], options: Mapping[str, object], callback_allow: Sequence[str]) -> list[str]:
    """How the worker is started; the descriptor of its lifeline is still to be added."""
    command = [sys.executable, "-m", "milepost", "worker", *(str(file.resolve()) for file in files)]
    for name, value in options.items():
        if value is not None:
            command += [name, str(value)]
    for network in callback_allow:
        command += ["--callback-allow", network]
    return [*command, "--lifeline"]


def _say_ready(app: Milepost, sockets: Sequence[socket.socket], *, no_worker: bool, access: str) -> None:
    addresses = urls(sockets)
    say(f"Milepost {__version__} is ready. Ctrl-C stops it.")
    say_fields(
        {
            "  api": "  ".join(addresses),
            "  docs": f"{addresses[0]}/docs",
            "  speaks": ", ".join(dialect.name for dialect in app.dialects or ()),
            "  store": str(app.path.resolve()),
            "  types": ", ".join(sorted(app.types)) or "none: no function of these files is under `@app.task`",
            "  worker": "none here; run one with `milepost worker`" if no_worker else "",
            "  access": access,
            "  try": _example(app, addresses[0]),
        }
    )


def _access(*, is_open: bool, no_auth: bool) -> str:
    if not is_open:
        return "by key; `milepost key` makes, lists and revokes them"
    why = "by --no-auth" if no_auth else "no key was made yet"
    return f"open, {why}: everybody on this machine may do everything"


def _example(app: Milepost, address: str) -> str:
    """A command that starts a task, as far as that can be said without knowing what it is about."""
    if not app.types:
        return ""
    name = min(app.types)
    words = [word for word in parameters(app.types[name].info.schema) if not word.startswith("[")]
    at = "" if address == DEFAULT_URL else f" --url {address}"
    return " ".join(["milepost start", name, *words, f"--watch{at}"])
