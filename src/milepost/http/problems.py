"""How are refusals told: as RFC 9457 problem details, and what in them holds for every dialect?

A problem's `type` is `/problems/<code>` wherever the application is mounted: it names the kind of problem, and clients
compare it as it stands.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from milepost import errors
from milepost.errors import Fault, Invalid, ServiceError
from milepost.http import errors as http_errors
from milepost.http.dialect import Answer, Refusals
from milepost.http.errors import MethodNotAllowed, RangeNotSatisfiable, TooSlow, UnsupportedMediaType

PROBLEM_JSON: Final = "application/problem+json"
TYPES: Final = "/problems/"

STATUSES: Final[dict[type[ServiceError], int]] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    http_errors.MethodNotAllowed: 405,
    http_errors.TooSlow: 408,
    errors.Conflict: 409,
    errors.NotReady: 409,
    errors.UniqueKeyConflict: 409,
    errors.DependentsConflict: 409,
    errors.ParentLost: 409,
    errors.ParentStopping: 409,
    errors.TooManyKeys: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    http_errors.UnsupportedMediaType: 415,
    http_errors.RangeNotSatisfiable: 416,
    http_errors.Misdirected: 421,
    errors.Invalid: 422,
    errors.KeyConflict: 422,
    errors.TooMany: 429,
    errors.TooManyWrongKeys: 429,
    http_errors.Internal: 500,
    errors.NotOpen: 503,
    errors.Unavailable: 503,
}
"""The HTTP status of each refusal."""

_RETRY_AFTER: Final = {errors.NotReady: "2", errors.Unavailable: "1"}
"""Seconds after which asking again makes sense."""


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong (RFC 9457)."""

    type: Annotated[str, Meta(description="Names the kind of problem; stable, for programs.")]
    title: Annotated[str, Meta(description="The kind of problem, for people.")]
    status: int
    detail: Annotated[str, Meta(description="What is wrong with this request.")]
    errors: Annotated[list[Fault], Meta(description="All that is wrong with the request, each with its place.")] | (
        UnsetType
    ) = UNSET
    state: Annotated[str, Meta(description="The state that does not allow what was asked.")] | UnsetType = UNSET
    task: Annotated[str, Meta(description="The id of the task that stands in the way.")] | UnsetType = UNSET
    dependents: Annotated[list[str], Meta(description="The ids of the tasks that depend on this one.")] | UnsetType = (
        UNSET
    )


REFUSALS: Final = Refusals(Problem, media_type=PROBLEM_JSON)
"""How they look, to documents."""


def status_of(error: ServiceError) -> int:
    """The usual HTTP status of a refusal."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def headers_of(error: ServiceError) -> dict[str, str]:
    """The headers that go with a refusal, whatever words it is told in."""
    match error:
        case MethodNotAllowed():
            return {"allow": ", ".join(error.allowed)}
        case UnsupportedMediaType(accepted=accepted) if accepted:
            return {"accept": ", ".join(accepted)}
        case RangeNotSatisfiable():
            return {"content-range": f"bytes */{error.size}"}
        case errors.TooMany():
            return {"retry-after": str(error.retry_after)}
        case TooSlow():
            return {"connection": "close"}  # what is still to come of it is not waited for
        case errors.Unauthenticated():
            return {"www-authenticate": "Bearer"}
    return {"retry-after": _RETRY_AFTER[type(error)]} if type(error) in _RETRY_AFTER else {}


def problem_body(error: ServiceError) -> dict[str, Any]:
    """A refusal as the members of a `Problem`."""
    body: dict[str, Any] = {
        "type": TYPES + error.code,
        "title": error.title,
        "status": status_of(error),
        "detail": error.detail,
    }
    return body | ({"errors": error.faults} if isinstance(error, Invalid) else error.facts)


def problem_details(error: ServiceError) -> Response:
    """A refusal as problem details."""
    body = problem_body(error)
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"} | headers_of(error)
    return Response(msgspec.json.encode(body), body["status"], headers, PROBLEM_JSON)


def problem_answers(texts: Mapping[int, str], body: type = Problem) -> dict[int, Answer]:
    """For documents: the refusals that an operation has of its own, by status. `body` is what tells them."""
    return {status: Answer(text, body, media_type=PROBLEM_JSON) for status, text in texts.items()}
