"""What does `milepost webhook secret` do? It acts on the store itself, as `milepost key` does."""

import asyncio
from typing import Annotated, Final

import typer

from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import Store, examples
from milepost.cli.terminal import note, say
from milepost.errors import Invalid
from milepost.sealing import Unsealable
from milepost.store.refusals import StoreBusy, StoreFull

EXAMPLES: Final = examples(
    "milepost webhook secret acme",
    "milepost webhook secret acme --store shop.db",
    "milepost webhook secret acme --rotate",
)

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def webhook() -> None:
    """What callbacks are signed with."""


@app.command(epilog=EXAMPLES, short_help="Print what a tenant's callbacks are signed with.")
def secret(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose tasks' ends are told.")],
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make another one; calls are signed with both for a day.")
    ] = False,
    store: Store = None,
) -> None:
    """Print the secret that a tenant's callbacks are signed with, alone on stdout; it is made if there is none yet.

    Who receives the calls checks with it that they come from here, as Standard Webhooks says.
    """
    from milepost.cli.storing import application, check_there, opened  # a client's commands start faster without it

    milepost = application(store)
    check_there(milepost.path, "`milepost migrate --create` makes one.")

    async def run() -> str:
        async with opened(milepost):
            callbacks = milepost.service.callbacks
            return await (callbacks.rotate_secret(tenant) if rotate else callbacks.secret(tenant))

    try:
        shown = asyncio.run(run())
    except Invalid as error:
        raise CommandError(f"TENANT: {error.faults[0].detail}", Exit.USAGE) from error
    except Unsealable as error:
        raise CommandError(
            f"{tenant}: its secret can't be opened ({error}). Set MILEPOST_SECRET_KEY to what it was sealed with, or "
            "make another secret with --rotate.",
            Exit.FAILED,
        ) from error
    except (StoreBusy, StoreFull) as error:
        raise CommandError(f"--store: {error}", Exit.FAILED) from error
    if rotate:
        note("For a day calls are signed with this secret and with the one before it.")
    if not milepost.sealing:
        note("It lies in the store as it is, for whoever can read that: with MILEPOST_SECRET_KEY it would be sealed.")
    say(shown)
