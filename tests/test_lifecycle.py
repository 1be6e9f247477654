"""The life cycle, told three ways: every change from every standing, random lives, and examples to read."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec import UNSET, Raw
from msgspec.structs import asdict, replace

from milepost import lifecycle, trigger
from milepost.lifecycle import LEGAL, MAX_LOSSES, IllegalChange, Report, Step, as_of
from milepost.task import TERMINAL, Counts, Entry, Failure, JsonResult, State, Task
from milepost.times import DAY, HOUR, MINUTE, SECOND, from_rfc3339
from milepost.trigger import Trigger

T = from_rfc3339("2026-11-23T07:00:00Z")
BROKEN = Failure("broken", "It broke.")
ROWS = JsonResult(2, Raw(b"[]"))
DAILY, _ = trigger.first(Trigger(every=DAY), now=T, run_at=None)
HOURLY, _ = trigger.first(Trigger(cron="0 * * * *"), now=T, run_at=None)

_S = State


def draft(**fields: Any) -> Task:
    record: dict[str, Any] = {"id": "task", "tenant": "acme", "owner": "bob", "type": "export"}
    kept = {"created_at": 0, "updated_at": 0, "keep_result": 7 * DAY, "keep_record": 30 * DAY}
    return Task(**(record | kept | fields))


def external(**fields: Any) -> Task:
    return draft(runner="external", lease_seconds=60, **fields)


def queued(**fields: Any) -> Task:
    return lifecycle.begin(draft(**fields), now=T).task


def running(**fields: Any) -> Task:
    return lifecycle.claim(queued(**fields), now=T, worker="w1").task


def failed(**fields: Any) -> Task:
    return lifecycle.fail(running(**fields), now=T, failure=BROKEN).task


# Every change from every standing.

CHANGES: Sequence[tuple[str, dict[str, Any]]] = (
    ("enqueue", {}),
    ("block", {"blocked_by": ("other",), "reason": None, "held": False}),
    ("block", {"blocked_by": (), "reason": "Waits for Ann.", "held": True}),
    ("block", {"blocked_by": (), "reason": None, "held": False}),
    ("unblock", {}),
    ("claim", {"worker": "w1"}),
    ("report", {"report": Report(0.5, "Reading", Counts(1, 2), (Entry(T, "log", 1),), b"1")}),
    ("park", {}),
    ("lose", {}),
    ("succeed", {"result": ROWS}),
    ("succeed", {}),
    ("fail", {"failure": BROKEN}),
    ("fail", {"failure": BROKEN, "retry_in": 0}),
    ("fail", {"failure": BROKEN, "retry_in": HOUR, "traceback": "Traceback"}),
    ("fail_dependency", {"dependency": "other", "why": "deleted"}),
    ("miss_start", {}),
    ("cancel", {}),
    ("pause", {}),
    ("resume", {}),
    ("retry", {}),
    ("retry", {"unmet": ("other",)}),
    ("next_run", {}),
    ("relabel", {"title": "Export", "metadata": {"a": 1}}),
    ("expire_result", {}),
    *(("drive", {"state": state}) for state in State),
    ("drive", {"state": _S.BLOCKED, "blocked_by": ("other",), "blocked_reason": "Waits for Ann."}),
    ("drive", {"state": _S.RUNNING, "report": Report(2.0), "title": "Export"}),
    ("drive", {"state": _S.SUCCEEDED, "result": ROWS, "blocked_reason": "None any more."}),
    ("drive", {"state": _S.FAILED, "failure": BROKEN, "result": ROWS}),
)

BEGINNINGS: Sequence[Step] = (
    lifecycle.begin(draft(max_attempts=2), now=T),
    lifecycle.begin(draft(max_attempts=2, run_at=T + HOUR, start_by=T + 2 * HOUR), now=T),
    lifecycle.begin(draft(blocked_by=("other",), start_by=T + HOUR, trigger=DAILY), now=T),
    lifecycle.begin(draft(trigger=DAILY, run_at=T, keep_result=HOUR, max_attempts=2), now=T),
    *(lifecycle.begin(external(result=ROWS, blocked_by=("other",)), now=T, state=state) for state in State),
)


class Move(NamedTuple):
    """A change that was tried at `now`; `after` is None where it was refused."""

    change: str
    arguments: dict[str, Any]
    before: Task
    now: int
    after: Step | None

    @property
    def made(self) -> bool:
        """Whether something changed: it was not refused, nor was there nothing to do."""
        return self.after is not None and self.after.task is not self.before


def attempt(change: str, arguments: dict[str, Any], task: Task, now: int) -> Move:
    apply = getattr(lifecycle, change)
    try:
        after = apply(task) if change == "expire_result" else apply(task, now=now, **arguments)
    except IllegalChange as refused:
        assert refused.state is task.state
        assert refused.why
        after = None
    if change == "cancel" and task.next_run_at is not None:
        change = "end_repetition"
    return Move(change, arguments, task, now, after)


def standing(task: Task, now: int) -> tuple[Any, ...]:
    """All of a record that decides what may become of it."""
    ahead = [t and t > now for t in (task.run_at, task.start_by, task.next_run_at, task.result_expires_at)]
    holds = task.held, task.blocked_by, task.continues, task.cancel_requested, task.pause_requested
    counted = min(task.attempt, 2), min(task.losses, 1 if task.runner == "external" else MAX_LOSSES)
    outcome = task.result is None, task.failure, task.started_at is None, task.has_succeeded
    return task.state, task.runner, task.trigger, task.max_attempts, *counted, *holds, *ahead, *outcome


@pytest.fixture(scope="module")
def moves() -> list[Move]:
    """Every change tried from every standing that a task can come to, in time and with the clock set back."""
    tried: list[Move] = []
    open_ends = deque((step.task, T) for step in BEGINNINGS)
    seen = {standing(task, now) for task, now in open_ends}
    while open_ends:
        task, clock = open_ends.popleft()
        for now in (clock - MINUTE, clock + HOUR, clock + DAY):
            for change, arguments in CHANGES:
                move = attempt(change, arguments, task, now)
                tried.append(move)
                if move.after is not None and (key := standing(move.after.task, now)) not in seen:
                    seen.add(key)
                    open_ends.append((move.after.task, now))
    return tried


def changed(move: Move) -> set[str]:
    assert move.after is not None
    after = asdict(move.after.task)
    return {name for name, value in asdict(move.before).items() if after[name] != value}
