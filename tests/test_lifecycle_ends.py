"""What becomes of a task that has ended: its next runs, and its retention."""

from typing import Any

import pytest
from msgspec.structs import replace

from milepost import lifecycle
from milepost.lifecycle import IllegalChange, Step, as_of
from milepost.task import State, Task
from milepost.times import DAY, HOUR, SECOND
from milepost.trigger import Trigger
from tests.drafts import BROKEN, DAILY, ROWS, T, running

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
    assert (again.state, again.run, again.run_at, again.next_run_at) == (State.QUEUED, 2, T + DAY, None)
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
    assert (during.state, during.next_run_at, during.expires_at) == (State.CANCELLED, None, T + 30 * DAY)
    rested = lifecycle.succeed(running(trigger=DAILY), now=T).task
    between = lifecycle.cancel(rested, now=T + HOUR).task
    assert (between.state, between.next_run_at) == (State.SUCCEEDED, None)
    assert between.expires_at == T + HOUR + 30 * DAY
    with pytest.raises(IllegalChange):
        lifecycle.next_run(between, now=T + DAY)


def test_a_cancel_ends_the_repetition_also_when_the_run_finishes_first() -> None:
    task = Task("t", "default", "ada", "work", 0, 0, trigger=Trigger(every=HOUR, anchor=0))
    running = lifecycle.claim(lifecycle.begin(task, now=1).task, now=2, worker="w").task
    asked = lifecycle.cancel(running, now=3).task
    done = lifecycle.succeed(asked, now=4).task
    assert (done.state, done.next_run_at, done.cancel_requested) == (State.SUCCEEDED, None, False)
    assert done.expires_at is not None


def test_a_task_with_one_due_time_ends_for_good() -> None:
    task = lifecycle.succeed(running(trigger=Trigger(once=T)), now=T).task
    assert (task.next_run_at, task.expires_at) == (None, T + 30 * DAY)


def test_each_run_may_fill_the_log_anew() -> None:
    task = Task("t", "default", "ada", "work", 0, 0, trigger=Trigger(every=HOUR, anchor=0))
    running = lifecycle.claim(lifecycle.begin(task, now=1).task, now=2, worker="w").task
    done = replace(lifecycle.succeed(running, now=4).task, log_bytes=5000, log_dropped=7, log_seq=9)
    again = lifecycle.next_run(done, now=2 * HOUR).task
    assert (again.log_bytes, again.log_dropped, again.log_seq) == (0, 0, 9)


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
