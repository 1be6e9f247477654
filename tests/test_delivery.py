import pytest
from msgspec.structs import replace

from milepost import delivery, lifecycle
from milepost.task import Counts, State, Task

T = 1_800_000_000_000_000
CHILD = Task(id="child", tenant="t", owner="o", type="intake", created_at=T, updated_at=T, parent="standing")
STANDING = replace(CHILD, id="standing", parent=None, runner="external", state=State.RUNNING)


def at(state: State) -> Task:
    return replace(CHILD, state=state)


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (None, State.QUEUED, Counts(0, 1, 0)),
        (State.QUEUED, State.RUNNING, Counts(0, 0, 0)),
        (State.RUNNING, State.QUEUED, Counts(0, 0, 0)),
        (State.RUNNING, State.SUCCEEDED, Counts(1, 0, 0)),
        (State.RUNNING, State.FAILED, Counts(1, 0, 1)),
        (State.PAUSED, State.CANCELLED, Counts(1, 0, 1)),
        (State.FAILED, State.QUEUED, Counts(-1, 0, -1)),
        (State.SUCCEEDED, State.QUEUED, Counts(-1, 0, 0)),
        (State.SUCCEEDED, State.SUCCEEDED, Counts(0, 0, 0)),
    ],
)
def test_each_change_of_a_child_adds_what_it_is_worth(before: State | None, after: State, more: Counts) -> None:
    assert delivery.counted(None if before is None else at(before), at(after)) == more


def test_counts_add_up_and_what_its_client_counts_besides_stays() -> None:
    task = replace(STANDING, counts=Counts(done=1, total=4, failed=1, skipped=3), version=7)
    step = delivery.count(task, CHILD, Counts(1, 0, 0), now=T + 1)
    assert step is not None
    after = replace(task, counts=Counts(2, 4, 1, 3), progress=0.5, version=8, updated_at=T + 1)
    assert step == lifecycle.Step(after)


@pytest.mark.parametrize("more", [Counts(-1, 0, -1), Counts(5, 0, 9), Counts(0, -1, 0)])
def test_counts_stay_within_their_bounds(more: Counts) -> None:
    step = delivery.count(STANDING, CHILD, more, now=T)
    assert step is not None
    assert (step.task.counts, step.task.progress) == (Counts(0, 0, 0), 0.0)


@pytest.mark.parametrize(
    ("parent", "child", "more"),
    [
        (replace(STANDING, runner="loop"), CHILD, Counts(1, 0, 0)),
        (replace(STANDING, type="other"), CHILD, Counts(1, 0, 0)),
        (replace(STANDING, state=State.SUCCEEDED), CHILD, Counts(1, 0, 0)),
        (STANDING, replace(CHILD, runner="external"), Counts(1, 0, 0)),
        (STANDING, CHILD, delivery.NOTHING_MORE),
    ],
)
def test_only_deliveries_of_one_that_stands_count(parent: Task, child: Task, more: Counts) -> None:
    assert delivery.count(parent, child, more, now=T) is None
