"""The life cycle, told three ways: every change from every standing, random lives, and examples to read."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
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
    ("park", {"waits_for": ("child",)}),
    ("lose", {}),
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
    ("relabel", {"title": "Export", "metadata": {"a": 1}}),
    ("expire_result", {}),
    ("count", {"counts": Counts(1, 2)}),
    *(("drive", {"state": state}) for state in State),
    ("drive", {"state": _S.BLOCKED, "blocked_by": ("other",), "blocked_reason": "Waits for Ann."}),
    ("drive", {"state": _S.RUNNING, "report": Report(2.0), "title": "Export"}),
    ("drive", {"state": _S.SUCCEEDED, "result": ROWS, "blocked_reason": "None any more."}),
    ("drive", {"state": _S.FAILED, "failure": BROKEN, "result": ROWS}),
    ("drive", {"state": _S.CANCELLED, "result": ROWS}),
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


def legal(change: str, task: Task) -> bool:
    return task.state in LEGAL[change]


def untimely(move: Move) -> bool:
    """What the table has no column for: whether its time has come, and whose work it is."""
    task, now = move.before, move.now
    match move.change:
        case "enqueue":
            return task.run_at is not None and task.run_at > now
        case "claim":
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


def test_every_line_of_the_table_happens_and_no_other(moves: Sequence[Move]) -> None:
    happened = {(m.change, m.before.state, m.after.task.state) for m in moves if m.after is not None}
    assert happened == {
        (change, source, target)
        for change, sources in LEGAL.items()
        for source, targets in sources.items()
        for target in targets
    }


def test_what_is_not_legal_is_refused_and_nothing_else(moves: Sequence[Move]) -> None:
    for move in moves:
        refused = not legal(move.change, move.before) or untimely(move)
        assert refused is (move.after is None), move
        if move.after is not None:
            assert move.after.task.state in LEGAL[move.change][move.before.state], move


def test_p2_every_task_can_come_to_its_end(moves: Sequence[Move]) -> None:
    for task in {standing(m.before, m.now): m.before for m in moves if m.before.runner != "external"}.values():
        for _ in range(4):
            if task.state not in TERMINAL:
                change, arguments = ONWARD[task.state]
                now = max(task.updated_at, task.run_at or 0)
                task = getattr(lifecycle, change)(task, now=now, **arguments).task
        assert task.state in TERMINAL, task


ONWARD: dict[State, tuple[str, dict[str, Any]]] = {
    _S.BLOCKED: ("unblock", {}),
    _S.SCHEDULED: ("enqueue", {}),
    _S.PAUSED: ("resume", {}),
    _S.QUEUED: ("claim", {"worker": "w1"}),
    _S.RUNNING: ("succeed", {}),
}


def test_p2_an_epoch_begins_with_a_claim_and_its_lease_ends_with_the_work(moves: Sequence[Move]) -> None:
    for move in made(moves):
        after = move.after.task
        assert after.epoch - move.before.epoch == (move.change == "claim"), move
        assert (after.worker is not None) is (after.runner != "external" and after.state is _S.RUNNING), move
        if after.state is not _S.RUNNING:
            assert after.leased_until is None, move


def test_p2_attempts_and_losses_are_bounded(moves: Sequence[Move]) -> None:
    for move in made(moves):
        before, after = move.before, move.after.task
        if after.runner != "external":
            assert after.attempt <= after.max_attempts, move
            assert after.losses < MAX_LOSSES or after.state in TERMINAL, move
        if before.state in TERMINAL:
            assert after.attempt in (0, before.attempt), move
            continue
        begins = after.state is _S.RUNNING and before.state is not _S.RUNNING
        assert after.attempt - before.attempt == (begins and not before.continues), move
        assert after.losses - before.losses == (move.change == "lose"), move


def test_p3_a_terminal_record_stays(moves: Sequence[Move]) -> None:
    may_change = {
        "relabel": {"title", "metadata"},
        "expire_result": {"result"},
        "end_repetition": {"next_run_at", "expires_at"},
    }
    for move in made(moves):
        if move.before.state not in TERMINAL:
            continue
        if move.change in ("retry", "next_run", "drive"):
            assert move.after.task.state in (_S.QUEUED, _S.BLOCKED), move
            continue
        expired = set() if as_of(move.before, move.now) is move.before else {"result"}
        assert changed(move) <= {"version", "updated_at"} | expired | may_change[move.change], move


def test_p3_an_end_is_complete_and_a_life_has_no_end_yet(moves: Sequence[Move]) -> None:
    for move in made(moves):
        after = move.after.task
        if after.state in TERMINAL:
            assert after.finished_at is not None, move
            assert (after.expires_at is None) is (after.next_run_at is not None), move
            assert after.result is None or after.result_expires_at is not None, move
            assert after.state is not _S.SUCCEEDED or (after.has_succeeded and after.progress == 1.0), move
        else:
            assert (after.finished_at, after.expires_at, after.next_run_at) == (None, None, None), move
            assert (after.result, after.result_expires_at, after.failure) == (None, None, None), move
        if after.state in TERMINAL and move.before.state not in TERMINAL:
            assert after.finished_at == after.updated_at, move


def test_p4_the_version_rises_by_one_with_each_visible_change(moves: Sequence[Move]) -> None:
    for move in moves:
        if move.after is None:
            continue
        before, after = move.before, move.after.task
        if not move.made:
            assert move.after == Step(before), move
            continue
        # A result whose retention is over was another visible change, which readers may have seen.
        seen = before if move.change == "expire_result" else as_of(before, move.now)
        assert after.version == seen.version + 1, move
        assert after.updated_at >= seen.updated_at, move


def test_p5_requests_are_shown_just_until_the_work_has_stopped(moves: Sequence[Move]) -> None:
    for move in made(moves):
        before, after = move.before, move.after.task
        if after.state is not _S.RUNNING:
            assert (after.cancel_requested, after.pause_requested) == (False, False), move
        elif before.state is _S.RUNNING:
            assert after.cancel_requested is (before.cancel_requested or move.change == "cancel"), move
            asked = before.pause_requested or move.change == "pause"
            assert after.pause_requested is (asked and move.change != "resume"), move


def test_p10_a_blocked_task_says_what_it_waits_for_and_no_other_does(moves: Sequence[Move]) -> None:
    for move in made(moves):
        after = move.after.task
        if after.state is _S.BLOCKED:
            assert after.blocked_by or after.held, move
            assert after.blocked_at is not None, move
        else:
            free = after.blocked_by, after.blocked_reason, after.blocked_at, after.held
            assert free == ((), None, None, False), move


def test_the_log_tells_every_change_of_state(moves: Sequence[Move]) -> None:
    for move in made(moves):
        source, target = move.before.state, move.after.task.state
        told = [(entry.source, entry.target) for entry in move.after.entries if entry.kind == "state"]
        assert told == ([] if source is target else [(source, target)]), move
        ends = source is _S.RUNNING and target in TERMINAL
        if ends:
            assert move.after.entries[-2].kind == "outcome", move


def made(moves: Sequence[Move]) -> Iterator[Any]:
    return (move for move in moves if move.made)


PROMISES = (
    test_what_is_not_legal_is_refused_and_nothing_else,
    test_p2_an_epoch_begins_with_a_claim_and_its_lease_ends_with_the_work,
    test_p2_attempts_and_losses_are_bounded,
    test_p3_a_terminal_record_stays,
    test_p3_an_end_is_complete_and_a_life_has_no_end_yet,
    test_p4_the_version_rises_by_one_with_each_visible_change,
    test_p5_requests_are_shown_just_until_the_work_has_stopped,
    test_p10_a_blocked_task_says_what_it_waits_for_and_no_other_does,
    test_the_log_tells_every_change_of_state,
)


# Random lives.

LENGTHS = st.integers(0, 40 * DAY) | st.sampled_from([0, SECOND, HOUR, DAY])
PASSED = st.integers(-2 * HOUR, 3 * DAY) | st.sampled_from([-1, 0, 1, MINUTE, HOUR])
TRIGGERS = st.sampled_from([None, DAILY, HOURLY, Trigger(repeat="monthly", anchor=T), Trigger(once=T)])
RANDOM_CHANGES = (
    st.sampled_from(CHANGES)
    | st.builds(lambda wait: ("fail", {"failure": BROKEN, "retry_in": wait}), LENGTHS)
    | st.builds(lambda share: ("report", {"report": Report(share)}), st.floats())
)


@st.composite
def beginnings(pick: Any) -> Step:
    fields = {
        "trigger": pick(TRIGGERS),
        "run_at": pick(st.none() | LENGTHS.map(lambda length: T + length)),
        "start_by": pick(st.none() | LENGTHS.map(lambda length: T + length)),
        "keep_result": pick(LENGTHS),
        "keep_record": pick(LENGTHS),
        "max_attempts": pick(st.integers(1, 4)),
        "blocked_by": pick(st.sampled_from([(), ("other",)])),
        "held": pick(st.booleans()),
    }
    if pick(st.booleans()):
        lease = pick(st.sampled_from([None, 60]))
        state = pick(st.sampled_from([None, *State]))
        return lifecycle.begin(draft(runner="external", lease_seconds=lease, **fields), now=T, state=state)
    return lifecycle.begin(draft(**fields), now=T)


class Life(RuleBasedStateMachine):
    """One task, changed by anybody at any time, with clocks that disagree; and a reader who always looks."""

    @initialize(first=beginnings())
    def begin(self, first: Step) -> None:
        self.task = first.task
        self.now = T
        self.log = list(first.entries)
        self.shown: dict[int, Task] = {}

    @rule(random=st.randoms(use_true_random=False), change=RANDOM_CHANGES, passed=PASSED)
    def change_as_the_table_allows(self, random: Any, change: tuple[str, dict[str, Any]], passed: int) -> None:
        if not legal(change[0], self.task):
            change = random.choice([other for other in CHANGES if legal(other[0], self.task)])
        self.change_anyhow(change, passed)

    @rule(change=RANDOM_CHANGES, passed=PASSED)
    def change_anyhow(self, change: tuple[str, dict[str, Any]], passed: int) -> None:
        self.now += passed
        if passed < 0:
            self.shown.clear()  # A clock that is behind does not know yet which results have expired.
        move = attempt(*change, self.task, self.now)
        for promise in PROMISES:
            promise([move])
        if move.after is not None:
            self.task = move.after.task
            self.log += move.after.entries
        self.p4_a_reader_sees_one_moment_under_one_version()

    def p4_a_reader_sees_one_moment_under_one_version(self) -> None:
        record = as_of(self.task, self.now)
        assert record.version >= max(self.shown, default=0)
        assert self.shown.setdefault(record.version, record) == record

    def teardown(self) -> None:
        states = [(entry.source, entry.target) for entry in getattr(self, "log", ()) if entry.kind == "state"]
        assert all(before[1] is after[0] for before, after in pairwise(states))
        assert not states or states[-1][1] is self.task.state


Life.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase


# Examples: beginning and waiting.


def test_what_is_not_legal_is_refused_in_words() -> None:
    with pytest.raises(IllegalChange, match=r"^A task that is queued can't fail dependency\.$") as refused:
        lifecycle.fail_dependency(queued(), now=T, reason="Task a failed.")
    assert (refused.value.change, refused.value.state) == ("fail_dependency", _S.QUEUED)


def test_a_task_begins_queued() -> None:
    task, entries, *_ = lifecycle.begin(draft(blocked_reason="Left over."), now=T)
    assert (task.state, task.version, task.created_at, task.updated_at) == (_S.QUEUED, 1, T, T)
    assert task.blocked_reason is None
    assert entries == (Entry(T, "state", 0, target=_S.QUEUED),)


def test_a_task_whose_time_is_ahead_is_scheduled_until_then() -> None:
    task = queued(run_at=T + HOUR)
    assert task.state is _S.SCHEDULED
    with pytest.raises(IllegalChange, match="not come yet"):
        lifecycle.enqueue(task, now=T + HOUR - 1)
    assert lifecycle.enqueue(task, now=T + HOUR).task.state is _S.QUEUED


def test_a_task_that_waits_for_others_is_blocked_until_it_is_freed() -> None:
    task = queued(blocked_by=("a", "b"), run_at=T + HOUR)
    assert (task.state, task.blocked_at, task.held) == (_S.BLOCKED, T, False)
    fewer = lifecycle.block(task, now=T + 1, blocked_by=("b",), reason=None, held=False).task
    assert (fewer.blocked_by, fewer.blocked_at) == (("b",), T)
    assert lifecycle.unblock(fewer, now=T + 2).task.state is _S.SCHEDULED
    assert lifecycle.unblock(fewer, now=T + HOUR).task.state is _S.QUEUED


def test_a_client_can_hold_a_queued_task() -> None:
    task = lifecycle.block(queued(), now=T + 1, blocked_by=(), reason="Waits for Ann.", held=True).task
    assert (task.state, task.held, task.blocked_at, task.blocked_reason) == (_S.BLOCKED, True, T + 1, "Waits for Ann.")


def test_what_waits_for_a_task_that_failed_fails_and_runs_again_only_when_it_is_told_to() -> None:
    waiting = queued(blocked_by=("a",), trigger=DAILY)
    task = lifecycle.fail_dependency(waiting, now=T, reason="Task a failed.").task
    assert task.state is _S.FAILED
    assert task.failure == Failure("dependency_failed", "Task a failed.")
    assert task.next_run_at is None
    revived = lifecycle.retry(task, now=T, unmet=("a",)).task
    assert (revived.state, revived.blocked_by, revived.blocked_at) == (_S.BLOCKED, ("a",), T)


def test_a_task_that_could_not_start_in_time_fails() -> None:
    task = queued(start_by=T + HOUR)
    with pytest.raises(IllegalChange, match="did not miss"):
        lifecycle.miss_start(task, now=T + HOUR - 1)
    missed = lifecycle.miss_start(task, now=T + HOUR).task
    assert missed.failure is not None
    assert (missed.state, missed.failure.code) == (_S.FAILED, "start_by_passed")


def test_a_task_that_waits_for_its_next_try_has_started_in_time() -> None:
    started = running(start_by=T + HOUR, max_attempts=2)
    task = lifecycle.fail(started, now=T, failure=BROKEN, retry_in=DAY).task
    with pytest.raises(IllegalChange, match="did not miss"):
        lifecycle.miss_start(task, now=T + HOUR)


# Tries.


def test_a_try_that_succeeds() -> None:
    last = Report(message="Done.", counts=Counts(3, 3, 1, 0), entries=(Entry(T + 1, "log", 1, message="bye"),))
    task, entries, *_ = lifecycle.succeed(running(), now=T + 1, result=ROWS, report=last)
    assert (task.state, task.progress, task.message, task.result) == (_S.SUCCEEDED, 1.0, "Done.", ROWS)
    assert (task.started_at, task.finished_at) == (T, T + 1)
    assert (task.result_expires_at, task.expires_at) == (T + 1 + 7 * DAY, T + 1 + 30 * DAY)
    assert entries == (
        *last.entries,
        Entry(T + 1, "outcome", 1, "info", "success", {"done": 3, "total": 3, "failed": 1, "skipped": 0}),
        Entry(T + 1, "state", 1, source=_S.RUNNING, target=_S.SUCCEEDED),
    )


def test_a_report_leaves_what_it_does_not_mention() -> None:
    task = lifecycle.report(running(), now=T, report=Report(0.5, "Reading", Counts(1, 2))).task
    line = Entry(T, "log", 1, message="page read")
    step = lifecycle.report(task, now=T, report=Report(counts=Counts(2, 2), entries=(line,), checkpoint=b"2"))
    assert (step.task.progress, step.task.message, step.task.counts) == (0.5, "Reading", Counts(2, 2))
    assert (step.entries, step.checkpoint) == ((line,), b"2")


@pytest.mark.parametrize(("told", "shown"), [(-1.0, 0.0), (1.5, 1.0), (float("inf"), 1.0), (float("nan"), 0.0)])
def test_progress_stays_between_0_and_1(told: float, shown: float) -> None:
    assert lifecycle.report(running(), now=T, report=Report(told)).task.progress == shown


def test_a_success_may_have_no_result() -> None:
    task = lifecycle.succeed(running(), now=T).task
    assert (task.result, task.result_expires_at) == (None, None)


def test_a_failed_try_is_followed_by_another_after_its_backoff() -> None:
    step = lifecycle.fail(running(max_attempts=2), now=T, failure=BROKEN, retry_in=MINUTE, traceback="Traceback")
    assert (step.task.state, step.task.run_at, step.task.failure) == (_S.SCHEDULED, T + MINUTE, None)
    assert step.traceback == "Traceback"
    assert step.entries[0] == Entry(T, "outcome", 1, "error", "It broke.", {"code": "broken"})
    again = lifecycle.enqueue(step.task, now=T + MINUTE).task
    again = lifecycle.claim(again, now=T + MINUTE, worker="w2").task
    assert (again.attempt, again.epoch, again.started_at) == (2, 2, T)
    last = lifecycle.fail(again, now=T + MINUTE, failure=BROKEN, retry_in=MINUTE).task
    assert (last.state, last.failure) == (_S.FAILED, BROKEN)


def test_a_try_may_follow_at_once() -> None:
    tried = running(max_attempts=2)
    assert lifecycle.fail(tried, now=T, failure=BROKEN, retry_in=0).task.state is _S.QUEUED
    assert lifecycle.fail(tried, now=T, failure=BROKEN, retry_in=1).task.state is _S.SCHEDULED


def test_no_try_follows_where_another_makes_no_sense() -> None:
    assert lifecycle.fail(running(max_attempts=2), now=T, failure=BROKEN).task.state is _S.FAILED


@pytest.mark.parametrize("traceback", ["Traceback", None])
def test_a_failed_try_leaves_its_own_traceback_or_none(traceback: str | None) -> None:
    how: dict[str, Any] = {"now": T, "failure": BROKEN, **({"traceback": traceback} if traceback else {})}
    asked = lifecycle.cancel(running(max_attempts=2), now=T).task
    assert lifecycle.fail(running(), **how).traceback == traceback
    assert lifecycle.fail(running(max_attempts=2), retry_in=0, **how).traceback == traceback
    assert lifecycle.fail(asked, retry_in=0, **how).traceback == traceback


def test_a_try_after_one_that_was_parked_and_then_failed_is_a_new_attempt() -> None:
    parked = lifecycle.park(running(max_attempts=2), now=T).task
    again = lifecycle.claim(parked, now=T, worker="w1").task
    broken = lifecycle.fail(again, now=T, failure=BROKEN, retry_in=0).task
    assert lifecycle.claim(broken, now=T, worker="w1").task.attempt == 2


@pytest.mark.parametrize("wish", [lifecycle.pause, lifecycle.cancel, None])
def test_parking_counts_neither_as_attempt_nor_as_loss(wish: Any) -> None:
    task = running() if wish is None else wish(running(), now=T).task
    parked = lifecycle.park(task, now=T + 1, report=Report(checkpoint=b"7"))
    assert parked.task.state is {lifecycle.pause: _S.PAUSED, lifecycle.cancel: _S.CANCELLED, None: _S.QUEUED}[wish]
    assert parked.checkpoint == b"7"
    waiting = lifecycle.resume(parked.task, now=T + 2).task if wish is lifecycle.pause else parked.task
    if wish is not lifecycle.cancel:
        again = lifecycle.claim(waiting, now=T + 3, worker="w2").task
        assert (again.attempt, again.losses, again.epoch) == (1, 0, 2)


def test_three_losses_fail_a_task() -> None:
    task = queued(max_attempts=5)
    for losses in (1, 2):
        task = lifecycle.claim(task, now=T, worker="w1").task
        step = lifecycle.lose(task, now=T)
        task = step.task
        assert (task.state, task.losses, task.attempt) == (_S.QUEUED, losses, 1)
        assert step.entries[0] == Entry(T, "outcome", 1, "warning", "worker lost", {"losses": losses})
    task = lifecycle.lose(lifecycle.claim(task, now=T, worker="w1").task, now=T).task
    assert task.failure is not None
    assert (task.state, task.losses, task.failure.code) == (_S.FAILED, 3, "worker_lost")


def test_a_process_that_died_says_how_and_what_it_had_told() -> None:
    told = Report(0.5, entries=(Entry(T, "log", 1, message="page read"),), checkpoint=b"7")
    step = lifecycle.lose(running(), now=T, how="signal SIGKILL", report=told)
    assert (step.task.state, step.task.progress, step.checkpoint) == (_S.QUEUED, 0.5, b"7")
    assert [entry.message for entry in step.entries] == ["page read", "signal SIGKILL", ""]


def test_a_lost_lease_carries_out_what_was_requested() -> None:
    assert lifecycle.lose(lifecycle.pause(running(), now=T).task, now=T).task.state is _S.PAUSED
    assert lifecycle.lose(lifecycle.cancel(running(), now=T).task, now=T).task.state is _S.CANCELLED


# Cancel, pause, retry.


def test_p5_a_cancel_of_running_work_is_a_request_until_it_stops() -> None:
    task = lifecycle.cancel(running(), now=T + 1).task
    assert (task.state, task.cancel_requested, task.finished_at) == (_S.RUNNING, True, None)
    stopped = lifecycle.park(task, now=T + 2).task
    assert (stopped.state, stopped.cancel_requested, stopped.finished_at) == (_S.CANCELLED, False, T + 2)


def test_p5_work_that_finishes_before_it_stops_has_succeeded() -> None:
    asked = lifecycle.pause(lifecycle.cancel(running(), now=T).task, now=T).task
    task = lifecycle.succeed(asked, now=T).task
    assert (task.state, task.cancel_requested, task.pause_requested) == (_S.SUCCEEDED, False, False)


def test_a_cancel_while_a_retry_is_due_ends_the_task() -> None:
    waiting = lifecycle.fail(running(max_attempts=2), now=T, failure=BROKEN, retry_in=HOUR).task
    assert lifecycle.cancel(waiting, now=T).task.state is _S.CANCELLED


def test_a_try_that_fails_when_it_was_to_be_cancelled_is_not_followed_by_another() -> None:
    asked = lifecycle.cancel(running(max_attempts=2), now=T).task
    assert lifecycle.fail(asked, now=T, failure=BROKEN, retry_in=HOUR).task.state is _S.CANCELLED


def test_a_try_that_fails_when_it_was_to_pause_leaves_the_task_paused_with_its_backoff() -> None:
    asked = lifecycle.pause(running(max_attempts=2), now=T).task
    task = lifecycle.fail(asked, now=T, failure=BROKEN, retry_in=HOUR).task
    assert (task.state, task.pause_requested) == (_S.PAUSED, False)
    assert lifecycle.resume(task, now=T).task.state is _S.SCHEDULED
    assert lifecycle.resume(task, now=T + HOUR).task.state is _S.QUEUED


def test_a_task_that_waits_is_paused_and_resumed_at_once() -> None:
    task = lifecycle.pause(queued(), now=T).task
    assert task.state is _S.PAUSED
    assert lifecycle.resume(task, now=T).task.state is _S.QUEUED


def test_a_requested_pause_can_be_taken_back() -> None:
    task = lifecycle.resume(lifecycle.pause(running(), now=T).task, now=T).task
    assert (task.state, task.pause_requested) == (_S.RUNNING, False)


@pytest.mark.parametrize("again", [lifecycle.cancel, lifecycle.pause, lifecycle.resume])
@pytest.mark.parametrize("state", [_S.RUNNING, _S.QUEUED])
def test_p4_asking_twice_changes_nothing_the_second_time(again: Any, state: State) -> None:
    once = again(running() if state is _S.RUNNING else queued(), now=T).task
    assert again(once, now=T + 1) == Step(once)


def test_a_retry_begins_again_with_all_attempts() -> None:
    told = Report(0.5, "Reading", Counts(1, 2))
    started = running(max_attempts=1, run_at=T - DAY, start_by=T + 1)
    spent = lifecycle.fail(started, now=T, failure=BROKEN, report=told).task
    step = lifecycle.retry(spent, now=T + HOUR)
    task = step.task
    assert (task.state, task.attempt, task.run_at, task.start_by) == (_S.QUEUED, 0, None, None)
    assert (task.failure, task.finished_at, task.expires_at, task.started_at) == (None, None, None, None)
    assert (task.progress, task.message, task.counts, task.losses) == (0.0, None, Counts(), 0)
    assert (step.checkpoint, step.traceback) == (UNSET, None)
    assert lifecycle.claim(task, now=T + HOUR, worker="w1").task.attempt == 1


def test_a_retry_of_what_was_cancelled_while_parked_is_a_first_attempt() -> None:
    cancelled = lifecycle.cancel(lifecycle.park(running(), now=T).task, now=T).task
    again = lifecycle.retry(cancelled, now=T).task
    assert lifecycle.claim(again, now=T, worker="w1").task.attempt == 1


# Repetition.


@pytest.mark.parametrize("ended", [lifecycle.succeed, lifecycle.fail])
def test_a_repeating_task_rests_in_its_end_until_its_next_run(ended: Any) -> None:
    how = {"failure": BROKEN} if ended is lifecycle.fail else {"result": ROWS}
    task = ended(running(trigger=DAILY, run_at=T), now=T + HOUR, **how).task
    assert (task.next_run_at, task.expires_at) == (T + DAY, None)
    with pytest.raises(IllegalChange, match="no run that is due"):
        lifecycle.next_run(task, now=T + DAY - 1)
    step = lifecycle.next_run(task, now=T + DAY)
    again = step.task
    assert (again.state, again.run, again.run_at, again.next_run_at) == (_S.QUEUED, 2, T + DAY, None)
    assert (again.attempt, again.result, again.failure) == (0, None, None)
    assert (step.checkpoint, step.traceback) == (None, None)
    assert again.has_succeeded is (ended is lifecycle.succeed)


def test_missed_runs_collapse_into_one() -> None:
    task = lifecycle.succeed(running(trigger=DAILY, run_at=T), now=T + 10 * DAY + HOUR).task
    assert task.next_run_at == T + 11 * DAY


def test_a_backoff_does_not_shift_the_runs_that_follow() -> None:
    task = lifecycle.fail(running(trigger=DAILY, run_at=T, max_attempts=2), now=T, failure=BROKEN, retry_in=HOUR).task
    task = lifecycle.claim(lifecycle.enqueue(task, now=T + HOUR).task, now=T + HOUR, worker="w1").task
    assert lifecycle.succeed(task, now=T + HOUR).task.next_run_at == T + DAY


def test_a_worker_whose_clock_is_behind_does_not_repeat_a_run() -> None:
    rested = lifecycle.succeed(running(trigger=DAILY, run_at=T), now=T).task
    due = lifecycle.next_run(rested, now=T + DAY).task
    task = lifecycle.succeed(lifecycle.claim(due, now=T + DAY, worker="w1").task, now=T + DAY - SECOND).task
    assert (task.next_run_at, task.finished_at) == (T + 2 * DAY, T + DAY)


def test_cancel_ends_the_repetition_during_a_run_and_between_runs() -> None:
    during = lifecycle.park(lifecycle.cancel(running(trigger=DAILY), now=T).task, now=T).task
    assert (during.state, during.next_run_at, during.expires_at) == (_S.CANCELLED, None, T + 30 * DAY)
    rested = lifecycle.succeed(running(trigger=DAILY), now=T).task
    between = lifecycle.cancel(rested, now=T + HOUR).task
    assert (between.state, between.next_run_at) == (_S.SUCCEEDED, None)
    assert between.expires_at == T + HOUR + 30 * DAY
    with pytest.raises(IllegalChange):
        lifecycle.next_run(between, now=T + DAY)


def test_a_task_with_one_due_time_ends_for_good() -> None:
    task = lifecycle.succeed(running(trigger=Trigger(once=T)), now=T).task
    assert (task.next_run_at, task.expires_at) == (None, T + 30 * DAY)


# External tasks.


def test_a_client_drives_its_task_from_queued_to_completed_and_back() -> None:
    task = lifecycle.begin(external(), now=T).task
    task = lifecycle.drive(task, now=T, state=_S.RUNNING, report=Report(0.25)).task
    assert (task.started_at, task.attempt, task.leased_until) == (T, 1, T + 60 * SECOND)
    task = lifecycle.drive(task, now=T + SECOND, state=_S.RUNNING, title="Export").task
    assert (task.attempt, task.leased_until, task.title) == (1, T + 61 * SECOND, "Export")
    task = lifecycle.drive(task, now=T + SECOND, state=_S.SUCCEEDED, result=ROWS).task
    assert (task.state, task.result, task.progress, task.has_succeeded) == (_S.SUCCEEDED, ROWS, 1.0, True)
    with pytest.raises(IllegalChange, match=r"^A task that is succeeded can't become running\.$"):
        lifecycle.drive(task, now=T + SECOND, state=_S.RUNNING)
    task = lifecycle.drive(task, now=T + SECOND, state=_S.QUEUED, report=Report(0.1)).task
    assert (task.result, task.finished_at, task.attempt, task.progress) == (None, None, 0, 0.1)


@pytest.mark.parametrize("state", [_S.PAUSED, _S.BLOCKED])
def test_work_that_a_client_interrupts_carries_on_with_the_same_attempt(state: State) -> None:
    task = lifecycle.begin(external(), now=T, state=_S.RUNNING).task
    task = lifecycle.drive(task, now=T, state=state).task
    assert lifecycle.drive(task, now=T, state=_S.RUNNING).task.attempt == 1


def test_work_that_a_client_gives_back_is_tried_again() -> None:
    task = lifecycle.begin(external(), now=T, state=_S.RUNNING).task
    task = lifecycle.drive(task, now=T, state=_S.QUEUED).task
    assert lifecycle.drive(task, now=T, state=_S.RUNNING).task.attempt == 2


def test_a_client_that_fell_silent_may_do_so_for_ever() -> None:
    task = lifecycle.begin(external(), now=T).task
    for losses in range(1, MAX_LOSSES + 2):
        task = lifecycle.drive(task, now=T, state=_S.RUNNING).task
        task = lifecycle.lose(task, now=T).task
        assert (task.state, task.losses, task.attempt) == (_S.QUEUED, losses, 1)


def test_a_client_may_begin_with_running_work() -> None:
    task = lifecycle.begin(external(), now=T, state=_S.RUNNING).task
    assert (task.attempt, task.started_at, task.leased_until) == (1, T, T + 60 * SECOND)


def test_a_client_without_a_lease_may_be_silent() -> None:
    task = lifecycle.begin(draft(runner="external"), now=T, state=_S.RUNNING).task
    assert (task.attempt, task.started_at, task.leased_until) == (1, T, None)


def test_a_client_blocks_its_task_until_it_says_otherwise() -> None:
    task = lifecycle.begin(external(blocked_reason="Waits for Ann."), now=T, state=_S.BLOCKED).task
    assert (task.held, task.blocked_at, task.blocked_reason) == (True, T, "Waits for Ann.")
    task = lifecycle.drive(task, now=T + 1, state=_S.BLOCKED, blocked_reason="Waits for Bob.").task
    assert (task.held, task.blocked_at, task.blocked_reason) == (True, T, "Waits for Bob.")
    task = lifecycle.drive(task, now=T + 2, state=_S.RUNNING).task
    assert (task.held, task.blocked_at, task.blocked_reason) == (False, None, None)


def test_what_a_client_says_of_a_task_that_waits_for_others_does_not_hold_it() -> None:
    task = lifecycle.begin(external(blocked_by=("a",)), now=T).task
    told = lifecycle.drive(task, now=T, state=_S.BLOCKED, report=Report(message="Soon.")).task
    assert (told.blocked_by, told.held) == (("a",), False)
    assert lifecycle.drive(task, now=T, state=_S.BLOCKED, held=True).task.held
    assert lifecycle.drive(task, now=T, state=_S.BLOCKED, blocked_by=()).task.held


def test_a_failure_that_a_client_does_not_explain_is_an_error_in_the_log() -> None:
    task = lifecycle.begin(external(), now=T, state=_S.RUNNING).task
    unexplained = lifecycle.drive(task, now=T, state=_S.FAILED)
    assert (unexplained.task.result, unexplained.task.failure) == (None, None)
    assert (unexplained.entries[0].level, unexplained.entries[0].message) == ("error", "failure")
    explained = lifecycle.drive(task, now=T, state=_S.FAILED, failure=BROKEN)
    assert explained.task.failure == BROKEN
    assert explained.entries[0].message == "It broke."


def test_a_task_that_begins_at_its_end_is_complete() -> None:
    task = lifecycle.begin(external(), now=T, state=_S.SUCCEEDED).task
    assert (task.finished_at, task.expires_at) == (T, T + 30 * DAY)
    assert (task.has_succeeded, task.progress) == (True, 1.0)


def test_the_engine_and_clients_keep_off_each_others_tasks() -> None:
    with pytest.raises(IllegalChange, match="its client does"):
        lifecycle.claim(lifecycle.begin(external(), now=T).task, now=T, worker="w1")
    with pytest.raises(IllegalChange, match="The engine runs this task"):
        lifecycle.drive(running(), now=T, state=_S.SUCCEEDED)
    with pytest.raises(IllegalChange, match="The engine runs this task"):
        lifecycle.begin(draft(), now=T, state=_S.SUCCEEDED)


# Retention.


@pytest.mark.parametrize("noticed", [0, 1, DAY])
def test_p7_a_result_expires_for_readers_exactly_as_a_loop_will_write_it(noticed: int) -> None:
    task = lifecycle.succeed(running(), now=T, result=ROWS).task
    due = T + 7 * DAY
    assert as_of(task, due - 1) is task
    seen = as_of(task, due + noticed)
    assert lifecycle.expire_result(task) == Step(seen)
    assert (seen.result, seen.result_expires_at, seen.updated_at) == (None, due, due)
    assert seen.version == task.version + 1
    assert as_of(seen, due + noticed) is seen


def test_p4_a_change_after_an_expiry_that_nobody_wrote_down_gets_a_version_of_its_own() -> None:
    rested = lifecycle.succeed(running(trigger=DAILY, keep_result=HOUR), now=T, result=ROWS).task
    seen = as_of(rested, T + DAY)
    assert lifecycle.relabel(rested, now=T + DAY, title="Export").task == replace(
        seen, title="Export", version=seen.version + 1, updated_at=T + DAY
    )
    assert lifecycle.next_run(rested, now=T + DAY).task.version == seen.version + 1


def test_a_cancel_ends_the_repetition_also_when_the_run_finishes_first() -> None:
    task = Task("t", "default", "ada", "work", 0, 0, trigger=Trigger(every=HOUR, anchor=0))
    running = lifecycle.claim(lifecycle.begin(task, now=1).task, now=2, worker="w").task
    asked = lifecycle.cancel(running, now=3).task
    done = lifecycle.succeed(asked, now=4).task
    assert (done.state, done.next_run_at, done.cancel_requested) == (State.SUCCEEDED, None, False)
    assert done.expires_at is not None


def test_each_run_may_fill_the_log_anew() -> None:
    task = Task("t", "default", "ada", "work", 0, 0, trigger=Trigger(every=HOUR, anchor=0))
    running = lifecycle.claim(lifecycle.begin(task, now=1).task, now=2, worker="w").task
    done = replace(lifecycle.succeed(running, now=4).task, log_bytes=5000, log_dropped=7, log_seq=9)
    again = lifecycle.next_run(done, now=2 * HOUR).task
    assert (again.log_bytes, again.log_dropped, again.log_seq) == (0, 0, 9)
