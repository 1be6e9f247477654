"""What does `milepost migrate` do?"""

import contextlib
from pathlib import Path
from typing import Final

from milepost.app import Milepost
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import Store, examples
from milepost.cli.storing import explained
from milepost.cli.terminal import say
from milepost.store.sqlite.connection import check_library, connect
from milepost.store.sqlite.migrate import migrate as bring_up_to_date
from milepost.store.sqlite.migrate import migrations

EXAMPLES = examples(
    "milepost migrate --store tasks.db", "milepost migrate --store sqlite:////var/lib/milepost/tasks.db"
)

BUSY_TIMEOUT: Final = 30_000
"""Milliseconds to wait for others who write."""


def migrate(store: Store = None) -> None:
    """Bring a store's schema up to date, and say from which version to which.

    Opening a store does so too; this does it while nothing else happens. Make a copy first.
    """
    try:
        path = Milepost(store).path
    except ValueError as error:
        raise CommandError(f"--store: {error}", Exit.USAGE) from error
    check_library()
    with explained(path):
        before = _version(path)
        bring_up_to_date(path, busy_timeout=BUSY_TIMEOUT, scripts=migrations())
        after = _version(path)
    say(f"{path}: schema {after}, nothing to do" if before == after else f"{path}: schema {before} -> {after}")


def _version(path: Path) -> int:
    """Of the schema; 0 where there is no store, or something else, which migrating then says in words."""
    if path.exists():
        with contextlib.suppress(Exception), contextlib.closing(connect(path, busy_timeout=BUSY_TIMEOUT)) as connection:
            return int(connection.pragma("user_version"))
    return 0
