"""Conformance: tasks that another has started."""

from milepost import lifecycle
from milepost.task import State

from .scene import Scene


class Children:
    """What becomes of them together with their parent."""

    async def test_a_cancel_meets_children_that_wait_for_each_other(self, scene: Scene) -> None:
        parent = await scene.run()
        first = await scene.start(parent=parent.id)
        second = await scene.start(parent=parent.id, depends_on=(first.id,))
        third = await scene.start(parent=parent.id, depends_on=(second.id,), on_dependency_failure="run")
        outside = await scene.start(depends_on=(third.id,))
        assert (await scene.change(parent, lifecycle.cancel)).cancel_requested
        assert {(await scene.read(child)).state for child in (first, second, third)} == {State.CANCELLED}
        outside = await scene.read(outside)
        assert (outside.state, outside.failure and outside.failure.code) == (State.FAILED, "dependency_failed")
