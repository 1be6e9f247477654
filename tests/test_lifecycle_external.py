"""External tasks: what their clients may do, and the engine may not."""

import pytest

from milepost import lifecycle
from milepost.lifecycle import MAX_LOSSES, IllegalChange, Report
from milepost.task import State
from milepost.times import DAY, SECOND
from tests.drafts import BROKEN, ROWS, T, draft, external, running


def test_a_client_drives_its_task_from_queued_to_completed_and_back() -> None:
    task = lifecycle.begin(external(), now=T).task
    task = lifecycle.drive(task, now=T, state=State.RUNNING, report=Report(0.25)).task
    assert (task.started_at, task.attempt, task.leased_until) == (T, 1, T + 60 * SECOND)
    task = lifecycle.drive(task, now=T + SECOND, state=State.RUNNING, title="Export").task
    assert (task.attempt, task.leased_until, task.title) == (1, T + 61 * SECOND, "Export")
    task = lifecycle.drive(task, now=T + SECOND, state=State.SUCCEEDED, result=ROWS).task
    assert (task.state, task.result, task.progress, task.has_succeeded) == (State.SUCCEEDED, ROWS, 1.0, True)
    with pytest.raises(IllegalChange, match=r"^A task that is succeeded can't become running\.$"):
        lifecycle.drive(task, now=T + SECOND, state=State.RUNNING)
    task = lifecycle.drive(task, now=T + SECOND, state=State.QUEUED, report=Report(0.1)).task
    assert (task.result, task.finished_at, task.attempt, task.progress) == (None, None, 1, 0.1)
    assert task.retry_count == 1, "its client counts on"


@pytest.mark.parametrize("state", [State.PAUSED, State.BLOCKED])
def test_work_that_a_client_interrupts_carries_on_with_the_same_attempt(state: State) -> None:
    task = lifecycle.begin(external(), now=T, state=State.RUNNING).task
    task = lifecycle.drive(task, now=T, state=state).task
    assert lifecycle.drive(task, now=T, state=State.RUNNING).task.attempt == 1


def test_work_that_a_client_gives_back_is_tried_again() -> None:
    task = lifecycle.begin(external(), now=T, state=State.RUNNING).task
    task = lifecycle.drive(task, now=T, state=State.QUEUED).task
    assert lifecycle.drive(task, now=T, state=State.RUNNING).task.attempt == 2


def test_a_client_that_fell_silent_may_do_so_for_ever() -> None:
    task = lifecycle.begin(external(), now=T).task
    for losses in range(1, MAX_LOSSES + 2):
        task = lifecycle.drive(task, now=T, state=State.RUNNING).task
        task = lifecycle.lose(task, now=T).task
        assert (task.state, task.losses, task.attempt) == (State.QUEUED, losses, 1)


def test_a_client_may_begin_with_running_work() -> None:
    task = lifecycle.begin(external(), now=T, state=State.RUNNING).task
    assert (task.attempt, task.started_at, task.leased_until) == (1, T, T + 60 * SECOND)


def test_a_client_may_count_its_retries_itself() -> None:
    task = lifecycle.begin(external(), now=T).task
    assert (task.retry_count, task.attempt) == (0, 0)
    task = lifecycle.drive(task, now=T, state=State.QUEUED, retry_count=2).task
    assert (task.retry_count, task.attempt) == (2, 2)
    for state in (State.RUNNING, State.PAUSED, State.BLOCKED, State.RUNNING):
        task = lifecycle.drive(task, now=T, state=state).task
        assert (task.retry_count, task.attempt) == (2, 3)
    task = lifecycle.drive(task, now=T, state=State.QUEUED).task
    assert (task.retry_count, task.attempt) == (3, 3)
    task = lifecycle.drive(task, now=T, state=State.FAILED, retry_count=0).task
    assert (task.retry_count, task.attempt) == (0, 1)
    task = lifecycle.drive(task, now=T, state=State.QUEUED, retry_count=1).task
    assert (task.retry_count, lifecycle.drive(task, now=T, state=State.RUNNING).task.retry_count) == (1, 1)


def test_retries_of_what_the_engine_runs_are_counted_from_its_attempts() -> None:
    assert running().retry_count == 0
    again = lifecycle.fail(running(max_attempts=3), now=T, failure=BROKEN, retry_in=0).task
    assert (again.state, again.retry_count) == (State.QUEUED, 1)
    again = lifecycle.claim(again, now=T, worker="w1").task
    assert again.retry_count == 1
    parked = lifecycle.park(again, now=T).task
    assert (parked.state, parked.retry_count) == (State.QUEUED, 1)
    assert lifecycle.cancel(lifecycle.begin(draft(), now=T).task, now=T).task.retry_count == 0


@pytest.mark.parametrize("state", [state for state in State if not state.terminal])
def test_what_a_client_drives_is_discarded_as_cancelled(state: State) -> None:
    task = lifecycle.begin(external(blocked_by=("a",)), now=T, state=state).task
    assert lifecycle.discard(task, now=T).task.state is State.CANCELLED


def test_what_a_worker_is_at_can_not_be_discarded() -> None:
    assert lifecycle.discard(lifecycle.begin(draft(), now=T).task, now=T).task.state is State.CANCELLED
    with pytest.raises(IllegalChange, match="A worker runs this task"):
        lifecycle.discard(running(), now=T)


def test_a_client_without_a_lease_may_be_silent() -> None:
    task = lifecycle.begin(draft(runner="external"), now=T, state=State.RUNNING).task
    assert (task.attempt, task.started_at, task.leased_until) == (1, T, None)


def test_a_client_blocks_its_task_until_it_says_otherwise() -> None:
    task = lifecycle.begin(external(blocked_reason="Waits for Ann."), now=T, state=State.BLOCKED).task
    assert (task.held, task.blocked_at, task.blocked_reason) == (True, T, "Waits for Ann.")
    task = lifecycle.drive(task, now=T + 1, state=State.BLOCKED, blocked_reason="Waits for Bob.").task
    assert (task.held, task.blocked_at, task.blocked_reason) == (True, T, "Waits for Bob.")
    task = lifecycle.drive(task, now=T + 2, state=State.RUNNING).task
    assert (task.held, task.blocked_at, task.blocked_reason) == (False, None, None)


def test_what_a_client_says_of_a_task_that_waits_for_others_does_not_hold_it() -> None:
    task = lifecycle.begin(external(blocked_by=("a",)), now=T).task
    told = lifecycle.drive(task, now=T, state=State.BLOCKED, report=Report(message="Soon.")).task
    assert (told.blocked_by, told.held) == (("a",), False)
    assert lifecycle.drive(task, now=T, state=State.BLOCKED, held=True).task.held
    assert lifecycle.drive(task, now=T, state=State.BLOCKED, blocked_by=()).task.held


def test_a_failure_that_a_client_does_not_explain_is_an_error_in_the_log() -> None:
    task = lifecycle.begin(external(), now=T, state=State.RUNNING).task
    unexplained = lifecycle.drive(task, now=T, state=State.FAILED)
    assert (unexplained.task.result, unexplained.task.failure) == (None, None)
    assert (unexplained.entries[0].level, unexplained.entries[0].message) == ("error", "failure")
    explained = lifecycle.drive(task, now=T, state=State.FAILED, failure=BROKEN)
    assert explained.task.failure == BROKEN
    assert explained.entries[0].message == "It broke."


def test_a_task_that_begins_at_its_end_is_complete() -> None:
    task = lifecycle.begin(external(), now=T, state=State.SUCCEEDED).task
    assert (task.finished_at, task.expires_at) == (T, T + 30 * DAY)
    assert (task.has_succeeded, task.progress) == (True, 1.0)


def test_the_engine_and_clients_keep_off_each_others_tasks() -> None:
    with pytest.raises(IllegalChange, match="its client does"):
        lifecycle.claim(lifecycle.begin(external(), now=T).task, now=T, worker="w1")
    with pytest.raises(IllegalChange, match="The engine runs this task"):
        lifecycle.drive(running(), now=T, state=State.SUCCEEDED)
    with pytest.raises(IllegalChange, match="The engine runs this task"):
        lifecycle.begin(draft(), now=T, state=State.SUCCEEDED)
