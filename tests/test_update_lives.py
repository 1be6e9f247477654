"""Whatever a client says of a task, wherever that stands: an update is refused, or keeps what every change keeps."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from milepost import lifecycle
from milepost.lifecycle import IllegalChange, Step
from milepost.task import Counts, Failure, State, Task
from milepost.times import HOUR
from milepost.update import LABELS, Update, checked, updated
from tests.drafts import T
from tests.moves import BEGINNINGS, CHANGES, legal

IDS = ("00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002")
texts = st.sampled_from(["", "a"])
ids = st.lists(st.sampled_from(IDS), max_size=2).map(tuple)

updates = st.builds(
    Update,
    **{
        name: st.just(msgspec.UNSET) | values
        for name, values in {
            **dict.fromkeys(("title", "list_id", "assignee", "blocked_reason"), st.none() | texts),
            "metadata": st.none() | st.just({"a": 1}),
            "blocked_by": ids,
            "state": st.sampled_from(State),
            "progress": st.floats(0, 1),
            "message": texts,
            "counts": st.just(Counts(1, 2)),
            "result": st.none() | st.just(msgspec.Raw(b"{}")),
            "failure": st.none() | st.just(Failure("failed", "It failed.")),
            "max_attempts": st.integers(1, 11),
            "retry_count": st.integers(0, 11),
        }.items()
    },
)


@st.composite
def standings(draw: st.DrawFn) -> Task:
    """A task somewhere in its life."""
    task = draw(st.sampled_from(BEGINNINGS)).task
    for change, arguments in draw(st.lists(st.sampled_from(CHANGES), max_size=6)):
        if legal(change, task) and change != "expire_result":
            try:
                task = getattr(lifecycle, change)(task, now=T + HOUR, **arguments).task
            except IllegalChange:
                continue
    return task


def made(task: Task, update: Update, unmet: tuple[str, ...]) -> Step | None:
    """What it makes of the task; None where it is refused."""
    checked(update)
    try:
        return updated(task, update, unmet, T + HOUR)
    except IllegalChange:
        return None


def differing(before: Task, after: Task) -> set[str]:
    fields: dict[str, Any] = msgspec.structs.asdict(after)
    return {name for name, value in msgspec.structs.asdict(before).items() if fields[name] != value}


@given(standings(), updates, ids)
def test_p4_an_update_raises_the_version_by_one_or_changes_nothing(
    task: Task, update: Update, unmet: tuple[str, ...]
) -> None:
    step = made(task, update, unmet)
    if step is not None:
        assert step.task.version - task.version == bool(differing(task, step.task) or step.task is not task)
        assert step.task.version <= task.version + 1


@given(standings(), updates, ids)
def test_p3_of_an_ended_task_only_labels_change_unless_it_begins_again(
    task: Task, update: Update, unmet: tuple[str, ...]
) -> None:
    step = made(task, update, unmet)
    if step is None or not task.state.terminal or not step.task.state.terminal:
        return
    ends_repetition = {"next_run_at", "expires_at"} if task.next_run_at is not None else set()
    assert differing(task, step.task) <= {*LABELS, "version", "updated_at"} | ends_repetition


@given(standings(), updates, ids)
def test_p10_a_blocked_task_says_what_it_waits_for_and_no_other_does(
    task: Task, update: Update, unmet: tuple[str, ...]
) -> None:
    step = made(task, update, unmet)
    if step is None:
        return
    after = step.task
    if after.state is State.BLOCKED:
        assert after.blocked_at is not None
        assert after.held or after.blocked_by
    else:
        assert (after.blocked_by, after.blocked_reason, after.blocked_at, after.held) == ((), None, None, False)


@given(standings(), updates, ids)
def test_p5_the_engine_s_work_is_never_said_to_be_where_it_is_not(
    task: Task, update: Update, unmet: tuple[str, ...]
) -> None:
    step = made(task, update, unmet)
    if step is None or task.runner == "external":
        return
    after = step.task
    assert not {"progress", "message", "counts", "attempt", "max_attempts"} & differing(task, after) or (
        task.state.terminal and after.state in (State.QUEUED, State.BLOCKED)
    )
    if task.state is State.RUNNING:
        assert after.state is State.RUNNING
        assert after.worker == task.worker


@given(standings(), updates, ids)
def test_a_retry_count_is_what_its_client_said(task: Task, update: Update, unmet: tuple[str, ...]) -> None:
    step = made(task, update, unmet)
    if step is not None and isinstance(update.retry_count, int):
        assert step.task.retry_count == update.retry_count
