"""Conformance: what a record tells of other tasks, to who sees the record and not these."""

from collections.abc import Iterator

import msgspec
import pytest

from milepost import lifecycle
from milepost.lifecycle import Step
from milepost.store.protocol import EVERYTHING, Created, Filter, IdempotencyKey, LogPage, Scope
from milepost.store.refusals import UniqueKeyTaken
from milepost.task import Failure, State, Task
from milepost.times import DAY

from .scene import ACME, ANN, BOB, START, Scene, draft, new_id

OTHERS = Scope("ann", whole=("other",), own=("acme",))
"""Sees another tenant whole, and in this one its own and what is assigned to it."""
LIST = "list"


async def told(scene: Scene, task: Task, scope: Scope) -> str:
    """All that a store tells of a task, a change of it included, as one text."""

    def relabel(task: Task, unmet: tuple[str, ...]) -> Step:
        return lifecycle.relabel(task, now=scene.now, title="new")

    (found,) = await scene.store.get([task.id], scope, now=scene.now)
    page = await scene.store.find(Filter(list_id=LIST), scope, after=None, limit=10, now=scene.now)
    log = await scene.store.log(task.id, scope, limit=1000, now=scene.now)
    (history,) = await scene.store.history([task.id], scope, limit=1000, now=scene.now)
    changed = await scene.try_change(task, relabel, scope=scope)
    assert found is not None
    assert isinstance(log, LogPage)
    assert isinstance(history, LogPage)
    assert isinstance(changed, Task)
    assert task.id in {each.id for each in page.tasks}
    return msgspec.json.encode([found, page.tasks, log, history, changed]).decode()


def named(text: str, *tasks: Task | str) -> Iterator[bool]:
    """Whether a text names each of these."""
    return (str(task.id if isinstance(task, Task) else task) in text for task in tasks)


class Sight:
    """What is not seen is not named, be it there or gone; what is seen is."""

    @pytest.mark.parametrize("how", ["waits", "waits for one that is gone", "failed"])
    @pytest.mark.parametrize("scope", [ANN, OTHERS], ids=["user", "member elsewhere"])
    async def test_p6_no_record_names_a_task_that_its_reader_does_not_see(
        self, scene: Scene, how: str, scope: Scope
    ) -> None:
        parent, dependency, blocker = [await scene.start() for _ in range(3)]
        own = await scene.start(owner="ann")
        task = await scene.start(
            assignee="ann",
            list_id=LIST,
            held=True,
            parent=parent.id,
            depends_on=(dependency.id, own.id),
            blocked_by=(blocker.id,),
            on_dependency_failure="fail" if how == "failed" else "stay",
        )
        if how == "failed":
            await scene.change(dependency, lifecycle.cancel)
        if how == "waits for one that is gone":
            await scene.delete(blocker, unfinished=True)
        to_ann, to_all = [await told(scene, task, each) for each in (scope, EVERYTHING)]
        assert list(named(to_ann, parent, dependency, blocker, own)) == [False, False, False, True]
        assert list(named(to_all, parent, dependency, own)) == [True] * 3
        after = await scene.read(task)
        assert (after.parent, after.depends_on) == (parent.id, (dependency.id, own.id)), "the record keeps them"

    async def test_p6_nor_do_the_texts_in_it(self, scene: Scene) -> None:
        dependency = await scene.start()
        waits = await scene.start(assignee="ann", list_id=LIST, depends_on=(dependency.id,))
        met = await scene.succeeded()
        ended = await scene.run(assignee="ann", list_id=LIST, depends_on=(met.id,))
        await scene.settle(ended, lifecycle.fail, failure=Failure("broken", f"Task {met.id} made no sense."))
        for task, other in ((waits, dependency), (ended, met)):
            texts = [await told(scene, task, scope) for scope in (ANN, EVERYTHING)]
            assert [list(named(text, other)) for text in texts] == [[False], [True]]

    async def test_p6_who_sees_the_tenant_whole_is_told_all(self, scene: Scene) -> None:
        dependency, gone = await scene.start(), new_id()
        task = await scene.start(held=True, list_id=LIST, depends_on=(dependency.id,), blocked_by=(gone,))
        assert list(named(await told(scene, task, ACME), dependency, gone)) == [True, True]

    async def test_p6_a_start_that_is_known_again_names_no_task_that_is_out_of_sight_by_now(self, scene: Scene) -> None:
        dependency = await scene.start(owner="bob", assignee="ann")
        key = IdempotencyKey("once", b"same", START + DAY)
        for assignee, shown in (("ann", (dependency.id,)), (None, ())):
            await scene.change(dependency, lifecycle.relabel, assignee=assignee)
            created = await scene.try_start(draft(owner="ann", depends_on=(dependency.id,)), scope=ANN, key=key)
            assert isinstance(created, Created)
            assert (created.task.depends_on, created.task.blocked_by) == (shown, shown)

    async def test_p6_who_names_what_it_sees_of_the_dependencies_leaves_the_others(self, scene: Scene) -> None:
        hidden, own = await scene.start(), await scene.start(owner="ann")
        task = await scene.start(assignee="ann", depends_on=(hidden.id, own.id))
        outcome = await scene.try_change(task, lambda t, _: Step(t), scope=ANN, depends_on=(own.id,))
        assert isinstance(outcome, Task)
        assert outcome.depends_on == (own.id,)
        assert (await scene.read(task)).depends_on == (hidden.id, own.id)

    async def test_p6_a_unique_key_does_not_say_which_unseen_task_has_it(self, scene: Scene) -> None:
        task = await scene.start(assignee="ann", unique_key="one")
        await scene.change(task, lifecycle.cancel)
        taker = await scene.start(unique_key="one")
        for scope, names in ((ANN, None), (BOB, taker.id)):
            refused = await scene.try_change(task, lambda t, _: lifecycle.retry(t, now=START), scope=scope)
            assert isinstance(refused, UniqueKeyTaken)
            assert refused.task_id == names
            assert list(named(str(refused), taker)) == [names is not None]

    async def test_p6_a_list_of_the_children_of_a_task_that_is_not_seen_is_empty(self, scene: Scene) -> None:
        parent = await scene.start(runner="external", state=State.RUNNING)
        child = await scene.start(owner="ann", parent=parent.id)
        assert await scene.find(ANN, parent=parent.id) == []
        assert await scene.find(BOB, parent=parent.id) == []
        assert await scene.find(ACME, parent=parent.id) == [child.id]
