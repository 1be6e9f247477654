"""Which dialects does `milepost serve` speak?"""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from milepost.access.bound import bound
from milepost.app import Milepost
from milepost.cli.exits import CommandError, Exit

Names = Annotated[
    list[str] | None,
    typer.Option(
        "--dialect",
        envvar="MILEPOST_DIALECT",
        metavar="NAME",
        help="Speak this one, and no others that are not named: native, metavault, services, aparavi, cloudcoin or "
        "quant. By default what the files say, else all.",
    ),
]
AparaviProfile = Annotated[
    Literal["page", "node", "python"] | None,
    typer.Option(
        "--aparavi",
        envvar="MILEPOST_APARAVI",
        help="In whose words Aparavi's clients are told of failures, where their key does not say; by default page.",
    ),
]
PathMap = Annotated[
    list[str] | None,
    typer.Option(
        "--path-map",
        envvar="MILEPOST_PATH_MAP",
        metavar="PATH=DIR",
        help="For a path that Aparavi's clients name take this one beneath the files root.",
    ),
]
CloudCoinCaller = Annotated[
    str | None,
    typer.Option(
        "--cloudcoin",
        envvar="MILEPOST_CLOUDCOIN",
        metavar="NAME@TENANT",
        help="Take CloudCoin's clients on this machine, which show no key, for this user of a tenant.",
    ),
]


def choose(
    app: Milepost,
    names: Sequence[str] | None,
    profile: AparaviProfile,
    path_map: Sequence[str] | None,
    caller: CloudCoinCaller,
) -> None:
    """Have the application speak these dialects; all, where neither the options nor its files name any.

    Raises CommandError for a name of none, a path or a caller that is none, and where options and files both decide.
    """
    if caller is not None:
        try:
            bound(caller)
        except ValueError as error:
            raise CommandError(f"--cloudcoin: {error}", Exit.USAGE) from error
    from milepost.http.dialects.known import NAMES, dialects  # a client's commands start faster without them

    if app.dialects is None:
        try:
            paths = _paths(path_map or ())
            app.dialects = dialects(names or NAMES, profile=profile or "page", paths=paths, caller=caller)
        except ValueError as error:
            raise CommandError(f"--dialect: {error}", Exit.USAGE) from error
    elif names or profile or path_map or caller:
        option = "--dialect" if names else "--aparavi" if profile else "--path-map" if path_map else "--cloudcoin"
        raise CommandError(
            f"{option}: the files say themselves which dialects they are served in, and how.", Exit.USAGE
        )


def _paths(path_map: Sequence[str]) -> dict[str, str]:
    paths: dict[str, str] = {}
    for pair in path_map:
        published, sign, here = pair.partition("=")
        if not (published and sign and here):
            raise CommandError(f"--path-map: {pair!r:.80} is no PATH=DIR, such as /data/source=documents.", Exit.USAGE)
        paths[published] = here
    return paths
