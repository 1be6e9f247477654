"""Cancel, pause and retry: what somebody asks for, and when it comes true."""

from typing import Any

import pytest
from msgspec import UNSET

from milepost import lifecycle
from milepost.lifecycle import Report, Step
from milepost.task import Counts, State, Task
from milepost.times import DAY, HOUR
from tests.drafts import BROKEN, T, external, queued, running


def test_p5_a_cancel_of_running_work_is_a_request_until_it_stops() -> None:
    task = lifecycle.cancel(running(), now=T + 1).task
    assert (task.state, task.cancel_requested, task.finished_at) == (State.RUNNING, True, None)
    stopped = lifecycle.park(task, now=T + 2).task
    assert (stopped.state, stopped.cancel_requested, stopped.finished_at) == (State.CANCELLED, False, T + 2)


def test_p5_work_that_finishes_before_it_stops_has_succeeded() -> None:
    asked = lifecycle.pause(lifecycle.cancel(running(), now=T).task, now=T).task
    task = lifecycle.succeed(asked, now=T).task
    assert (task.state, task.cancel_requested, task.pause_requested) == (State.SUCCEEDED, False, False)


def test_a_cancel_while_a_retry_is_due_ends_the_task() -> None:
    waiting = lifecycle.fail(running(max_attempts=2), now=T, failure=BROKEN, retry_in=HOUR).task
    assert lifecycle.cancel(waiting, now=T).task.state is State.CANCELLED


def test_a_try_that_fails_when_it_was_to_be_cancelled_is_not_followed_by_another() -> None:
    asked = lifecycle.cancel(running(max_attempts=2), now=T).task
    assert lifecycle.fail(asked, now=T, failure=BROKEN, retry_in=HOUR).task.state is State.CANCELLED


def test_a_try_that_fails_when_it_was_to_pause_leaves_the_task_paused_with_its_backoff() -> None:
    asked = lifecycle.pause(running(max_attempts=2), now=T).task
    task = lifecycle.fail(asked, now=T, failure=BROKEN, retry_in=HOUR).task
    assert (task.state, task.pause_requested) == (State.PAUSED, False)
    assert lifecycle.resume(task, now=T).task.state is State.SCHEDULED
    assert lifecycle.resume(task, now=T + HOUR).task.state is State.QUEUED


def test_a_task_that_waits_is_paused_and_resumed_at_once() -> None:
    task = lifecycle.pause(queued(), now=T).task
    assert task.state is State.PAUSED
    assert lifecycle.resume(task, now=T).task.state is State.QUEUED


def test_a_requested_pause_can_be_taken_back() -> None:
    task = lifecycle.resume(lifecycle.pause(running(), now=T).task, now=T).task
    assert (task.state, task.pause_requested) == (State.RUNNING, False)


@pytest.mark.parametrize("again", [lifecycle.cancel, lifecycle.pause, lifecycle.resume])
@pytest.mark.parametrize("state", [State.RUNNING, State.QUEUED])
def test_p4_asking_twice_changes_nothing_the_second_time(again: Any, state: State) -> None:
    once = again(running() if state is State.RUNNING else queued(), now=T).task
    assert again(once, now=T + 1) == Step(once)


def test_a_retry_begins_again_with_all_attempts() -> None:
    told = Report(0.5, "Reading", Counts(1, 2))
    started = running(max_attempts=1, run_at=T - DAY, start_by=T + 1)
    spent = lifecycle.fail(started, now=T, failure=BROKEN, report=told).task
    step = lifecycle.retry(spent, now=T + HOUR)
    task = step.task
    assert (task.state, task.attempt, task.run_at, task.start_by) == (State.QUEUED, 0, None, None)
    assert (task.failure, task.finished_at, task.expires_at, task.started_at) == (None, None, None, None)
    assert (task.progress, task.message, task.counts, task.losses) == (0.0, None, Counts(), 0)
    assert (step.checkpoint, step.traceback) == (UNSET, None)
    assert lifecycle.claim(task, now=T + HOUR, worker="w1").task.attempt == 1


def test_a_retry_of_what_was_cancelled_while_parked_is_a_first_attempt() -> None:
    cancelled = lifecycle.cancel(lifecycle.park(running(), now=T).task, now=T).task
    again = lifecycle.retry(cancelled, now=T).task
    assert lifecycle.claim(again, now=T, worker="w1").task.attempt == 1


@pytest.mark.parametrize(
    "task",
    [queued(), queued(run_at=T + HOUR), queued(blocked_by=("a",)), lifecycle.pause(queued(), now=T).task],
    ids=lambda task: task.state,
)
def test_what_has_not_begun_can_be_dropped(task: Task) -> None:
    assert not lifecycle.has_begun(task)
    assert lifecycle.drop(task, now=T + 1) == lifecycle.cancel(task, now=T + 1)


@pytest.mark.parametrize(
    "task",
    [
        running(),
        lifecycle.begin(external(), now=T, state=State.RUNNING).task,
        lifecycle.park(running(), now=T).task,
        lifecycle.lose(running(), now=T).task,
        lifecycle.retry(lifecycle.cancel(lifecycle.park(running(), now=T).task, now=T).task, now=T).task,
        lifecycle.succeed(running(), now=T).task,
        lifecycle.cancel(queued(), now=T).task,
    ],
    ids=lambda task: task.state,
)
def test_what_has_begun_or_ended_is_not_dropped(task: Task) -> None:
    assert lifecycle.has_begun(task)
    assert lifecycle.drop(task, now=T + 1) == Step(task)
