"""Which options do several commands share?"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from milepost.cli.secrets import key_option


def path(text: str) -> Path:
    """The path that an option names. Raises BadParameter for an empty one, which Path takes for the current folder."""
    if not text:
        raise typer.BadParameter("an empty path; write . for the current folder.")
    return Path(text)


Url = Annotated[str, typer.Option("--url", envvar="MILEPOST_URL", metavar="URL", help="Where the server is.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="MILEPOST_KEY",
        metavar="@FILE|-|KEY",
        help="The key to show it: in a file, on a line of stdin, or itself.",
        callback=key_option,
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar="MILEPOST_CA",
        metavar="FILE",
        parser=path,
        help="The authorities whose certificates to believe; by default SSL_CERT_FILE's, else the system's.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The task.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="The tasks.")]


def target(text: str) -> Path:
    """Where an option says that something is to be saved. Raises BadParameter for a folder that is not there."""
    to = path(text)
    if text.endswith("/") and not to.is_dir():
        raise typer.BadParameter(f"there is no folder {text}; make it first, or leave the slash out for a file.")
    return to


# Of `serve` and `worker`.
Files = Annotated[list[Path], typer.Argument(metavar="FILE", parser=path, help="Python files with task types.")]
Store = Annotated[
    str | None,
    typer.Option(
        envvar="MILEPOST_STORE",
        metavar="PATH|URL",
        help="Where records live: a path or sqlite:///path; by default what the files say, else milepost.db.",
    ),
]
FilesFolder = Annotated[
    Path | None,
    typer.Option(
        "--files",
        envvar="MILEPOST_FILES",
        metavar="DIR",
        parser=path,
        help="Where result files live; by default beside the store.",
    ),
]
FilesRoot = Annotated[
    Path | None,
    typer.Option(
        envvar="MILEPOST_FILES_ROOT",
        metavar="DIR",
        parser=path,
        help="Beneath it lie the paths that callers may name; by default the current folder.",
    ),
]
CallbackAllow = Annotated[
    list[str] | None,
    typer.Option(
        envvar="MILEPOST_CALLBACK_ALLOW",
        metavar="CIDR",
        help="Local addresses that callbacks may call, such as 10.1.0.0/16; may be repeated.",
    ),
]
PublicUrl = Annotated[
    str | None,
    typer.Option("--public-url", envvar="MILEPOST_PUBLIC_URL", metavar="URL", help="Where clients find the server."),
]
Concurrency = Annotated[
    int, typer.Option(envvar="MILEPOST_CONCURRENCY", metavar="N", min=1, help="How many tasks the worker runs at once.")
]
Grace = Annotated[
    float,
    typer.Option(
        envvar="MILEPOST_GRACE", min=0, metavar="SECONDS", help="What running tasks have to stop in, at the end."
    ),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    typer.Option(envvar="MILEPOST_LOG_LEVEL", help="What is logged to stderr, from this level up."),
]

DEFAULT_URL = "http://127.0.0.1:8006"


def examples(*lines: str) -> str:
    """Examples for the end of a command's help, each on a line of its own."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
