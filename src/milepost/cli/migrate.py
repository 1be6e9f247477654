"""What does `milepost migrate` do?"""

from typing import Annotated

import typer

from milepost.cli.options import Store, examples
from milepost.cli.terminal import say

EXAMPLES = examples(
    "milepost migrate --store tasks.db",
    "milepost migrate --store sqlite:////var/lib/milepost/tasks.db --create",
)


def migrate(
    store: Store = None,
    create: Annotated[bool, typer.Option("--create", help="Make the store if it is not there.")] = False,
) -> None:
    """Bring a store's schema up to date, and say from which version to which.

    Opening a store does so too; this does it while nothing else happens. Make a copy first.
    """
    from milepost.cli.storing import application, bring_up_to_date, check_there  # clients start faster without it

    path = application(store).path
    if not create:
        check_there(path, "--create makes one.")
    before, after = bring_up_to_date(path)
    say(f"{path}: schema {after}, nothing to do" if before == after else f"{path}: schema {before} -> {after}")
