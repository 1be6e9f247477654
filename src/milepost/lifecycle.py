"""Which change of a task is legal from which state, and what does it do to the record?

Every function here is pure: it takes a record and the time, and gives a `Step`: the record after the change with its
version raised by one, the log entries that the change writes, and what it does to the cold parts. A change that is not
in `LEGAL`, or whose time has not come, raises `IllegalChange`. Stores apply these functions inside their transactions
and hold no rule themselves.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from milepost.ending import end, ending
from milepost.step import LEGAL as LEGAL  # who applies changes takes these from here
from milepost.step import NOTHING as NOTHING
from milepost.step import IllegalChange as IllegalChange
from milepost.step import Report as Report
from milepost.step import Step as Step
from milepost.step import as_of as as_of
from milepost.step import expire_result as expire_result
from milepost.step import step
from milepost.task import TERMINAL, Counts, Entry, Failure, FileResult, JsonResult, State, Task, at_a_try

MAX_LOSSES: Final = 3
"""After so many losses that may be its own doing a task fails: it takes down what runs it."""
DEPENDENCY_FAILED: Final = "dependency_failed"
"""The failure code of a task that failed because of one that it waited for."""


def begin(task: Task, *, now: int, state: State | None = None) -> Step:
    """A new record in its first state.

    It is blocked while it waits for others or a client holds it, scheduled until `run_at`, otherwise queued; an
    external task may begin in any `state` that its client says.
    """
    if state is not None and task.runner != "external":
        raise IllegalChange("begin", task, "The engine runs this task, no client can say where it begins.")
    first = state or _ready_state(task, now)
    task = replace(task, state=first, version=1, created_at=now, updated_at=now)
    if first is State.BLOCKED:
        task = replace(task, blocked_at=now, held=task.held or state is State.BLOCKED)
    else:
        task = replace(task, **_FREE)
    if first is State.RUNNING:
        task = replace(task, leased_until=_leased_until(task, now), **_taken(task, now))
    elif first in TERMINAL:
        task = replace(task, **ending(task, first, now))
    return Step(task, (Entry(now, "state", task.attempt, target=first),))


def _ready_state(task: Task, now: int) -> State:
    if task.held or task.blocked_by:
        return State.BLOCKED
    if task.run_at is not None and task.run_at > now:
        return State.SCHEDULED
    return State.QUEUED


def enqueue(task: Task, *, now: int) -> Step:
    """A scheduled task's time has come."""
    if task.run_at is not None and task.run_at > now:
        raise IllegalChange("enqueue", task, "The task's time has not come yet.")
    return step("enqueue", task, now, State.QUEUED)


def block(task: Task, *, now: int, blocked_by: tuple[str, ...], reason: str | None, held: bool) -> Step:
    """It now waits for `blocked_by`, or (`held`, or when there is nothing else to wait for) until a client frees it."""
    return step(
        "block",
        task,
        now,
        State.BLOCKED,
        blocked_by=blocked_by,
        blocked_reason=reason,
        blocked_at=task.blocked_at if task.state is State.BLOCKED else now,
        held=held or not blocked_by,
    )


def unblock(task: Task, *, now: int) -> Step:
    """Nothing holds it any more."""
    free = replace(task, blocked_by=(), held=False)
    return step("unblock", task, now, _ready_state(free, now), **_FREE)


_FREE: Final[dict[str, Any]] = {"blocked_by": (), "blocked_reason": None, "blocked_at": None, "held": False}


def claim(task: Task, *, now: int, worker: str, can_run_apart: bool = True) -> Step:
    """A worker takes it: a new epoch, and a new attempt unless the last one was parked, released or lost.

    Once it has been lost it runs apart, in a process of its own, so that its neighbours live; `can_run_apart` says
    whether another process can find its function.
    """
    if task.runner == "external":
        raise IllegalChange("claim", task, "No worker runs this task, its client does.")
    apart = task.runner == "process" or (can_run_apart and task.losses > 0)
    taken = _taken(task, now)
    return step("claim", task, now, State.RUNNING, epoch=task.epoch + 1, worker=worker, apart=apart, **taken)


def _taken(task: Task, now: int) -> dict[str, Any]:
    """What every start of work sets."""
    return {
        "attempt": task.attempt if task.continues else task.attempt + 1,
        "continues": False,
        "started_at": task.started_at or now,
    }


def report(task: Task, *, now: int, report: Report) -> Step:
    """The running task says how far it is, logs, or saves its state."""
    return step("report", report.onto(task), now, entries=report.entries, checkpoint=report.checkpoint)


def park(task: Task, *, now: int, report: Report = NOTHING, waits_for: tuple[str, ...] = ()) -> Step:
    """The work stopped at a checkpoint, and carries on from there.

    For the cancel or pause that was requested; else to wait for the ends of tasks that it started (`waits_for`), or
    because its worker goes.
    """
    task = report.onto(task)
    if task.cancel_requested:
        return end("park", task, now, State.CANCELLED, report)
    if task.pause_requested:
        return _leave("park", task, now, State.PAUSED, report, continues=True)
    if waits_for:
        return _leave("park", task, now, State.BLOCKED, report, continues=True, blocked_by=waits_for, blocked_at=now)
    return _leave("park", task, now, State.QUEUED, report, continues=True)


def lose(task: Task, *, now: int, how: str = "worker lost", report: Report = NOTHING, in_company: bool = False) -> Step:
    """Its lease ended before its work did: queued again, until `MAX_LOSSES` of its losses may have been its own doing.

    That was the doing of others if it ran apart and these were lost with their worker too (`in_company`).
    """
    losses = task.losses + 1
    own_losses = task.own_losses + (not (task.apart and in_company))
    lost = Entry(now, "outcome", task.attempt, "warning", how, {"losses": losses})
    task = report.onto(task)
    if task.cancel_requested:
        return end("lose", task, now, State.CANCELLED, report, losses=losses, own_losses=own_losses)
    if own_losses >= MAX_LOSSES and task.runner != "external":
        failure = Failure("worker_lost", f"What ran this task was lost {own_losses} times ({how}).")
        return end("lose", task, now, State.FAILED, report, losses=losses, own_losses=own_losses, failure=failure)
    state = State.PAUSED if task.pause_requested else State.QUEUED
    told = replace(report, entries=(*report.entries, lost))
    return _leave("lose", task, now, state, told, continues=True, losses=losses, own_losses=own_losses)


def succeed(task: Task, *, now: int, result: JsonResult | FileResult | None = None, report: Report = NOTHING) -> Step:
    """The work is done."""
    return end("succeed", report.onto(task), now, State.SUCCEEDED, report, result=result)


def fail(
    task: Task,
    *,
    now: int,
    failure: Failure,
    retry_in: int | None = None,
    report: Report = NOTHING,
    traceback: str | None = None,
) -> Step:
    """A try failed: another one after `retry_in` microseconds while attempts are left, else the task failed."""
    task = report.onto(task)
    if retry_in is None or task.attempt >= task.max_attempts:
        return end("fail", task, now, State.FAILED, report, traceback=traceback, failure=failure)
    if task.cancel_requested:
        return end("fail", task, now, State.CANCELLED, report, traceback=traceback)
    state = State.SCHEDULED if retry_in > 0 else State.QUEUED
    if task.pause_requested:
        state = State.PAUSED
    failed = Entry(now, "outcome", task.attempt, "error", failure.message, {"code": failure.code})
    told = replace(report, entries=(*report.entries, failed))
    return _leave("fail", task, now, state, told, traceback=traceback, run_at=now + retry_in)


def fail_dependency(task: Task, *, now: int, reason: str) -> Step:
    """A task that it waits for ended without success; `reason` names it and says how."""
    failure = Failure(DEPENDENCY_FAILED, reason)
    return end("fail_dependency", task, now, State.FAILED, failure=failure, **_FREE)


def missed_start(task: Task, now: int) -> bool:
    """Whether it was to start by a time that has passed. One that did start, and waits for its next try, has met it."""
    return task.start_by is not None and task.start_by <= now and task.started_at is None


def miss_start(task: Task, *, now: int) -> Step:
    """It was to start by a time that has passed: see `missed_start`."""
    if not missed_start(task, now):
        raise IllegalChange("miss_start", task, "The task did not miss a time that it was to start by.")
    failure = Failure("start_by_passed", "The task could not start by the time given in start_by.")
    return end("miss_start", task, now, State.FAILED, failure=failure, **_FREE)


def cancel(task: Task, *, now: int) -> Step:
    """A running task is asked to stop; any other stops now; a repeating one between runs does not run again.

    Asking once more changes nothing.
    """
    if task.state is State.CANCELLED or (task.state is State.RUNNING and task.cancel_requested):
        return Step(task)
    if task.state is State.RUNNING:
        return step("cancel", task, now, cancel_requested=True)
    if task.state in TERMINAL and task.next_run_at is not None:
        keep = max(now, task.finished_at or now) + task.keep_record
        return step("end_repetition", task, now, next_run_at=None, expires_at=keep)
    return end("cancel", task, now, State.CANCELLED, **_FREE)


def has_begun(task: Task) -> bool:
    """Whether work on it has ever begun, or never will."""
    return task.state in TERMINAL or task.epoch > 0 or task.started_at is not None


def drop(task: Task, *, now: int) -> Step:
    """The server that took it goes, which it was not to outlive: cancelled, but for one that has begun by then."""
    return Step(task) if has_begun(task) else cancel(task, now=now)


def reaches_children(before: Task, after: Task) -> bool:
    """Whether a change of a task cancels those that it started too."""
    is_asked = after.cancel_requested and not before.cancel_requested
    return is_asked or (after.state is State.CANCELLED and before.state is not State.CANCELLED)


def pause(task: Task, *, now: int) -> Step:
    """A running task is asked to stop at its next checkpoint; one that waits to run is paused at once."""
    if task.state is State.PAUSED or (task.state is State.RUNNING and task.pause_requested):
        return Step(task)
    if task.state is State.RUNNING:
        return step("pause", task, now, pause_requested=True)
    return step("pause", task, now, State.PAUSED)


def resume(task: Task, *, now: int) -> Step:
    """A paused task is queued again; a pause that was only requested is taken back."""
    if task.state is State.PAUSED:
        return step("resume", task, now, _ready_state(task, now))
    if task.state in LEGAL["resume"] and not task.pause_requested:
        return Step(task)
    return step("resume", task, now, pause_requested=False)


def retry(task: Task, *, now: int, unmet: tuple[str, ...] = ()) -> Step:
    """A failed or cancelled task begins again with all its attempts; what it saved, it finds again."""
    return _retry("retry", task, now, unmet)


def _retry(change: str, task: Task, now: int, unmet: tuple[str, ...]) -> Step:
    fresh = replace(_afresh(task, now), run_at=None, blocked_by=unmet, blocked_at=now if unmet else None)
    return step(change, fresh, now, _ready_state(fresh, now), traceback=None)


def _afresh(task: Task, now: int) -> Task:
    """The record with the room that a new beginning needs, version unchanged but for a result that expired before."""
    return replace(
        as_of(task, now),
        attempt=0,
        losses=0,
        own_losses=0,
        continues=False,
        progress=0.0,
        message=None,
        counts=Counts(),
        next_run_at=None,
        started_at=None,
        finished_at=None,
        result_expires_at=None,
        expires_at=None,
        result=None,
        failure=None,
        start_by=None,
    )


def next_run(task: Task, *, now: int) -> Step:
    """A repeating task's next run is due: the record of the last one makes room."""
    if task.next_run_at is None or task.next_run_at > now:
        raise IllegalChange("next_run", task, "The task has no run that is due.")
    return _next_run("next_run", task, now, run_at=task.next_run_at)


def _next_run(change: str, task: Task, now: int, *, run_at: int) -> Step:
    # Each run may fill the log anew; what the last ones wrote stays.
    fresh = replace(_afresh(task, now), run=task.run + 1, run_at=run_at, log_bytes=0, log_dropped=0)
    return step(change, fresh, now, State.QUEUED, checkpoint=None, traceback=None)


def run_now(task: Task, *, now: int, unmet: tuple[str, ...] = ()) -> Step:
    """It is to run now: ahead of its time, anew where it failed or was cancelled, once more where it succeeded.

    The times at which a repeating task is due stay as they are. One that is queued or runs is left alone.
    """
    if task.runner == "external":
        raise IllegalChange("run_now", task, "Its client carries this task out; nobody here can run it.")
    if task.state in (State.QUEUED, State.RUNNING):
        return Step(task)
    if task.state is State.SCHEDULED:
        return step("run_now", task, now, State.QUEUED, run_at=now)
    if task.state is State.SUCCEEDED or task.next_run_at is not None:
        return _next_run("run_now", task, now, run_at=now)
    return _retry("run_now", task, now, unmet)


def relabel(task: Task, *, now: int, **labels: Any) -> Step:
    """Its labels change (title, description, list_id, metadata, assignee), in any state."""
    return step("relabel", task, now, **labels)


def count(task: Task, *, now: int, counts: Counts) -> Step:
    """What was delivered to an external task has added up to this. Its log does not speak of it: each has its own."""
    if task.runner != "external":
        raise IllegalChange("count", task, "The engine runs this task, which counts for itself.")
    return step("count", task, now, counts=counts, progress=counts.done / counts.total if counts.total else 0.0)


def drive(
    task: Task,
    *,
    now: int,
    state: State,
    result: JsonResult | FileResult | None = None,
    failure: Failure | None = None,
    report: Report = NOTHING,
    retry_count: int | None = None,
    **fields: Any,
) -> Step:
    """The client of an external task says where it is. From a terminal state only back to queued: a retry.

    Work that it pauses or blocks carries on later with the same attempt. It may count its retries itself.
    """
    if task.runner != "external":
        raise IllegalChange("drive", task, "The engine runs this task, no client can say where it is.")
    if state not in LEGAL["drive"][task.state]:
        raise IllegalChange("drive", task, f"A task that is {task.state} can't become {state}.")
    fields |= _waiting(task, now, fields) if state is State.BLOCKED else _FREE
    if state in TERMINAL:
        if retry_count is None and task.attempt:
            retry_count = task.retry_count
        fields |= _counted(state, retry_count, continues=False)
        return end("drive", report.onto(task), now, state, report, result=result, failure=failure, **fields)
    if state is State.RUNNING:
        fields["leased_until"] = _leased_until(task, now)
        if task.state is not State.RUNNING:
            fields |= _taken(task, now)
    elif task.state is State.RUNNING:
        fields["continues"] = state in (State.PAUSED, State.BLOCKED)
    elif task.state in TERMINAL:
        task = replace(_afresh(task, now), attempt=task.attempt)  # its client counts on
    fields |= _counted(state, retry_count, continues=fields.get("continues", task.continues))
    return _leave("drive", report.onto(task), now, state, report, **fields)


def _counted(state: State, retry_count: int | None, *, continues: bool) -> dict[str, Any]:
    """The attempt by which a record in this state shows so many retries, and still does once it starts."""
    return {} if retry_count is None else {"attempt": retry_count + at_a_try(state, continues=continues)}


def discard(task: Task, *, now: int) -> Step:
    """It ends at once, cancelled, as it is to be deleted: no worker may be at it."""
    if task.runner == "external":
        return drive(task, now=now, state=State.CANCELLED)
    if task.state is State.RUNNING:
        raise IllegalChange("cancel", task, "A worker runs this task: it has to stop before it can be deleted.")
    return cancel(task, now=now)


def _waiting(task: Task, now: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What blocks a task that its client drives: the client, unless that only speaks of one that waits for others."""
    enters = task.state is not State.BLOCKED
    for_others = fields.get("blocked_by", task.blocked_by)
    return {
        "blocked_at": now if enters else task.blocked_at,
        "held": fields.get("held", enters or task.held) or not for_others,
    }


def _leased_until(task: Task, now: int) -> int | None:
    return None if task.lease_seconds is None else now + task.lease_seconds * 1_000_000


def _leave(
    change: str,
    task: Task,
    now: int,
    state: State,
    report: Report,
    traceback: str | None | UnsetType = UNSET,
    **fields: Any,
) -> Step:
    """The lease ends, the task does not."""
    released: dict[str, Any] = {"worker": None, "leased_until": None}
    if state is not State.RUNNING:
        released |= {"cancel_requested": False, "pause_requested": False}
    return step(
        change,
        task,
        now,
        state,
        entries=report.entries,
        checkpoint=report.checkpoint,
        traceback=traceback,
        **(released | fields),
    )
