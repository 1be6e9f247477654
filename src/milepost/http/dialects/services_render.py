"""How do the record, and what happened to a task, read in the Services API?"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from milepost import trigger as triggers
from milepost.http.dialects.services_parse import KEPT
from milepost.http.dialects.services_shapes import Code, EntryBody, StateBody, TaskBody
from milepost.task import Entry, FileResult, State, Task
from milepost.times import to_rfc3339

CODES: Final[Mapping[State, Code]] = {
    State.SCHEDULED: "READY",
    State.BLOCKED: "READY",
    State.QUEUED: "READY",
    State.RUNNING: "INPROGRESS",
    State.PAUSED: "INPROGRESS",
    State.SUCCEEDED: "DONE",
    State.FAILED: "ERROR",
    State.CANCELLED: "ERROR",
}


def states_of(code: Code) -> tuple[State, ...]:
    """The states that read so."""
    return tuple(state for state, its in CODES.items() if its == code)


def task_body(task: Task, *, chain: int, logs: Iterable[EntryBody], last_run: int | None) -> TaskBody:
    """The record; `last_run` is when its last run began, in µs."""
    return TaskBody(
        id=task.number,
        chain=chain,
        desc=task.title or task.description or "",
        state=state_body(task, last_run),
        trigger=_trigger(task) if (kept := _kept(task, "trigger")) is None else kept,
        target=target_of(task),
        logs=list(logs),
        debug=task.debug or "",
        version=task.version,
        result=task.result.name if isinstance(task.result, FileResult) else "",
    )


def state_body(task: Task, last_run: int | None) -> StateBody:
    """Where a task stands; `last_run` is when its last run began, in µs."""
    last_run_date = None if last_run is None else date(last_run)
    return StateBody(CODES[task.state], last_run_date, date(task.updated_at), date(task.created_at))


def target_of(task: Task) -> dict[str, Any]:
    """The target as it was sent.

    Of a task that was begun elsewhere only the action: its input may be large, and is not read along with the record.
    """
    return _kept(task, "target") or {"action": task.type}


def _kept(task: Task, name: str) -> dict[str, Any] | None:
    """What was sent, unless somebody has changed the metadata since to what could not have been."""
    kept = (task.metadata or {}).get(KEPT)
    value = kept.get(name) if isinstance(kept, dict) else None
    return value if isinstance(value, dict) else None


def _trigger(task: Task) -> dict[str, Any]:
    trigger = task.trigger
    if trigger is None:
        # Later it is when the next try is due, or when somebody had it run.
        is_first = task.state is State.SCHEDULED and task.attempt == 0 and task.run_at is not None
        return {"once": date(task.run_at)} if is_first else {}
    said: dict[str, Any] = triggers.render(trigger)
    once = trigger.anchor if trigger.once is None else trigger.once
    return said if once is None else {"once": date(once), **{n: v for n, v in said.items() if n != "once"}}


def entry_body(entry: Entry) -> EntryBody | None:
    """A state or an outcome; None for a change between states that read alike here: every task begins as READY."""
    if entry.kind == "outcome":
        fields = entry.fields or {}
        done, errors, skips = (fields.get(name) or 0 for name in ("done", "failed", "skipped"))
        total = fields.get("total")
        return EntryBody(
            errors=errors,
            msg=entry.message,
            skips=skips,
            success=max(0, done - errors - skips),
            time=date(entry.time),
            total=done if total is None else total,
        )
    source: Code = "READY" if entry.source is None else CODES[entry.source]
    if entry.target is None or source == CODES[entry.target]:
        return None
    return EntryBody(msg=f"{source} -> {CODES[entry.target]}", time=date(entry.time))


@lru_cache(maxsize=8192)
def date(us: int) -> str:
    """A time in UTC, to the whole second."""
    return to_rfc3339(us)[:19] + "Z"
