"""Every change from every standing that a task can come to: what the table allows happens, and no promise is broken."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from milepost import lifecycle
from milepost.lifecycle import LEGAL, MAX_LOSSES, IllegalChange, Step, as_of
from milepost.task import TERMINAL, State, Task
from milepost.times import DAY, HOUR, MINUTE
from tests.drafts import BROKEN, DAILY, T, queued, running
from tests.moves import BEGINNINGS, CHANGES, Move, attempt, changed, legal, made, standing, untimely

FAILED = lifecycle.fail(running(), now=T, failure=BROKEN).task
BETWEEN_RUNS = lifecycle.fail(running(trigger=DAILY, run_at=T), now=T, failure=BROKEN).task


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


def test_what_is_not_legal_is_refused_in_words() -> None:
    with pytest.raises(IllegalChange, match=r"^A task that is queued can't fail dependency\.$") as refused:
        lifecycle.fail_dependency(queued(), now=T, reason="Task a failed.")
    assert (refused.value.change, refused.value.state) == ("fail_dependency", State.QUEUED)


@pytest.mark.parametrize(
    ("change", "task", "why"),
    [
        (lifecycle.pause, queued(blocked_by=("a",)), "it waits already, without a slot. Pause what it waits for"),
        (lifecycle.resume, queued(blocked_by=("a",)), "blocked, and not paused: it goes on when what it waits for"),
        (lifecycle.pause, FAILED, "as failed: there is nothing to pause.$"),
        (lifecycle.resume, FAILED, "as failed: there is nothing to resume. A retry lets it begin again.$"),
        (lifecycle.cancel, FAILED, "as failed: there is nothing to cancel.$"),
        (lifecycle.pause, BETWEEN_RUNS, "there is nothing to pause. It will run again: a cancel ends that"),
        (lifecycle.run_now, queued(blocked_by=("a",)), "is blocked: it runs when what it waits for has ended"),
        (lifecycle.run_now, lifecycle.pause(queued(), now=T).task, "^A task that is paused can't run now.$"),
        (lifecycle.retry, queued(), "Only a failed or cancelled task can be retried; this one is queued.$"),
    ],
)
def test_what_clients_ask_for_is_refused_with_what_they_can_do(
    change: Callable[..., Step], task: Task, why: str
) -> None:
    with pytest.raises(IllegalChange, match=why):
        change(task, now=T)


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


ONWARD: dict[State, tuple[str, dict[str, Any]]] = {
    State.BLOCKED: ("unblock", {}),
    State.SCHEDULED: ("enqueue", {}),
    State.PAUSED: ("resume", {}),
    State.QUEUED: ("claim", {"worker": "w1"}),
    State.RUNNING: ("succeed", {}),
}


def test_p2_every_task_can_come_to_its_end(moves: Sequence[Move]) -> None:
    for task in {standing(m.before, m.now): m.before for m in moves if m.before.runner != "external"}.values():
        for _ in range(4):
            if task.state not in TERMINAL:
                change, arguments = ONWARD[task.state]
                now = max(task.updated_at, task.run_at or 0)
                task = getattr(lifecycle, change)(task, now=now, **arguments).task
        assert task.state in TERMINAL, task


def test_p2_an_epoch_begins_with_a_claim_and_its_lease_ends_with_the_work(moves: Sequence[Move]) -> None:
    for move in made(moves):
        after = move.after.task
        assert after.epoch - move.before.epoch == (move.change == "claim"), move
        assert (after.worker is not None) is (after.runner != "external" and after.state is State.RUNNING), move
        if after.state is not State.RUNNING:
            assert after.leased_until is None, move


def test_p2_attempts_and_losses_are_bounded(moves: Sequence[Move]) -> None:
    for move in made(moves):
        before, after = move.before, move.after.task
        if after.runner != "external":
            assert after.attempt <= after.max_attempts, move
            assert after.own_losses < MAX_LOSSES or after.state in TERMINAL, move
        if before.state in TERMINAL:
            assert after.attempt in (0, before.attempt, move.arguments.get("retry_count")), move
            continue
        if move.arguments.get("retry_count") is not None:  # its client counts
            assert after.retry_count == 1, move
            continue
        begins = after.state is State.RUNNING and before.state is not State.RUNNING
        if move.change == "drive" and after.state in TERMINAL and before.attempt:
            assert after.retry_count == before.retry_count, move
            continue
        assert after.attempt - before.attempt == (begins and not before.continues), move
        assert after.losses - before.losses == (move.change == "lose"), move
        assert after.own_losses <= after.losses, move


def test_p3_a_terminal_record_stays(moves: Sequence[Move]) -> None:
    may_change = {
        "relabel": {"title", "metadata"},
        "expire_result": {"result"},
        "end_repetition": {"next_run_at", "expires_at"},
    }
    for move in made(moves):
        if move.before.state not in TERMINAL:
            continue
        if move.change in ("retry", "next_run", "run_now", "drive"):
            assert move.after.task.state in (State.QUEUED, State.BLOCKED), move
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
            assert after.state is not State.SUCCEEDED or (after.has_succeeded and after.progress == 1.0), move
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
        if after.state is not State.RUNNING:
            assert (after.cancel_requested, after.pause_requested) == (False, False), move
        elif before.state is State.RUNNING:
            assert after.cancel_requested is (before.cancel_requested or move.change == "cancel"), move
            asked = before.pause_requested or move.change == "pause"
            assert after.pause_requested is (asked and move.change != "resume"), move


def test_p10_a_blocked_task_says_what_it_waits_for_and_no_other_does(moves: Sequence[Move]) -> None:
    for move in made(moves):
        after = move.after.task
        if after.state is State.BLOCKED:
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
        ends = source is State.RUNNING and target in TERMINAL
        if ends:
            assert move.after.entries[-2].kind == "outcome", move


# What holds for each move by itself, and so for the moves of any life.
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
