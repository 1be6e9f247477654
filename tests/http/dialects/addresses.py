"""Where is a task in each dialect, and what of the answer says how far it is?"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from milepost.service import Service
from milepost.task import State, Task

TENANT: Final = "1764"
"""A tenant that all dialects can name: its name is its number."""


class Reading(NamedTuple):
    """How one dialect reads a task."""

    path: Callable[[str, int, str], str]
    """Of a task by its id, its number and its token."""
    state: Callable[[Any], Any]
    """What the body says."""
    words: tuple[str, ...]
    """For each state, in their order."""


READINGS: Final[Mapping[str, Reading]] = {
    "native": Reading(
        lambda task_id, number, token: f"/v1/tasks/{task_id}",
        lambda body: body["state"],
        tuple(state.value for state in State),
    ),
    "metavault": Reading(
        lambda task_id, number, token: f"/api/projects/{TENANT}/tasks/{task_id.replace('-', '')}",
        lambda body: body["status"],
        ("Waiting", "Waiting", "Waiting", "Running", "Running", "Success", "Failed", "Cancelled"),
    ),
    "services": Reading(
        lambda task_id, number, token: f"/tasks/{number}?chain={TENANT}",
        lambda body: body["state"]["code"],
        ("READY", "READY", "READY", "INPROGRESS", "INPROGRESS", "DONE", "ERROR", "ERROR"),
    ),
    "aparavi": Reading(
        lambda task_id, number, token: f"/task?token={token}&type=cpu",
        lambda body: body["data"]["status"],
        ("Created", "Created", "Created", "Running", "Paused", "Completed", "Failed", "Cancelled"),
    ),
    "cloudcoin": Reading(
        lambda task_id, number, token: f"/api/v1/tasks/{task_id}",
        lambda body: body["payload"]["status"],
        ("running", "running", "running", "running", "running", "completed", "error", "error"),
    ),
    "quant": Reading(
        lambda task_id, number, token: f"/api/v3/organizations/{TENANT}/ai/tasks/{task_id}",
        lambda body: body["status"],
        ("pending", "blocked", "pending", "in_progress", "in_progress", "completed", "failed", "cancelled"),
    ),
}


async def paths(service: Service, task: Task) -> dict[str, str]:
    """Where a task is read, by dialect."""
    token = await service.token_of(task)
    return {name: reading.path(task.id, task.number, token) for name, reading in READINGS.items()}
