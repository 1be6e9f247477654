"""How are webhook secrets managed over the native API?"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from milepost.http.dialect import Answer, Call, NoQuery, Operation
from milepost.http.dialects.native_answers import TimeText
from milepost.http.dialects.native_requests import Name
from milepost.http.problems import problem_answers
from milepost.http.representation import json_answer
from milepost.times import to_rfc3339
from milepost.webhook_management import WebhookSecret

SECRETS: Final = "/v1/webhook-secrets"
SECRET: Final = SECRETS + "/{tenant}"

_encode: Final = msgspec.json.Encoder().encode


class NewSecretBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret to make."""

    tenant: Annotated[Name, Meta(description="Whose tasks' callbacks are signed with it.")]


class SecretBody(msgspec.Struct, kw_only=True):
    """What a tenant's callbacks are signed with, without the secret itself."""

    tenant: str
    created_at: TimeText
    previous_until: Annotated[
        TimeText | None, Meta(description="Until then calls are signed with the secret before it too.")
    ]
    secret: Annotated[str | UnsetType, Meta(description="The secret itself, this once, where it was just made.")] = (
        UNSET
    )


class SecretList(msgspec.Struct):
    """Webhook secrets, by tenant."""

    secrets: list[SecretBody]


async def list_secrets(call: Call[NoQuery, None]) -> Response:
    """List webhook secrets."""
    found = await call.service.webhook_management.list(call.principal)
    return json_answer(_encode(SecretList([_body(each) for each in found])))


async def make_secret(call: Call[NoQuery, NewSecretBody]) -> Response:
    """Make a webhook secret."""
    held, secret = await call.service.webhook_management.make(call.principal, call.body.tenant)
    return json_answer(_encode(_body(held, secret)), 201)


async def remove_secret(call: Call[NoQuery, None]) -> Response:
    """Remove a webhook secret."""
    removed = await call.service.webhook_management.remove(call.principal, call.path["tenant"])
    return json_answer(_encode(_body(removed)))


def _body(held: WebhookSecret, secret: str | UnsetType = UNSET) -> SecretBody:
    until = held.previous_until
    return SecretBody(
        tenant=held.tenant,
        created_at=to_rfc3339(held.created_at),
        previous_until=None if until is None else to_rfc3339(until),
        secret=secret,
    )


_NOT_ADMIN: Final = "Only admins of a tenant, and services, manage webhook secrets."


def webhook_operations() -> Sequence[Operation]:
    """All that there is to do with webhook secrets."""
    return [
        Operation(
            "GET",
            SECRETS,
            list_secrets,
            summary="List webhook secrets",
            description="Those of the tenants that the caller is an admin of; to a service, all. Of the secrets "
            "themselves nothing is told.",
            group="Webhooks",
            answers={200: Answer("Which there are.", SecretList)} | problem_answers({403: _NOT_ADMIN}),
        ),
        Operation(
            "POST",
            SECRETS,
            make_secret,
            summary="Make a webhook secret",
            description="The answer has the secret, this once. If the tenant has one already, calls are signed with "
            "both for a day, so that receivers can change to the new one.",
            group="Webhooks",
            body=NewSecretBody,
            answers={201: Answer("It is made.", SecretBody)}
            | problem_answers({403: _NOT_ADMIN + " Or the tenant is not the caller's."}),
        ),
        Operation(
            "DELETE",
            SECRET,
            remove_secret,
            summary="Remove a webhook secret",
            description="Nothing is signed with it any more, nor with the one before it. The next call is signed with "
            "a fresh one, which nobody has been shown.",
            group="Webhooks",
            parameters={"tenant": Annotated[Name, Meta(description="Whose it is.")]},
            answers={200: Answer("It is removed.", SecretBody)}
            | problem_answers({403: _NOT_ADMIN, 404: "There is no such secret, or none that the caller manages."}),
        ),
    ]
