"""What does a caller of Quant wish, in the words of the service; and what are the service's in Quant's?"""

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec
from msgspec import UNSET

from milepost.errors import Conflict, Fault, Invalid, ServiceError
from milepost.http.dialects.quant_shapes import CreateTaskRequest, Status, UpdateTaskRequest
from milepost.service import TypeInfo
from milepost.start import Start
from milepost.task import Failure, State
from milepost.update import Update

STATUSES: Final[Mapping[State, Status]] = {
    State.SCHEDULED: "pending",
    State.BLOCKED: "blocked",
    State.QUEUED: "pending",
    State.RUNNING: "in_progress",
    State.PAUSED: "in_progress",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
STATES: Final[Mapping[Status, tuple[State, ...]]] = {
    status: tuple(state for state, its in STATUSES.items() if its == status) for status in get_args(Status)
}
_DRIVEN_TO: Final[Mapping[Status, State]] = {
    "pending": State.QUEUED,
    "in_progress": State.RUNNING,
    "completed": State.SUCCEEDED,
    "failed": State.FAILED,
    "cancelled": State.CANCELLED,
    "blocked": State.BLOCKED,
}
DEFAULT_RETRIES: Final = 3

_FIELDS: Final = {
    "tenant": "organisation",
    "type": "assignedAgentId",
    "input": "metadata",
    "list_id": "taskListId",
    "assignee": "assignedAgentId",
    "creator": "createdByAgentId",
    "depends_on": "dependsOn",
    "state": "status",
    "message": "progressMessage",
    "failure": "error",
    "retry_count": "retryCount",
    "max_attempts": "maxRetries",
    "blocked_reason": "blockedReason",
    "blocked_by": "blockedByTaskIds",
}
"""What Quant calls the service's fields."""
_WORDS: Final = {name: word for name, word in _FIELDS.items() if name not in ("tenant", "type", "input")} | {
    str(state): status for state, status in STATUSES.items() if state is not State.PAUSED
}
_WORD: Final = re.compile(r"\b(" + "|".join(_WORDS) + r")\b")


def runs(body: CreateTaskRequest, info: TypeInfo | None) -> bool:
    """Whether the engine is to run it: it has that type, and nobody says that he is at it or was."""
    return info is not None and body.status in ("pending", "blocked")


def start(body: CreateTaskRequest, info: TypeInfo | None, organisation: str, *, type: str, keep: int) -> Start:
    """What is to be created, and kept for `keep` µs after its end.

    `info` is the registered type that the agent is, if it is one; else agents drive tasks of `type`.
    """
    is_run = runs(body, info)
    held = body.status == "blocked"
    max_retries = DEFAULT_RETRIES if body.max_retries is None and not is_run else body.max_retries
    return Start(
        type=type if info is None else info.name,
        runner=None if is_run else "external",
        input=(body.metadata or {}) if is_run else {},
        tenant=organisation,
        title=body.title,
        description=body.description,
        list_id=body.task_list_id,
        assignee=body.assigned_agent_id,
        creator=body.created_by_agent_id,
        metadata=body.metadata,
        depends_on=body.depends_on or (),
        max_attempts=None if max_retries is None else max_retries + 1,
        # One that is pending waits for what it depends on, whoever is to run it.
        state=None if is_run or body.status == "pending" else _DRIVEN_TO[body.status],
        held=is_run and held,
        blocked_reason=body.blocked_reason,
        blocked_by=body.blocked_by_task_ids or (),
        keep_result=keep,
        keep_record=keep,
    )


def change(body: UpdateTaskRequest) -> Update:
    """What is to be changed."""
    said = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}
    given: dict[str, Any] = {_UPDATED.get(name, name): value for name, value in said.items()}
    if "state" in given:
        given["state"] = _DRIVEN_TO[given["state"]]
    if "max_attempts" in given:
        given["max_attempts"] += 1
    if given.get("result") is not None:
        given["result"] = msgspec.Raw(msgspec.json.encode(given["result"]))
    if given.get("failure") is not None:
        given["failure"] = Failure("failed", given["failure"])
    if "blocked_by" in given:
        given["blocked_by"] = given["blocked_by"] or ()
    return Update(**given)


_UPDATED: Final = {
    "task_list_id": "list_id",
    "status": "state",
    "assigned_agent_id": "assignee",
    "progress_message": "message",
    "error": "failure",
    "max_retries": "max_attempts",
    "blocked_by_task_ids": "blocked_by",
}


def message(error: ServiceError) -> str:
    """What is said of a refusal, with fields and states called as Quant does."""
    if isinstance(error, Invalid):
        return " ".join(f"{_place(fault)}{fault.detail}" for fault in error.faults)
    if isinstance(error, Conflict):
        return _WORD.sub(lambda match: _WORDS[match[0]], error.detail)
    return error.detail


def _place(fault: Fault) -> str:
    """Where the fault is: `metadata.folder: `, `dependsOn[0]: `."""
    if fault.parameter is not None or not fault.pointer:
        return f"{fault.parameter}: " if fault.parameter else ""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in fault.pointer[1:].split("/")]
    first = _FIELDS.get(steps[0], steps[0])
    if first == "error":
        return "error: "
    rest = "".join(f"[{step}]" if step.isdecimal() else f".{step}" for step in steps[1:])
    return f"{first}{rest}: "
