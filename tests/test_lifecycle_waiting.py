"""How a task begins, and waits for its time, for others, or for its client."""

import pytest

from milepost import lifecycle
from milepost.lifecycle import IllegalChange
from milepost.task import Entry, Failure, State
from milepost.times import DAY, HOUR
from tests.drafts import BROKEN, DAILY, T, draft, queued, running


def test_a_task_begins_queued() -> None:
    task, entries, *_ = lifecycle.begin(draft(blocked_reason="Left over."), now=T)
    assert (task.state, task.version, task.created_at, task.updated_at) == (State.QUEUED, 1, T, T)
    assert task.blocked_reason is None
    assert entries == (Entry(T, "state", 0, target=State.QUEUED),)


def test_a_task_whose_time_is_ahead_is_scheduled_until_then() -> None:
    task = queued(run_at=T + HOUR)
    assert task.state is State.SCHEDULED
    with pytest.raises(IllegalChange, match="not come yet"):
        lifecycle.enqueue(task, now=T + HOUR - 1)
    assert lifecycle.enqueue(task, now=T + HOUR).task.state is State.QUEUED


def test_a_task_that_waits_for_others_is_blocked_until_it_is_freed() -> None:
    task = queued(blocked_by=("a", "b"), run_at=T + HOUR)
    assert (task.state, task.blocked_at, task.held) == (State.BLOCKED, T, False)
    fewer = lifecycle.block(task, now=T + 1, blocked_by=("b",), reason=None, held=False).task
    assert (fewer.blocked_by, fewer.blocked_at) == (("b",), T)
    assert lifecycle.unblock(fewer, now=T + 2).task.state is State.SCHEDULED
    assert lifecycle.unblock(fewer, now=T + HOUR).task.state is State.QUEUED


def test_a_client_can_hold_a_queued_task() -> None:
    task = lifecycle.block(queued(), now=T + 1, blocked_by=(), reason="Waits for Ann.", held=True).task
    assert (task.state, task.held, task.blocked_at, task.blocked_reason) == (
        State.BLOCKED,
        True,
        T + 1,
        "Waits for Ann.",
    )


def test_what_waits_for_a_task_that_failed_fails_and_runs_again_only_when_it_is_told_to() -> None:
    waiting = queued(blocked_by=("a",), trigger=DAILY)
    task = lifecycle.fail_dependency(waiting, now=T, reason="Task a failed.").task
    assert task.state is State.FAILED
    assert task.failure == Failure("dependency_failed", "Task a failed.")
    assert task.next_run_at is None
    revived = lifecycle.retry(task, now=T, unmet=("a",)).task
    assert (revived.state, revived.blocked_by, revived.blocked_at) == (State.BLOCKED, ("a",), T)


def test_a_task_that_could_not_start_in_time_fails() -> None:
    task = queued(start_by=T + HOUR)
    with pytest.raises(IllegalChange, match="did not miss"):
        lifecycle.miss_start(task, now=T + HOUR - 1)
    missed = lifecycle.miss_start(task, now=T + HOUR).task
    assert missed.failure is not None
    assert (missed.state, missed.failure.code) == (State.FAILED, "start_by_passed")


def test_a_task_that_waits_for_its_next_try_has_started_in_time() -> None:
    started = running(start_by=T + HOUR, max_attempts=2)
    task = lifecycle.fail(started, now=T, failure=BROKEN, retry_in=DAY).task
    with pytest.raises(IllegalChange, match="did not miss"):
        lifecycle.miss_start(task, now=T + HOUR)
