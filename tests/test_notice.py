import pytest

from milepost import notice
from milepost.task import State, Task


def task(message: str | None = None, state: State = State.QUEUED) -> Task:
    return Task("1", "acme", "bob", "export", 0, 0, message=message, state=state, version=4)


@pytest.mark.parametrize(
    ("paused", "offered", "due"),
    [
        ((), ("export",), None),
        ((), (), notice.UNOFFERED),
        (("export",), ("export",), notice.PAUSED),
        (("export",), (), notice.PAUSED),
        (("backup",), ("backup",), notice.UNOFFERED),
    ],
)
def test_what_queued_tasks_of_a_type_have_to_say(
    paused: tuple[str, ...], offered: tuple[str, ...], due: str | None
) -> None:
    assert notice.due("export", paused=paused, offered=offered) == due


@pytest.mark.parametrize("said", [None, "Half way", *notice.NOTICES])
@pytest.mark.parametrize("due", [None, *notice.NOTICES])
def test_a_notice_is_put_up_changed_and_taken_down(said: str | None, due: str | None) -> None:
    step = notice.note(task(said), due, now=7)
    if said == due or (due is None and said not in notice.NOTICES):
        assert step is None
    else:
        assert step is not None
        assert (step.task.message, step.task.version, step.task.updated_at) == (due, 5, 7)


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.BLOCKED, State.SUCCEEDED])
def test_only_queued_tasks_say_it(state: State) -> None:
    assert notice.note(task(state=state), notice.PAUSED, now=7) is None


def test_who_takes_a_task_takes_its_notice_down() -> None:
    told = [*notice.NOTICES, notice.UNOPENED]
    assert [notice.taken_down(task(text)).message for text in told] == [None, None, None]
    assert notice.taken_down(task("Half way")).message == "Half way"


@pytest.mark.parametrize("said", [None, "Half way", notice.UNOFFERED, notice.UNOPENED])
def test_what_can_not_be_opened_says_so_once(said: str | None) -> None:
    step = notice.note_unopened(task(said), now=7)
    if said == notice.UNOPENED:
        assert step is None
    else:
        assert step is not None
        assert (step.task.message, step.task.state) == (notice.UNOPENED, State.QUEUED)
