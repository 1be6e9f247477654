"""In which words do Aparavi's clients expect states and refusals?

Three generations of them disagree. The published page (`page`) says that a task failed. The Node package (`node`) knows
no such state and would wait on: to it, and to the Python package (`python`), what did not succeed is completed, with
errors. The Python package knows an unknown task by status 200 and an error in the body.
"""

import re
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from milepost.access.keyring import Profile
from milepost.errors import Fault, Invalid, Malformed, NotFound, ServiceError, Unauthenticated
from milepost.http.dialect import Refusals
from milepost.task import State, Task

CREATED: Final = "Created"
STATUSES: Final = {
    State.SCHEDULED: CREATED,
    State.BLOCKED: CREATED,
    State.QUEUED: CREATED,
    State.RUNNING: "Running",
    State.PAUSED: "Paused",
    State.SUCCEEDED: "Completed",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
}


def status_word(task: Task, profile: Profile) -> str:
    """Where a task stands."""
    ended = task.state.terminal and profile != "page"
    return STATUSES[State.SUCCEEDED if ended else task.state]


def failure_text(task: Task) -> str | None:
    """Why a task failed; None for one that did not."""
    return (task.failure.message or task.failure.code) if task.failure is not None else None


def errors(task: Task, profile: Profile) -> list[str]:
    """What clients take for a failure. Of a healthy task there are none."""
    failure = failure_text(task)
    if failure is not None:
        return [failure]
    return ["The task was cancelled."] if task.state is State.CANCELLED and profile != "page" else []


_INDEX: Final = re.compile("[0-9]{1,9}")
"""What may be the place of an item; a name may be of digits too, and of more than there are items."""


class TaskNotFound(NotFound):
    """There is no such task, or none that the caller may see."""

    title = "Task not found"

    def __init__(self) -> None:
        super().__init__("The specified task does not exist or has been deleted")


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with a request, as FastAPI says it."""

    loc: list[str | int]
    msg: str
    type: str


class ErrorDetail(msgspec.Struct, frozen=True):
    """A refusal, as the packages read it."""

    message: str
    code: str
    details: str


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal: `error` is a text to clients of the published page."""

    status: Literal["Error"]
    error: str | ErrorDetail
    message: str
    detail: list[FieldError] | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET


REFUSALS: Final = Refusals(ErrorBody)
"""How they look, to documents."""


def error_body(error: ServiceError, profile: Profile, data: dict[str, Any] | UnsetType = UNSET) -> ErrorBody:
    """A refusal in the words of a profile."""
    title, detail, code = error.title, error.detail, _code(error)
    if isinstance(error, Unauthenticated):
        title, detail = "Unauthorized", "Invalid API key"
    fields: list[FieldError] | UnsetType = UNSET
    if isinstance(error, Invalid):
        fields = [_field_error(fault) for fault in error.faults]
        detail = "; ".join(f"{'.'.join(map(str, field.loc))}: {field.msg}" for field in fields)
    said = title if profile == "page" else ErrorDetail(title, code, detail)
    return ErrorBody(status="Error", error=said, message=detail, detail=fields, data=data)


def _code(error: ServiceError) -> str:
    match error:
        case Unauthenticated():
            return "AUTH_INVALID"
        case Invalid() | Malformed():
            return "VALIDATION_ERROR"
        case NotFound():
            return "RESOURCE_NOT_FOUND"
    return error.code.upper().replace("-", "_")


def _field_error(fault: Fault) -> FieldError:
    loc: list[str | int]
    if fault.pointer is not None:
        # What a task takes, and what was sent for it, is the same to these clients.
        steps = fault.pointer.removeprefix("/input").split("/")[1:]
        loc = ["body", *(int(step) if _INDEX.fullmatch(step) else _unescaped(step) for step in steps)]
    elif fault.parameter is not None:
        # Headers are written with capitals, the parameters of this contract without.
        loc = ["query" if fault.parameter.islower() else "header", fault.parameter]
    else:
        loc = ["query"]
    return FieldError(loc, fault.detail, "missing" if fault.detail == "This is required." else "value_error")


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
