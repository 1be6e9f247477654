"""What is said when a store can't be opened?"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from milepost.app import Milepost
from milepost.cli.exits import CommandError, Exit
from milepost.store.protocol import SchemaTooNew, StoreBusy
from milepost.store.sqlite.migrate import ForeignDatabase


@contextlib.asynccontextmanager
async def opened(app: Milepost) -> AsyncIterator[None]:
    """The application with its store open. Raises CommandError when that does not work."""
    async with contextlib.AsyncExitStack() as stack:
        with explained(app.path):
            await stack.enter_async_context(app.opened())
        yield


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what opening the store at `path` raises into a CommandError."""
    try:
        yield
    except (SchemaTooNew, ForeignDatabase, StoreBusy) as error:
        raise CommandError(f"--store: {error}", Exit.FAILED) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise CommandError(f"--store: {path} can't be opened ({why}).", Exit.FAILED) from error
