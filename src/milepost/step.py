"""What is one change of a record, and which changes are legal from which state?

Every change that `milepost.lifecycle` has goes through `step`, which holds it against the table `LEGAL`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from milepost.task import TERMINAL, Counts, Entry, State, Task

_S = State
_WAITING: Final = frozenset({_S.SCHEDULED, _S.BLOCKED, _S.QUEUED})
_NOT_STARTED: Final = frozenset({_S.SCHEDULED, _S.QUEUED})
_LIVE: Final = frozenset(_S) - TERMINAL
_REPEATABLE: Final = TERMINAL - {_S.CANCELLED}


def _to(sources: Iterable[State], *targets: State) -> dict[State, frozenset[State]]:
    return {source: frozenset(targets) for source in sources}


LEGAL: Final[Mapping[str, Mapping[State, frozenset[State]]]] = {
    "enqueue": _to([_S.SCHEDULED], _S.QUEUED),
    "block": _to(_WAITING, _S.BLOCKED),
    "unblock": _to([_S.BLOCKED], *_NOT_STARTED),
    "claim": _to([_S.QUEUED], _S.RUNNING),
    "report": _to([_S.RUNNING], _S.RUNNING),
    "park": _to([_S.RUNNING], _S.QUEUED, _S.PAUSED, _S.BLOCKED, _S.CANCELLED),
    "lose": _to([_S.RUNNING], _S.QUEUED, _S.PAUSED, _S.FAILED, _S.CANCELLED),
    "succeed": _to([_S.RUNNING], _S.SUCCEEDED),
    "fail": _to([_S.RUNNING], _S.FAILED, _S.CANCELLED, _S.PAUSED, *_NOT_STARTED),
    "fail_dependency": _to([_S.BLOCKED], _S.FAILED),
    "miss_start": _to(_WAITING, _S.FAILED),
    "cancel": {**_to([*_WAITING, _S.PAUSED, _S.CANCELLED], _S.CANCELLED), **_to([_S.RUNNING], _S.RUNNING)},
    "pause": {**_to([*_NOT_STARTED, _S.PAUSED], _S.PAUSED), **_to([_S.RUNNING], _S.RUNNING)},
    "resume": {**_to([_S.PAUSED], *_NOT_STARTED), **{s: frozenset({s}) for s in (*_NOT_STARTED, _S.RUNNING)}},
    "retry": _to([_S.FAILED, _S.CANCELLED], _S.BLOCKED, _S.QUEUED),
    "run_now": {
        **_to([_S.SCHEDULED, _S.QUEUED, _S.SUCCEEDED], _S.QUEUED),
        **_to([_S.RUNNING], _S.RUNNING),
        **_to([_S.FAILED, _S.CANCELLED], _S.BLOCKED, _S.QUEUED),
    },
    "end_repetition": {s: frozenset({s}) for s in _REPEATABLE},
    "next_run": _to(_REPEATABLE, _S.QUEUED),
    "relabel": {s: frozenset({s}) for s in _S},
    "expire_result": {s: frozenset({s}) for s in TERMINAL},
    "count": {s: frozenset({s}) for s in _LIVE},
    "drive": {**_to(_LIVE, *_S), **_to(TERMINAL, _S.QUEUED)},
}
"""For each change: the states that it may start from, and where each may lead."""


class IllegalChange(Exception):
    """A change that is not legal from the state that the task is in."""

    def __init__(self, change: str, task: Task, why: str = "") -> None:
        self.change = change
        self.state = task.state
        self.why = why or _why(change, task)
        super().__init__(self.why)


def _why(change: str, task: Task) -> str:
    """Why not, and for what callers ask what they can do instead."""
    state = task.state
    if change == "retry":
        return f"Only a failed or cancelled task can be retried; this one is {state}."
    if state is _S.BLOCKED and change in _OF_BLOCKED:
        return _OF_BLOCKED[change]
    if state in TERMINAL and change in ("pause", "resume", "cancel"):
        more = ""
        if task.next_run_at is not None:
            more = " It will run again: a cancel ends that, and its type can be paused."
        elif change == "resume" and state is not _S.SUCCEEDED:
            more = " A retry lets it begin again."
        return f"The task has ended, as {state}: there is nothing to {change}.{more}"
    return f"A task that is {state} can't {change.replace('_', ' ')}."


_OF_BLOCKED: Final = {
    "pause": "The task is blocked: it waits already, without a slot. Pause what it waits for, or cancel it.",
    "resume": "The task is blocked, and not paused: it goes on when what it waits for has ended, or a client frees it.",
    "run_now": "The task is blocked: it runs when what it waits for has ended, or a client frees it.",
}


class Step(NamedTuple):
    """What a change makes of a task. `UNSET` leaves a cold part as it is, None clears it."""

    task: Task
    entries: Sequence[Entry] = ()
    checkpoint: bytes | None | UnsetType = UNSET
    traceback: str | None | UnsetType = UNSET


class Report(msgspec.Struct, frozen=True):
    """What a running task tells of itself since the last report; None where nothing was said."""

    progress: float | None = None
    message: str | None = None
    counts: Counts | None = None
    entries: tuple[Entry, ...] = ()
    checkpoint: bytes | UnsetType = UNSET

    def onto(self, task: Task) -> Task:
        """The record with what this report says, version unchanged."""
        return replace(
            task,
            progress=task.progress if self.progress is None else min(1.0, max(0.0, self.progress)),
            message=task.message if self.message is None else self.message,
            counts=self.counts or task.counts,
        )


NOTHING: Final = Report()


def step(
    change: str,
    task: Task,
    now: int,
    state: State | None = None,
    entries: Sequence[Entry] = (),
    checkpoint: bytes | None | UnsetType = UNSET,
    traceback: str | None | UnsetType = UNSET,
    **fields: Any,
) -> Step:
    """The one place where a record changes: checks the table, raises the version, writes the state's entry.

    A result whose retention is over has expired first: readers may have seen that already, under a version of its own.
    """
    target = task.state if state is None else state
    if target not in LEGAL[change].get(task.state, ()):
        raise IllegalChange(change, task)
    before = as_of(task, now)
    after = replace(before, state=target, version=before.version + 1, updated_at=max(now, before.updated_at), **fields)
    if target is not task.state:
        moved = Entry(now, "state", after.attempt, source=task.state, target=target)
        entries = (*entries, moved)
    return Step(after, entries, checkpoint, traceback)


def expire_result(task: Task) -> Step:
    """The result's retention is over. Happens at `result_expires_at`, whenever it is noticed."""
    if task.result is None or task.result_expires_at is None:
        raise IllegalChange("expire_result", task, "The task has no result that expires.")
    return step("expire_result", replace(task, result=None), task.result_expires_at)


def as_of(task: Task, now: int) -> Task:
    """The record as it stands at `now`: a result past its retention is gone, whether or not a loop has said so yet."""
    if task.result is not None and task.result_expires_at is not None and task.result_expires_at <= now:
        return expire_result(task).task
    return task
