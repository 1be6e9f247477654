"""Which options do several commands share?"""

from typing import Annotated

import typer

Url = Annotated[str, typer.Option("--url", envvar="MILEPOST_URL", metavar="URL", help="Where the server is.")]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="MILEPOST_KEY", metavar="KEY", help="The key to show it.", show_envvar=True),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The task.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="The tasks.")]

DEFAULT_URL = "http://127.0.0.1:8006"


def examples(*lines: str) -> str:
    """Examples for the end of a command's help, each on a line of its own."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
