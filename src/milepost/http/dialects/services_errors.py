"""How does the Services API say no?"""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

from milepost.errors import Fault, Forbidden, Invalid, NotFound, ServiceError, Unauthenticated
from milepost.http.dialect import JSON
from milepost.http.dialects.services_shapes import ErrorBody, ErrorFacts
from milepost.http.errors import NO_SUCH_PATH
from milepost.http.problems import headers_of, status_of

NO_TASK: Final = "No task exists with the specified ID for this chain."
NO_RIGHT: Final = "No valid authentication provided or insufficient permissions."

CODES: Final[Mapping[str, tuple[int, str]]] = {
    "unauthenticated": (1, "authentication_failure"),
    "forbidden": (1, "authentication_failure"),
    "not-found": (2, "task_not_found"),
    "invalid-request": (3, "invalid_parameter"),
    "malformed-request": (4, "malformed_request"),
    "conflict": (5, "invalid_task_state"),
    "not-ready": (6, "no_result_yet"),
    "gone": (7, "result_expired"),
    "unique-key-taken": (8, "unique_key_taken"),
    "method-not-allowed": (9, "method_not_allowed"),
    "too-large": (10, "request_too_large"),
    "unsupported-media-type": (11, "unsupported_media_type"),
    "misdirected-request": (12, "misdirected_request"),
    "internal-error": (13, "internal_error"),
    "not-open": (14, "not_open"),
    "unavailable": (15, "unavailable"),
    "too-many-requests": (17, "too_many_requests"),
    "too-many-wrong-keys": (18, "too_many_wrong_keys"),
    "request-timeout": (19, "request_timeout"),
}
"""The number and name of each refusal, by its code in `milepost.errors`. Stable: new ones get new numbers."""

NO_PATH: Final = (16, "path_not_found")
OTHER: Final = (99, "refused")

_FIELDS: Final[Mapping[str, str]] = {
    "type": "target/action",
    "input": "target",
    "title": "desc",
    "run_at": "trigger/once",
    "tenant": "chain",
}
"""What the fields of a start are called here, where that is another name."""


def refusal(error: ServiceError) -> Response:
    """A refusal in the envelope."""
    code, name = NO_PATH if error.detail == NO_SUCH_PATH else CODES.get(error.code, OTHER)
    body = ErrorBody(error=ErrorFacts(code, name, _description(error)))
    status = 400 if isinstance(error, Invalid) else status_of(error)
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"} | headers_of(error)
    return Response(msgspec.json.encode(body), status, headers, JSON)


def _description(error: ServiceError) -> str:
    match error:
        case Unauthenticated() | Forbidden():
            return NO_RIGHT
        case NotFound() if error.detail != NO_SUCH_PATH:
            return NO_TASK
        case Invalid():
            return " ".join(map(_said, error.faults))
    return error.detail


def _said(fault: Fault) -> str:
    place = fault.parameter or ".".join(map(_unescaped, (fault.pointer or "").split("/")[1:]))
    return f"{place}: {fault.detail}" if place else fault.detail


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def renamed(fault: Fault) -> Fault:
    """A fault of a start, which names the record's fields, with the name of the field that was sent."""
    if fault.pointer is None:
        return fault
    if fault.pointer == "/metadata":  # it keeps these two
        return Fault(fault.detail, parameter="target, trigger")
    field, slash, rest = fault.pointer.removeprefix("/").partition("/")
    return Fault(fault.detail, pointer=f"/{_FIELDS.get(field, field)}{slash}{rest}")
