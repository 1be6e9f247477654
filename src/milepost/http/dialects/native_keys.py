"""How are keys managed over the native API?"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from milepost.access.keyring import GRACE, PAGE, Profile
from milepost.http.dialect import Answer, Call, NoQuery, Operation
from milepost.http.dialects.native_answers import TimeText
from milepost.http.dialects.native_requests import Name
from milepost.http.fields import Duration, Time, Whole
from milepost.http.problems import problem_answers
from milepost.http.representation import json_answer
from milepost.service import ApiKey
from milepost.times import to_rfc3339

KEYS: Final = "/v1/keys"
KEY: Final = KEYS + "/{id}"

KeyId = Annotated[str, Meta(description="A key's id.", extra_json_schema={"pattern": "^[0-9a-f]{16}$"})]
GrantText = Annotated[
    str,
    Meta(description="TENANT:ROLE, or *:service.", extra_json_schema={"pattern": "^.+:(user|member|admin|service)$"}),
]

_encode: Final = msgspec.json.Encoder().encode


class NewKeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make."""

    name: Annotated[Name, Meta(description="Whose key it is: owns the tasks that it starts.")]
    grants: Annotated[list[GrantText], Meta(description="What it may do.", extra_json_schema={"minItems": 1})]
    display_name: Annotated[Name | None, Meta(description="What people read in place of the name.")] = None
    profile: Annotated[Profile | None, Meta(description="Which of Aparavi's clients words its failures.")] = None
    expires_at: Annotated[Time | None, Meta(description="From then on it is refused; null: never.")] = None


class RotationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is replaced."""

    grace: Annotated[
        Duration | None, Meta(description="How long the old key is valid beside the new one; null: an hour.")
    ] = None


class KeyBody(msgspec.Struct, kw_only=True):
    """A key, without its secret."""

    id: str
    name: str
    display_name: str
    grants: list[str]
    profile: Profile | None
    created_at: TimeText
    last_used_at: Annotated[TimeText | None, Meta(description="To the minute.")]
    expires_at: TimeText | None
    revoked_at: TimeText | None
    replaced_by: Annotated[str | None, Meta(description="The id of the key that was made in its place.")]
    key: Annotated[str | UnsetType, Meta(description="The key itself, this once, where it was just made.")] = UNSET


class KeyList(msgspec.Struct):
    """Keys, oldest first."""

    keys: list[KeyBody]
    next: Annotated[str | None, Meta(description="Give this as `after` to go on; null at the end.")]


class KeyPageSize(Whole):
    """How many keys to read at once."""

    least = 1
    most = PAGE


class KeyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which keys to list."""

    after: Annotated[str | None, Meta(description="The `next` of the page before.")] = None
    limit: KeyPageSize = cast("KeyPageSize", 100)


async def list_keys(call: Call[KeyQuery, None]) -> Response:
    """List keys."""
    query = call.query
    page = await call.service.key_management.list(call.principal, after=query.after, limit=query.limit)
    return json_answer(_encode(KeyList([_body(key) for key in page.keys], page.next)))


async def add_key(call: Call[NoQuery, NewKeyBody]) -> Response:
    """Make a key."""
    said: dict[str, Any] = msgspec.structs.asdict(call.body)
    made = await call.service.key_management.add(call.principal, said.pop("name"), said.pop("grants"), **said)
    return _made(*made)


async def revoke_key(call: Call[NoQuery, None]) -> Response:
    """Revoke a key."""
    revoked = await call.service.key_management.revoke(call.principal, call.path["id"])
    return json_answer(_encode(_body(revoked)))


async def rotate_key(call: Call[NoQuery, RotationBody | None]) -> Response:
    """Rotate a key."""
    said = None if call.body is None else call.body.grace
    grace = GRACE if said is None else said
    return _made(*await call.service.key_management.rotate(call.principal, call.path["id"], grace=grace))


def _made(key: ApiKey, secret: str) -> Response:
    return json_answer(_encode(_body(key, secret)), 201)


def _body(key: ApiKey, secret: str | UnsetType = UNSET) -> KeyBody:
    return KeyBody(
        id=key.id,
        name=key.name,
        display_name=key.display_name,
        grants=[f"{tenant}:{role}" for tenant, role in key.grants],
        profile=cast("Profile | None", key.profile),
        created_at=to_rfc3339(key.created_at),
        last_used_at=_time(key.last_used_at),
        expires_at=_time(key.expires_at),
        revoked_at=_time(key.revoked_at),
        replaced_by=key.replaced_by,
        key=secret,
    )


def _time(time: int | None) -> str | None:
    return None if time is None else to_rfc3339(time)


_NOT_ADMIN: Final = "Only admins of a tenant, and services, manage keys."
_NO_KEY: Final = "There is no such key, or none that the caller manages."
_FULL: Final = "A tenant of a grant has as many valid keys as it may."


def key_operations() -> Sequence[Operation]:
    """All that there is to do with keys."""
    return [
        Operation(
            "GET",
            KEYS,
            list_keys,
            summary="List keys",
            description="Those whose grants all lie in tenants that the caller is an admin of; to a service, all. "
            "Oldest first. `next` leads to the following page; after the last one it is null. Keys that have ended are "
            "among them for 30 days.",
            group="Keys",
            query=KeyQuery,
            answers={200: Answer("A page of keys.", KeyList)} | problem_answers({403: _NOT_ADMIN}),
        ),
        Operation(
            "POST",
            KEYS,
            add_key,
            summary="Make a key",
            description="The answer has the key itself, this once. An admin grants roles in its own tenants.",
            group="Keys",
            body=NewKeyBody,
            answers={201: Answer("It is made.", KeyBody)}
            | problem_answers({403: _NOT_ADMIN + " Or a grant is not the caller's to give.", 409: _FULL}),
        ),
        Operation(
            "DELETE",
            KEY,
            revoke_key,
            summary="Revoke a key",
            description="It is refused from the next request on, by every server.",
            group="Keys",
            parameters={"id": KeyId},
            answers={200: Answer("It is revoked.", KeyBody)} | problem_answers({403: _NOT_ADMIN, 404: _NO_KEY}),
        ),
        Operation(
            "POST",
            KEY + "/rotate",
            rotate_key,
            summary="Rotate a key",
            description="Makes a key in the place of another, of the same principal and with the same grants, which "
            "lives as long, from now on, as the old one was to. The answer has the key itself, this once.",
            group="Keys",
            parameters={"id": KeyId},
            body=RotationBody,
            body_optional=True,
            answers={201: Answer("The new key is made.", KeyBody)}
            | problem_answers(
                {403: _NOT_ADMIN, 404: _NO_KEY + " Or it has ended, or was rotated already.", 409: _FULL}
            ),
        ),
    ]
