"""What does its end do to a task's record?"""

from typing import Any, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from milepost import trigger
from milepost.step import NOTHING, Report, Step, step
from milepost.task import Counts, Entry, Failure, State, Task


def end(
    change: str,
    task: Task,
    now: int,
    state: State,
    report: Report = NOTHING,
    traceback: str | None | UnsetType = UNSET,
    **fields: Any,
) -> Step:
    """The task comes to its end: outcome and state go to the log, retention begins."""
    entries = report.entries
    if task.state is State.RUNNING:
        entries = (*entries, _outcome(task, now, state, fields.get("failure")))
    ended = replace(task, **fields)
    return step(
        change,
        task,
        now,
        state,
        entries=entries,
        checkpoint=report.checkpoint,
        traceback=traceback,
        **(fields | ending(ended, state, now)),
    )


def _outcome(task: Task, now: int, state: State, failure: Failure | None) -> Entry:
    fields: dict[str, Any] = {name: getattr(task.counts, name) for name in Counts.__struct_fields__}
    if failure is not None:
        fields["code"] = failure.code
    message = _OUTCOMES[state] if failure is None else failure.message
    return Entry(now, "outcome", task.attempt, "error" if state is State.FAILED else "info", message, fields)


_OUTCOMES: Final = {State.SUCCEEDED: "success", State.FAILED: "failure", State.CANCELLED: "cancelled"}


def ending(task: Task, state: State, now: int) -> dict[str, Any]:
    """What every end sets. A record that will run again does not expire before it has."""
    # A clock that is behind the one that began the run must not find the run's own due time ahead once more.
    now = max(now, task.updated_at)
    again = _again(task, state, now)
    succeeded = state is State.SUCCEEDED
    return {
        "progress": 1.0 if succeeded else task.progress,
        "has_succeeded": succeeded or task.has_succeeded,
        "finished_at": now,
        "next_run_at": again,
        "result_expires_at": None if task.result is None else now + task.keep_result,
        "expires_at": None if again is not None else now + task.keep_record,
        "cancel_requested": False,
        "pause_requested": False,
        "worker": None,
        "leased_until": None,
    }


def _again(task: Task, state: State, now: int) -> int | None:
    """When it is due once more: not after a cancel, nor after a failure that left what it waits for unmet."""
    unmet = task.state is State.BLOCKED and state is State.FAILED
    if task.trigger is None or state is State.CANCELLED or task.cancel_requested or unmet:
        return None
    first = task.trigger.anchor
    if first is not None and first > now and task.started_at is not None:
        # It ran ahead of its time, which is still to come.
        return first
    return trigger.following(task.trigger, due=first or task.run_at or now, now=now)
