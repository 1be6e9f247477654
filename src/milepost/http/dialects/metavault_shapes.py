"""How do a background task, the root of the API and a refusal look in Metavault?"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from milepost import __version__
from milepost.errors import Fault, Invalid, Malformed, ServiceError
from milepost.http.faults import field_name
from milepost.http.problems import status_of
from milepost.task import State, Task
from milepost.times import to_rfc3339

Status: TypeAlias = Literal["Waiting", "Running", "Success", "Failed", "Cancelled"]
_STATUSES: Final[Mapping[State, Status]] = {
    State.SCHEDULED: "Waiting",
    State.BLOCKED: "Waiting",
    State.QUEUED: "Waiting",
    State.RUNNING: "Running",
    State.PAUSED: "Running",
    State.SUCCEEDED: "Success",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
}
_SECTIONS: Final = {
    400: "rfc9110#section-15.5.1",
    401: "rfc9110#section-15.5.2",
    403: "rfc9110#section-15.5.4",
    404: "rfc9110#section-15.5.5",
    405: "rfc9110#section-15.5.6",
    408: "rfc9110#section-15.5.9",
    409: "rfc9110#section-15.5.10",
    413: "rfc9110#section-15.5.14",
    415: "rfc9110#section-15.5.16",
    416: "rfc9110#section-15.5.17",
    421: "rfc9110#section-15.5.20",
    429: "rfc6585#section-4",
    500: "rfc9110#section-15.6.1",
    503: "rfc9110#section-15.6.4",
}
"""Of which RFC, by which the product's framework names kinds of problems."""


class TaskLinks(msgspec.Struct):
    """Where a task leads."""

    result: Annotated[str, Meta(description="Path of the result.")]


_ID: Final = {"pattern": "^[0-9a-f]{32}$"}
_DATE: Final = {"format": "date-time"}
Date = Annotated[str, Meta(description="UTC, with seven fractional digits.", extra_json_schema=_DATE)]


class BackgroundTask(msgspec.Struct, kw_only=True, gc=False):
    """A background task."""

    id: Annotated[str, Meta(extra_json_schema=_ID)]
    status: Status
    type: Annotated[str, Meta(description="The task type, which says what its result is.")]
    creation_date: Date = msgspec.field(name="creationDate")
    last_update_date: Date = msgspec.field(name="lastUpdateDate")
    user_name: Annotated[str, Meta(description="Who began it, for people.")] = msgspec.field(name="userName")
    error: Annotated[str | UnsetType, Meta(description="Why it failed; absent unless it did.")] = UNSET
    links: Annotated[TaskLinks | UnsetType, Meta(description="There while there is a result.")] = msgspec.field(
        name="_links", default=UNSET
    )
    self: Annotated[str | UnsetType, Meta(description="Path of the task; there while there is a result.")] = UNSET


class ApiRoot(msgspec.Struct, kw_only=True, rename="camel"):
    """What serves this API."""

    environment: str = "Production"
    framework_version: str = ""
    version: str = __version__
    informational_version: str = f"Milepost {__version__}"
    client_id: str = ""
    authority: str = ""
    require_https: bool = False
    scope: str = ""
    disable_authentication: Annotated[bool, Meta(description="Whether everybody may call.")]
    self: str


class ProblemDetails(msgspec.Struct, kw_only=True):
    """What is refused (RFC 7807), as the product's framework tells it."""

    type: str
    title: str
    status: int
    detail: str | UnsetType = UNSET
    errors: Annotated[dict[str, list[str]], Meta(description="What is wrong, by field.")] | UnsetType = UNSET


def hex_id(task: Task) -> str:
    """A task's id as the product writes it."""
    return task.id.replace("-", "")


def task_body(task: Task, kind: str, user_name: str, path: str) -> BackgroundTask:
    """The record, of a type that is shown as `kind`; `path` leads to it."""
    has_result = task.result is not None
    return BackgroundTask(
        id=hex_id(task),
        status=_STATUSES[task.state],
        type=kind,
        creation_date=date(task.created_at),
        last_update_date=date(task.updated_at),
        user_name=user_name,
        error=UNSET if task.failure is None else task.failure.message,
        links=TaskLinks(f"{path}/result") if has_result else UNSET,
        self=path if has_result else UNSET,
    )


def date(us: int) -> str:
    """A time as .NET writes it: in ticks, of which a microsecond has ten."""
    return f"{to_rfc3339(us)[:-1]}0Z"


def problem_body(error: ServiceError) -> ProblemDetails:
    """A refusal, with the faults of a request by field."""
    if isinstance(error, Invalid | Malformed):
        return _problem(400, "One or more validation errors occurred.", errors=_errors(error))
    status = status_of(error)
    return _problem(status, HTTPStatus(status).phrase, detail=error.detail)


def _problem(
    status: int, title: str, *, detail: str | UnsetType = UNSET, errors: dict[str, list[str]] | UnsetType = UNSET
) -> ProblemDetails:
    section = _SECTIONS.get(status)
    kind = "about:blank" if section is None else f"https://tools.ietf.org/html/{section}"
    return ProblemDetails(type=kind, title=title, status=status, detail=detail, errors=errors)


def _errors(error: Invalid | Malformed) -> dict[str, list[str]]:
    """All that is wrong with a request, by field; `$` is the body as a whole."""
    faults = error.faults if isinstance(error, Invalid) else (Fault(error.detail),)
    errors: dict[str, list[str]] = {}
    for fault in faults:
        name = fault.parameter or field_name(fault.pointer or "") or "$"
        errors.setdefault(name, []).append(fault.detail)
    return errors
