"""Which limits do `serve` and `worker` set?"""

from collections.abc import Sequence
from typing import Annotated

import typer

from milepost.access.limits import parse
from milepost.app import Milepost
from milepost.cli.exits import CommandError, Exit

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        envvar="MILEPOST_LIMIT",
        metavar="NAME=NUMBER",
        help="How much callers may take and tasks may say, such as body=2MiB, wait=30 or requests=50. May be repeated.",
    ),
]


def limit(app: Milepost, settings: Sequence[str] | None) -> None:
    """Set limits of the application, over those that its files set. Raises CommandError for what is none."""
    try:
        app.limits = parse(settings or (), app.limits)
    except ValueError as error:
        raise CommandError(f"--limit: {error}", Exit.USAGE) from error
