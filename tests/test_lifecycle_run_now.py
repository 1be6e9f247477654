"""Run now: a task runs ahead of its time, anew, or once more."""

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from milepost import lifecycle, trigger
from milepost.lifecycle import IllegalChange, Step
from milepost.task import Counts, State, Task
from milepost.times import DAY, HOUR, MINUTE
from milepost.trigger import Trigger
from tests.drafts import BROKEN, ROWS, T, queued, running


def ran(task: Task, now: int) -> Task:
    """The task after a try that succeeded at once."""
    taken = lifecycle.claim(task, now=now, worker="w1").task
    return lifecycle.succeed(taken, now=now, result=ROWS).task


def test_a_scheduled_task_does_not_wait_for_its_time() -> None:
    step = lifecycle.run_now(queued(run_at=T + DAY), now=T + HOUR)
    assert (step.task.state, step.task.run_at, step.task.run) == (State.QUEUED, T + HOUR, 1)
    assert [(entry.source, entry.target) for entry in step.entries] == [(State.SCHEDULED, State.QUEUED)]


def test_a_try_that_waits_for_its_time_keeps_its_attempts() -> None:
    waiting = lifecycle.fail(running(max_attempts=2), now=T, failure=BROKEN, retry_in=HOUR).task
    task = lifecycle.run_now(waiting, now=T + MINUTE).task
    assert (task.state, task.attempt) == (State.QUEUED, 1)


@pytest.mark.parametrize("task", [queued(), running(), lifecycle.cancel(running(), now=T).task])
def test_what_is_queued_or_runs_is_left_alone(task: Task) -> None:
    assert lifecycle.run_now(task, now=T + 1) == Step(task)


@pytest.mark.parametrize(
    "ended",
    [lifecycle.fail(running(), now=T, failure=BROKEN).task, lifecycle.cancel(queued(run_at=T + DAY), now=T).task],
)
def test_a_failed_or_cancelled_task_is_retried(ended: Task) -> None:
    for unmet in ((), ("other",)):
        step = lifecycle.run_now(ended, now=T + HOUR, unmet=unmet)
        assert step == lifecycle.retry(ended, now=T + HOUR, unmet=unmet)
        assert step.task.state is (State.BLOCKED if unmet else State.QUEUED)


def test_a_task_that_succeeded_runs_once_more() -> None:
    done = ran(queued(), T)
    step = lifecycle.run_now(done, now=T + HOUR)
    task = step.task
    assert (task.state, task.run, task.attempt, task.run_at) == (State.QUEUED, 2, 0, T + HOUR)
    assert (task.result, task.finished_at, task.expires_at, task.counts) == (None, None, None, Counts())
    assert (task.has_succeeded, task.log_bytes, step.checkpoint, step.traceback) == (True, 0, None, None)
    assert ran(task, T + HOUR).next_run_at is None


TRIGGERS = (Trigger(every=DAY), Trigger(repeat="daily"), Trigger(cron="0 7 * * *"))


@pytest.mark.parametrize("said", TRIGGERS)
def test_a_run_ahead_of_the_first_is_one_more(said: Trigger) -> None:
    kept, due = trigger.first(said, now=T, run_at=T + DAY)
    assert due == T + DAY
    scheduled = queued(trigger=kept, run_at=due)
    early = ran(lifecycle.run_now(scheduled, now=T + HOUR).task, T + HOUR)
    assert (early.run, early.next_run_at) == (1, T + DAY)
    first = ran(lifecycle.next_run(early, now=T + DAY).task, T + DAY)
    assert (first.run, first.next_run_at) == (2, T + 2 * DAY)


def test_so_it_is_when_its_tries_took_until_after_that() -> None:
    kept, due = trigger.first(Trigger(repeat="daily"), now=T, run_at=T + DAY)
    early = lifecycle.run_now(queued(trigger=kept, run_at=due), now=T + HOUR).task
    assert ran(early, T + DAY).next_run_at == T + 2 * DAY


@pytest.mark.parametrize("said", TRIGGERS)
@pytest.mark.parametrize("outcome", ["succeed", "fail"])
def test_between_runs_the_next_one_comes_now_and_the_plan_stays(said: Trigger, outcome: str) -> None:
    kept, due = trigger.first(said, now=T, run_at=T)
    taken = running(trigger=kept, run_at=due)
    arguments: dict[str, Any] = {"failure": BROKEN} if outcome == "fail" else {}
    ended = getattr(lifecycle, outcome)(taken, now=T + MINUTE, **arguments).task
    assert ended.next_run_at == T + DAY
    again = lifecycle.run_now(ended, now=T + HOUR).task
    assert (again.state, again.run, again.run_at) == (State.QUEUED, 2, T + HOUR)
    assert ran(again, T + HOUR).next_run_at == T + DAY


def test_what_missed_its_start_did_not_run_ahead_of_its_time() -> None:
    kept, due = trigger.first(Trigger(every=DAY), now=T, run_at=T + DAY)
    missed = lifecycle.miss_start(queued(trigger=kept, run_at=due, start_by=T + HOUR), now=T + HOUR).task
    assert missed.next_run_at == T + 2 * DAY


@pytest.mark.parametrize("task", [lifecycle.pause(queued(), now=T).task, queued(blocked_by=("other",))])
def test_what_is_paused_or_blocked_is_refused(task: Task) -> None:
    with pytest.raises(IllegalChange) as refused:
        lifecycle.run_now(task, now=T)
    assert (refused.value.change, refused.value.state) == ("run_now", task.state)


def test_a_next_run_that_was_called_off_is_a_retry() -> None:
    done = ran(queued(trigger=replace(Trigger(every=DAY), anchor=T), run_at=T), T)
    ended = lifecycle.cancel(done, now=T).task
    assert lifecycle.run_now(ended, now=T + HOUR).task.run == 2
    assert lifecycle.run_now(ended, now=T + HOUR).checkpoint is not UNSET


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED, State.SUCCEEDED])
def test_what_its_client_carries_out_is_nobody_s_to_run(state: State) -> None:
    with pytest.raises(IllegalChange, match="Its client carries this task out"):
        lifecycle.run_now(replace(queued(runner="external"), state=state), now=T + 1)
