"""What a try leaves behind when it succeeds, fails, is parked, or is lost."""

from typing import Any

import pytest

from milepost import lifecycle
from milepost.lifecycle import Report
from milepost.task import Counts, Entry, Failure, State, Task
from milepost.times import DAY, MINUTE
from tests.drafts import BROKEN, ROWS, T, queued, running


def test_a_try_that_succeeds() -> None:
    last = Report(message="Done.", counts=Counts(3, 3, 1, 0), entries=(Entry(T + 1, "log", 1, message="bye"),))
    task, entries, *_ = lifecycle.succeed(running(), now=T + 1, result=ROWS, report=last)
    assert (task.state, task.progress, task.message, task.result) == (State.SUCCEEDED, 1.0, "Done.", ROWS)
    assert (task.started_at, task.finished_at) == (T, T + 1)
    assert (task.result_expires_at, task.expires_at) == (T + 1 + 7 * DAY, T + 1 + 30 * DAY)
    assert entries == (
        *last.entries,
        Entry(T + 1, "outcome", 1, "info", "success", {"done": 3, "total": 3, "failed": 1, "skipped": 0}),
        Entry(T + 1, "state", 1, source=State.RUNNING, target=State.SUCCEEDED),
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
    assert (step.task.state, step.task.run_at, step.task.failure) == (State.SCHEDULED, T + MINUTE, None)
    assert step.traceback == "Traceback"
    assert step.entries[0] == Entry(T, "outcome", 1, "error", "It broke.", {"code": "broken"})
    again = lifecycle.enqueue(step.task, now=T + MINUTE).task
    again = lifecycle.claim(again, now=T + MINUTE, worker="w2").task
    assert (again.attempt, again.epoch, again.started_at) == (2, 2, T)
    last = lifecycle.fail(again, now=T + MINUTE, failure=BROKEN, retry_in=MINUTE).task
    assert (last.state, last.failure) == (State.FAILED, BROKEN)


def test_a_try_may_follow_at_once() -> None:
    tried = running(max_attempts=2)
    assert lifecycle.fail(tried, now=T, failure=BROKEN, retry_in=0).task.state is State.QUEUED
    assert lifecycle.fail(tried, now=T, failure=BROKEN, retry_in=1).task.state is State.SCHEDULED


def test_no_try_follows_where_another_makes_no_sense() -> None:
    assert lifecycle.fail(running(max_attempts=2), now=T, failure=BROKEN).task.state is State.FAILED


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
    assert (
        parked.task.state
        is {lifecycle.pause: State.PAUSED, lifecycle.cancel: State.CANCELLED, None: State.QUEUED}[wish]
    )
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
        assert (task.state, task.losses, task.attempt) == (State.QUEUED, losses, 1)
        assert step.entries[0] == Entry(T, "outcome", 1, "warning", "worker lost", {"losses": losses})
    task = lifecycle.lose(lifecycle.claim(task, now=T, worker="w1").task, now=T).task
    assert task.failure is not None
    assert (task.state, task.losses, task.failure.code) == (State.FAILED, 3, "worker_lost")


def lost(task: Task, **arguments: Any) -> Task:
    return lifecycle.lose(lifecycle.claim(task, now=T, worker="w1").task, now=T, **arguments).task


def test_once_it_was_lost_a_task_runs_apart_if_its_function_can_be_found() -> None:
    def claimed(task: Task, **arguments: Any) -> Task:
        return lifecycle.claim(task, now=T, worker="w1", **arguments).task

    assert not claimed(queued()).apart
    assert claimed(queued(runner="process")).apart
    assert claimed(lost(queued())).apart
    assert not claimed(lost(queued()), can_run_apart=False).apart


def test_p2_who_runs_apart_is_not_to_blame_for_what_others_do_to_their_worker() -> None:
    task = lost(queued(), in_company=True)
    assert (task.losses, task.own_losses) == (1, 1)  # it ran where they ran
    for losses in range(2, 9):
        task = lost(task, in_company=True)
        assert (task.state, task.losses, task.own_losses) == (State.QUEUED, losses, 1)
    task = lost(task)
    assert (task.state, task.own_losses) == (State.QUEUED, 2)
    task = lost(task, how="exit code 1")
    assert (task.state, task.losses, task.own_losses) == (State.FAILED, 10, 3)
    assert task.failure == Failure("worker_lost", "What ran this task was lost 3 times (exit code 1).")
    again = lifecycle.retry(task, now=T).task
    assert (again.losses, again.own_losses) == (0, 0)


def test_p2_what_can_not_run_apart_shares_the_blame() -> None:
    task = queued()
    for _ in range(3):
        claimed = lifecycle.claim(task, now=T, worker="w1", can_run_apart=False).task
        task = lifecycle.lose(claimed, now=T, in_company=True).task
    assert task.state is State.FAILED


def test_a_process_that_died_says_how_and_what_it_had_told() -> None:
    told = Report(0.5, entries=(Entry(T, "log", 1, message="page read"),), checkpoint=b"7")
    step = lifecycle.lose(running(), now=T, how="signal SIGKILL", report=told)
    assert (step.task.state, step.task.progress, step.checkpoint) == (State.QUEUED, 0.5, b"7")
    assert [entry.message for entry in step.entries] == ["page read", "signal SIGKILL", ""]


def test_a_lost_lease_carries_out_what_was_requested() -> None:
    assert lifecycle.lose(lifecycle.pause(running(), now=T).task, now=T).task.state is State.PAUSED
    assert lifecycle.lose(lifecycle.cancel(running(), now=T).task, now=T).task.state is State.CANCELLED
