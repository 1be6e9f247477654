"""Whose tokens does `milepost serve` take beside keys?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from milepost.access.oidc import OpenIdConnect

NAME_CLAIM: Final = "sub"
GRANTS_CLAIM: Final = "grants"
DISPLAY_CLAIMS: Final = ("name", "preferred_username")

Issuer = Annotated[
    str | None,
    typer.Option(
        "--oidc-issuer",
        envvar="MILEPOST_OIDC_ISSUER",
        metavar="URL",
        help="Take bearer tokens of this OpenID Connect issuer too, as it names itself in them.",
    ),
]
Audience = Annotated[
    str | None,
    typer.Option(
        "--oidc-audience", envvar="MILEPOST_OIDC_AUDIENCE", metavar="AUD", help="What its tokens call this server."
    ),
]
NameClaim = Annotated[
    str,
    typer.Option(
        "--oidc-name-claim", envvar="MILEPOST_OIDC_NAME_CLAIM", metavar="CLAIM", help="Says whose tasks are started."
    ),
]
GrantsClaim = Annotated[
    str,
    typer.Option(
        "--oidc-grants-claim",
        envvar="MILEPOST_OIDC_GRANTS_CLAIM",
        metavar="CLAIM",
        help="Has the grants, TENANT:ROLE: a list, or a text with blanks between.",
    ),
]
DisplayClaim = Annotated[
    list[str],
    typer.Option(
        "--oidc-display-claim",
        envvar="MILEPOST_OIDC_DISPLAY_CLAIM",
        metavar="CLAIM",
        help="Says what people call the owner; the first one that is there.",
    ),
]


def tokens(
    issuer: str | None,
    audience: str | None,
    name_claim: str,
    grants_claim: str,
    display_claims: Sequence[str] = DISPLAY_CLAIMS,
    *,
    no_auth: bool,
) -> "OpenIdConnect | None":
    """Who knows the holders of tokens; None where none are to be taken. Raises CommandError."""
    if issuer is None and audience is None:
        return None
    if not issuer or not audience:
        raise CommandError(
            "--oidc-issuer, --oidc-audience: one needs the other: whose tokens, and which of them are meant for this "
            "server.",
            Exit.USAGE,
        )
    if no_auth:
        raise CommandError("--no-auth: with --oidc-issuer everybody is to show who they are.", Exit.USAGE)
    try:
        from milepost.access.oidc import OpenIdConnect  # an extra
    except ModuleNotFoundError as error:
        raise CommandError(
            f"--oidc-issuer: {error.name} is not installed; `pip install 'milepost[oidc]'` does that.", Exit.USAGE
        ) from error
    try:
        return OpenIdConnect(
            issuer, audience, name_claim=name_claim, grants_claim=grants_claim, display_claims=display_claims
        )
    except ValueError as error:
        raise CommandError(f"--oidc-issuer: {error}", Exit.USAGE) from error
