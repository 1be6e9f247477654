"""What the ends of other tasks mean to one that waits for them."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from milepost import dependency, lifecycle
from milepost.dependency import Dependency, Fate
from milepost.task import State, Task

NOW = 1_776_436_202_000_000
LATER = NOW + 1

IDS = ("a", "b", "c")

dependencies = st.builds(
    Dependency,
    st.sampled_from(IDS),
    st.none() | st.sampled_from(State),
    st.booleans(),
    st.none() | st.just(LATER),
    any_end=st.booleans(),
)
several = st.lists(dependencies, unique_by=lambda each: each.id)
wishes = st.sampled_from(["fail", "run", "stay"])


def blocked(**fields: object) -> Task:
    draft = Task(
        id="x", tenant="t", owner="o", type="job", created_at=NOW, updated_at=NOW, depends_on=IDS, blocked_by=IDS
    )
    return lifecycle.begin(replace(draft, **fields), now=NOW).task


def test_a_task_has_a_fate() -> None:
    fates = {state: Dependency("a", state).fate for state in State}
    ended = {State.SUCCEEDED, State.FAILED, State.CANCELLED}
    assert fates == {state: Fate.FAILED if state in ended else Fate.OPEN for state in State}
    assert Dependency("a", State.RUNNING, has_succeeded=True).fate is Fate.MET
    assert Dependency("a", State.FAILED, next_run_at=LATER).fate is Fate.OPEN
    assert Dependency("a", None).fate is Fate.FAILED


def test_a_record_is_seen_as_a_dependency() -> None:
    task = blocked(has_succeeded=True)
    assert dependency.of(task) == Dependency("x", State.BLOCKED, has_succeeded=True)


def test_a_task_waits_for_those_in_the_order_in_which_it_names_them() -> None:
    unmet = [Dependency("c", State.RUNNING), Dependency("b", State.SUCCEEDED, True), Dependency("a", State.QUEUED)]
    assert dependency.awaited(blocked(), unmet) == ("a", "c")


def test_what_is_gone_fails_even_what_would_stay() -> None:
    task = blocked(on_dependency_failure="stay")
    step, blames = dependency.review(task, [Dependency("a", State.FAILED), Dependency("b", None)], now=LATER)
    assert step is not None
    assert (step.task.state, blames) == (State.FAILED, "b")
    assert step.task.failure is not None
    assert step.task.failure.message == "Task b, which this one waits for, is gone."


def test_nothing_new_is_nothing_to_say() -> None:
    task = dependency.reasoned(lifecycle.begin(blocked(blocked_by=("a",)), now=NOW)).task
    assert task.blocked_reason == "Waits for task a."
    assert dependency.review(task, [Dependency("a", State.RUNNING)], now=LATER) == (None, None)


@given(several, wishes, st.booleans())
def test_p10_whatever_becomes_of_them_a_blocked_task_says_what_it_waits_for(
    unmet: list[Dependency], wish: str, held: bool
) -> None:
    named = ("z",) if held else ()
    task = dependency.reasoned(
        lifecycle.begin(blocked(on_dependency_failure=wish, held=held, blocked_by=IDS + named), now=NOW)
    ).task
    step, blames = dependency.review(task, unmet, now=LATER)
    after = task if step is None else step.task
    failed = {each.id for each in unmet if each.fate is Fate.FAILED and not each.any_end}
    still = {each.id for each in unmet if each.fate is Fate.OPEN} | (failed if wish != "run" else set())
    if after.state is State.FAILED:
        assert blames in failed
        assert wish != "run"
        assert after.blocked_by == ()
    elif after.state is State.BLOCKED:
        assert set(after.blocked_by) == still | {*named}
        assert still or held
        assert after.blocked_reason
        assert blames is None
    else:
        assert (after.state, still, held) == (State.QUEUED, set(), False)
    again = dependency.review(after, unmet, now=LATER) if after.state is State.BLOCKED else (None, None)
    assert again == (None, None)
