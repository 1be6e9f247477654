"""Which changes can be tried on a task, and what comes of one that is?"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from msgspec.structs import asdict

from milepost import lifecycle
from milepost.lifecycle import LEGAL, IllegalChange, Report, Step
from milepost.task import Counts, Entry, State, Task
from milepost.times import HOUR
from tests.drafts import BROKEN, DAILY, ROWS, T, draft, external

CHANGES: Sequence[tuple[str, dict[str, Any]]] = (
    ("enqueue", {}),
    ("block", {"blocked_by": ("other",), "reason": None, "held": False}),
    ("block", {"blocked_by": (), "reason": "Waits for Ann.", "held": True}),
    ("block", {"blocked_by": (), "reason": None, "held": False}),
    ("unblock", {}),
    ("claim", {"worker": "w1"}),
    ("claim", {"worker": "w1", "can_run_apart": False}),
    ("report", {"report": Report(0.5, "Reading", Counts(1, 2), (Entry(T, "log", 1),), b"1")}),
    ("park", {}),
    ("park", {"waits_for": ("child",)}),
    ("lose", {}),
    ("lose", {"in_company": True}),
    ("lose", {"how": "exit code 1", "report": Report(0.5)}),
    ("succeed", {"result": ROWS}),
    ("succeed", {}),
    ("fail", {"failure": BROKEN}),
    ("fail", {"failure": BROKEN, "retry_in": 0}),
    ("fail", {"failure": BROKEN, "retry_in": HOUR, "traceback": "Traceback"}),
    ("fail_dependency", {"reason": "Task other is gone."}),
    ("miss_start", {}),
    ("cancel", {}),
    ("pause", {}),
    ("resume", {}),
    ("retry", {}),
    ("retry", {"unmet": ("other",)}),
    ("next_run", {}),
    ("run_now", {}),
    ("run_now", {"unmet": ("other",)}),
    ("relabel", {"title": "Export", "metadata": {"a": 1}}),
    ("expire_result", {}),
    ("count", {"counts": Counts(1, 2)}),
    *(("drive", {"state": state}) for state in State),
    ("drive", {"state": State.BLOCKED, "blocked_by": ("other",), "blocked_reason": "Waits for Ann."}),
    ("drive", {"state": State.RUNNING, "report": Report(2.0), "title": "Export"}),
    ("drive", {"state": State.SUCCEEDED, "result": ROWS, "blocked_reason": "None any more."}),
    ("drive", {"state": State.FAILED, "failure": BROKEN, "result": ROWS}),
    ("drive", {"state": State.CANCELLED, "result": ROWS}),
    *(("drive", {"state": state, "retry_count": 1}) for state in State),
)

BEGINNINGS: Sequence[Step] = (
    lifecycle.begin(draft(max_attempts=2), now=T),
    lifecycle.begin(draft(max_attempts=2, run_at=T + HOUR, start_by=T + 2 * HOUR), now=T),
    lifecycle.begin(draft(blocked_by=("other",), start_by=T + HOUR, trigger=DAILY), now=T),
    lifecycle.begin(draft(trigger=DAILY, run_at=T, keep_result=HOUR, max_attempts=2), now=T),
    *(lifecycle.begin(external(blocked_by=("other",)), now=T, state=state) for state in State),
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
    except IllegalChange:
        after = None
    if change == "cancel" and task.next_run_at is not None:
        change = "end_repetition"
    return Move(change, arguments, task, now, after)


def standing(task: Task, now: int) -> tuple[Any, ...]:
    """All of a record that decides what may become of it."""
    ahead = [t and t > now for t in (task.run_at, task.start_by, task.next_run_at, task.result_expires_at)]
    holds = task.held, task.blocked_by, task.continues, task.apart, task.cancel_requested, task.pause_requested
    own_losses = 0 if task.runner == "external" else task.own_losses
    counted = min(task.attempt, 2), min(task.losses, 1), own_losses
    outcome = task.result is None, task.failure, task.started_at is None, task.has_succeeded
    return task.state, task.runner, task.trigger, task.max_attempts, *counted, *holds, *ahead, *outcome


def changed(move: Move) -> set[str]:
    assert move.after is not None
    after = asdict(move.after.task)
    return {name for name, value in asdict(move.before).items() if after[name] != value}


def legal(change: str, task: Task) -> bool:
    return task.state in LEGAL[change]


def untimely(move: Move) -> bool:
    """What the table has no column for: whether its time has come, and whose work it is."""
    task, now = move.before, move.now
    match move.change:
        case "enqueue":
            return task.run_at is not None and task.run_at > now
        case "claim" | "run_now":
            return task.runner == "external"
        case "drive":
            return task.runner != "external" or move.arguments["state"] not in LEGAL["drive"][task.state]
        case "count":
            return task.runner != "external"
        case "miss_start":
            return task.started_at is not None or task.start_by is None or task.start_by > now
        case "next_run":
            return task.next_run_at is None or task.next_run_at > now
        case "expire_result":
            return task.result is None
    return False


def made(moves: Sequence[Move]) -> Iterator[Any]:
    return (move for move in moves if move.made)
