"""How is a store opened or brought up to date, and what is said when that does not work?"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from milepost.app import Milepost
from milepost.cli.exits import CommandError, Exit
from milepost.cli.terminal import on_one_line
from milepost.sealing import configured
from milepost.store.refusals import SchemaTooNew, StoreBusy, StoreFull
from milepost.store.sqlite.connection import DatabaseFailure, check_library
from milepost.store.sqlite.migrate import ForeignDatabase, migrate, migrations

BUSY_TIMEOUT: Final = 30_000
"""Milliseconds to wait for others who write."""


def application(store: str | None) -> Milepost:
    """The application on the store that an option names, without task types. Raises CommandError for what is none."""
    check_secret_key()
    try:
        return Milepost(store)
    except ValueError as error:
        raise CommandError(f"--store: {error}", Exit.USAGE) from error


def check_secret_key() -> None:
    """Raise CommandError where MILEPOST_SECRET_KEY is no key, or there is no library for it."""
    try:
        configured(None)
    except (ValueError, RuntimeError) as error:
        raise CommandError(str(error), Exit.USAGE) from error


@contextlib.asynccontextmanager
async def opened(app: Milepost) -> AsyncIterator[None]:
    """The application with its store open. Raises CommandError when that does not work."""
    async with contextlib.AsyncExitStack() as stack:
        with _explained(app.path):
            await stack.enter_async_context(app.opened())
        yield


def check_there(path: Path, otherwise: str) -> None:
    """Raise CommandError when there is no store at `path`, which is more often mistyped than wanted.

    `otherwise` says what to do where it is right.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandError(f"--store: there is no store at {path.absolute()}. {otherwise}", Exit.USAGE) from error
    except OSError as error:
        raise _unopened(path, error) from error


def bring_up_to_date(path: Path) -> tuple[int, int]:
    """Give the store at `path` the schema of this release; the versions before and after. Raises CommandError."""
    check_library()
    with _explained(path):
        return migrate(path, busy_timeout=BUSY_TIMEOUT, scripts=migrations())


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what opening the store at `path` raises into a CommandError."""
    try:
        yield
    except (SchemaTooNew, ForeignDatabase, StoreBusy, StoreFull) as error:
        raise CommandError(f"--store: {error}", Exit.FAILED) from error
    except (OSError, DatabaseFailure) as error:
        raise _unopened(path, error) from error


def _unopened(path: Path, error: Exception) -> CommandError:
    why = getattr(error, "strerror", None) or on_one_line(str(error)) or type(error).__name__
    return CommandError(f"--store: {path} can't be opened ({why}).", Exit.FAILED)
