"""Conformance: what is told of the ends of tasks."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from milepost import lifecycle
from milepost.store.callbacks import Callback, Tried, WebhookSecret
from milepost.store.workers import Wanted
from milepost.task import State, Task
from milepost.times import DAY, MINUTE, SECOND
from milepost.trigger import Trigger

from .scene import ACME, BOB, FAILURE, START, Scene, json_result

URL = "https://hooks.test/ends?x=1"


async def told(scene: Scene, task: Task) -> list[Callback]:
    (found,) = await scene.store.callbacks.of([task.id])
    return found


async def ended(scene: Scene, **fields: Any) -> Task:
    return await scene.succeeded(json_result([1]), **{"callback": URL, **fields})


async def taken(scene: Scene, *, limit: int = 100, but: tuple[str, ...] = ()) -> list[Callback]:
    """What is claimed for a minute."""
    due = await scene.store.callbacks.claim(now=scene.now, until=scene.now + MINUTE, limit=limit, but=but)
    return [each.callback for each in due]


def secret(tenant: str, text: bytes, **fields: Any) -> WebhookSecret:
    return WebhookSecret(tenant, text, START, **fields)


class Callbacks:
    """Callbacks, as they are written, taken and settled, and what they are signed with."""

    async def test_an_end_is_written_with_what_it_tells(self, scene: Scene) -> None:
        task = await ended(scene)
        assert (await scene.read(task)).callback == URL
        (one,) = await told(scene, task)
        assert one == Callback(
            f"{task.id}_{task.version}", task.id, task.tenant, URL, task.finished_at or 0, next_try_at=task.finished_at
        )
        assert one.state == "pending"
        (due,) = await scene.store.callbacks.claim(now=scene.now, until=scene.now + 1, limit=1)
        assert due.record == task

    async def test_nothing_is_told_before_the_end_or_without_a_callback(self, scene: Scene) -> None:
        task = await scene.run(callback=URL)
        await scene.report(task, progress=0.5)
        other = await scene.succeeded()
        assert await scene.store.callbacks.of([task.id, other.id, "absent"]) == [[], [], []]
        assert await scene.store.callbacks.next_due() is None
        assert await taken(scene) == []

    @pytest.mark.parametrize(
        "end",
        [
            lambda scene: scene.failed(callback=URL),
            lambda scene: _cancelled(scene),
            lambda scene: _failed_with_another(scene),
            lambda scene: scene.start(runner="external", state=State.SUCCEEDED, callback=URL),
        ],
        ids=["failed", "cancelled", "failed with another", "ended when it began"],
    )
    async def test_every_kind_of_end_is_told(self, scene: Scene, end: Callable[[Scene], Any]) -> None:
        task = await end(scene)
        assert [each.id for each in await told(scene, task)] == [f"{task.id}_{task.version}"]

    @pytest.mark.parametrize("roles", [("user",), ("user", "member"), ("user", "member", "admin", "service")])
    async def test_p6_an_end_is_told_as_the_owner_sees_it_then(self, scene: Scene, roles: tuple[str, ...]) -> None:
        own, theirs = await scene.start(), await scene.run(owner="ann")
        task = await scene.start(depends_on=(own.id, theirs.id), parent=theirs.id, callback=URL, roles=roles)
        await scene.fail(theirs)
        scope = BOB if roles == ("user",) else ACME
        (seen,) = await scene.store.get([task.id], scope, now=scene.now)
        (due,) = await scene.store.callbacks.claim(now=scene.now, until=scene.now + 1, limit=1)
        assert due.record == seen
        assert (theirs.id in msgspec.json.encode(due.record).decode()) == (scope == ACME)
        await scene.delete(theirs, unfinished=True)
        (again,) = await scene.store.callbacks.claim(now=scene.now + 1, until=scene.now + 2, limit=1)
        assert again.record == due.record, "the same at each try"

    async def test_a_change_after_the_end_is_not_told(self, scene: Scene) -> None:
        task = await ended(scene)
        await scene.change(task, lifecycle.relabel, title="New")
        assert len(await told(scene, task)) == 1

    async def test_each_end_of_a_task_is_told(self, scene: Scene) -> None:
        task = await scene.failed(callback=URL)
        await scene.retry(task)
        (claimed,) = await scene.claim("w1", Wanted(task.type))
        again = await scene.succeed(claimed.task)
        assert [each.id for each in await told(scene, task)] == [
            f"{task.id}_{v}" for v in (task.version, again.version)
        ]
        due = await scene.store.callbacks.claim(now=scene.now, until=scene.now + 1, limit=10)
        assert [each.record.state for each in due] == [State.FAILED, State.SUCCEEDED]

    async def test_each_run_of_a_repeating_task_is_told(self, scene: Scene) -> None:
        task = await ended(scene, trigger=Trigger(every=DAY))
        scene.now += 2 * DAY
        assert await scene.store.enqueue_due(now=scene.now, limit=1) == [task.id]
        (claimed,) = await scene.claim("w1", Wanted(task.type))
        await scene.settle(claimed.task, lifecycle.fail, failure=FAILURE)
        assert len(await told(scene, task)) == 2

    async def test_a_large_result_is_told_of_without_its_value(self, scene: Scene) -> None:
        await scene.succeeded(json_result("x" * 100_000), callback=URL)
        (due,) = await scene.store.callbacks.claim(now=scene.now, until=scene.now, limit=1)
        assert due.record.result is not None
        assert len(msgspec.json.encode(due.record)) < 2000

    async def test_what_is_taken_is_nobody_else_s_for_a_while(self, scene: Scene, other: Scene) -> None:
        await ended(scene)
        (one,) = await taken(scene)
        assert (one.attempts, one.next_try_at) == (1, scene.now + MINUTE)
        assert await taken(other) == await taken(scene) == []
        assert await scene.store.callbacks.next_due() == scene.now + MINUTE
        other.now = scene.now + MINUTE
        (again,) = await taken(other)
        assert again == replace(one, attempts=2, next_try_at=other.now + MINUTE)

    async def test_the_longest_due_come_first_and_no_more_than_asked_for(self, scene: Scene) -> None:
        tasks = []
        for _ in range(3):
            tasks.append(await ended(scene))
            scene.now += SECOND
        assert [each.task for each in await taken(scene, limit=2)] == [task.id for task in tasks[:2]]
        assert [each.task for each in await taken(scene, limit=2)] == [tasks[2].id]

    async def test_some_tenants_can_be_passed_over(self, scene: Scene) -> None:
        await ended(scene)
        scene.now += SECOND
        theirs = await ended(scene, tenant="beta")
        assert await scene.store.callbacks.next_due(but=["acme"]) == scene.now
        assert [each.task for each in await taken(scene, but=("acme",))] == [theirs.id]
        assert await scene.store.callbacks.next_due(but=["acme", "beta"]) is None

    async def test_what_was_delivered_is_over(self, scene: Scene) -> None:
        task = await ended(scene)
        (one,) = await taken(scene)
        await scene.store.callbacks.settle([Tried(one.id, 1, 204, delivered_at=scene.now)])
        assert await told(scene, task) == [replace(one, next_try_at=None, delivered_at=scene.now, status=204)]
        assert (await told(scene, task))[0].state == "delivered"
        assert await scene.store.callbacks.next_due() is None

    async def test_what_failed_waits_for_its_next_try_or_is_given_up(self, scene: Scene) -> None:
        task = await ended(scene)
        (one,) = await taken(scene)
        await scene.store.callbacks.settle([Tried(one.id, 1, 500, "Broken.", next_try_at=scene.now + SECOND)])
        assert await told(scene, task) == [replace(one, next_try_at=scene.now + SECOND, status=500, error="Broken.")]
        scene.now += SECOND
        (again,) = await taken(scene)
        assert again.attempts == 2
        await scene.store.callbacks.settle([Tried(one.id, 2, None, "Silent.")])
        assert await told(scene, task) == [replace(one, attempts=2, next_try_at=None, error="Silent.")]
        assert (await told(scene, task))[0].state == "failed"
        await scene.store.callbacks.settle([Tried(one.id, 2, next_try_at=scene.now)])
        assert await scene.store.callbacks.next_due() is None

    async def test_a_try_that_was_overtaken_changes_nothing_unless_it_delivered(self, scene: Scene) -> None:
        task = await ended(scene)
        (one,) = await taken(scene)
        scene.now += MINUTE
        (again,) = await taken(scene)
        await scene.store.callbacks.settle([Tried(one.id, 1, 500, "Late.", next_try_at=scene.now)])
        assert await told(scene, task) == [again]
        await scene.store.callbacks.settle([Tried(one.id, 1, 200, delivered_at=scene.now)])
        assert (await told(scene, task))[0].state == "delivered"
        await scene.store.callbacks.settle([Tried(one.id, 2, 500, "Later.", next_try_at=scene.now)])
        assert (await told(scene, task))[0].state == "delivered"

    @pytest.mark.parametrize("expires", [False, True], ids=["deleted", "expired"])
    async def test_what_is_still_to_be_told_outlives_its_task(self, scene: Scene, expires: bool) -> None:
        task = await ended(scene, keep_record=SECOND)
        (one,) = await taken(scene)
        if expires:
            scene.now += SECOND
            await scene.store.expire(now=scene.now, limit=10)
        else:
            await scene.delete(task)
        assert await scene.get(task) is None
        assert await told(scene, task) == [one]
        await scene.store.callbacks.settle([Tried(one.id, 1, 500, "Not yet.", next_try_at=scene.now)])
        assert [each.attempts for each in await taken(scene)] == [2]
        await scene.store.callbacks.settle([Tried(one.id, 2, 204, delivered_at=scene.now)])
        assert await told(scene, task) == []

    async def test_what_was_told_goes_with_its_task(self, scene: Scene) -> None:
        tasks = [await ended(scene), await ended(scene)]
        for one in await taken(scene):
            await scene.store.callbacks.settle([Tried(one.id, 1, 204, delivered_at=scene.now)])
        await scene.delete(tasks[0])
        assert [len(each) for each in await scene.store.callbacks.of([task.id for task in tasks])] == [0, 1]

    async def test_settling_what_is_not_there_does_nothing(self, scene: Scene) -> None:
        await scene.store.callbacks.settle([Tried("absent", 1, delivered_at=scene.now)])
        await scene.store.callbacks.settle([])
        assert await taken(scene) == []

    async def test_a_tenant_keeps_its_first_secret(self, scene: Scene, other: Scene) -> None:
        assert await scene.store.callbacks.secrets(["acme"]) == [None]
        first = secret("acme", b"\0one")
        assert await scene.store.callbacks.add_secrets([first]) == [first]
        assert await other.store.callbacks.add_secrets([secret("acme", b"two"), secret("Ω", b"3")]) == [
            first,
            secret("Ω", b"3"),
        ]
        assert await scene.store.callbacks.secrets(["Ω", "absent", "acme"]) == [secret("Ω", b"3"), None, first]

    async def test_what_tenants_have_is_listed_and_removed(self, scene: Scene) -> None:
        callbacks = scene.store.callbacks
        one, two, three = (secret(tenant, b"x") for tenant in ("acme", "beta", "\u03a9"))
        await callbacks.add_secrets([three, one, two])
        assert await callbacks.known_secrets(None) == [one, two, three]
        assert await callbacks.known_secrets(["\u03a9", "absent", "acme"]) == [one, three]
        assert await callbacks.known_secrets([]) == []
        assert await callbacks.remove_secrets(["acme", "beta", "absent"], of=["beta", "absent"]) == [None, two, None]
        assert await callbacks.remove_secrets(["acme"]) == [one]
        assert await callbacks.known_secrets(None) == [three]

    async def test_a_secret_is_written_otherwise_unless_it_is_another_by_now(self, scene: Scene) -> None:
        callbacks = scene.store.callbacks
        one, two = secret("acme", b"one"), secret("beta", b"one")
        await callbacks.add_secrets([one, two])
        (held,) = await callbacks.rotate_secrets([secret("acme", b"two")], until=START + DAY)
        sealed = replace(two, secret=b"sealed")
        await callbacks.exchange_secrets([(one, replace(one, secret=b"late")), (two, sealed)])
        assert await callbacks.known_secrets(None) == [held, sealed]
        both = replace(held, secret=b"s2", previous=b"s1")
        await callbacks.exchange_secrets([(replace(held, previous=None), one), (held, both)])
        assert await callbacks.known_secrets(["acme"]) == [both]

    async def test_another_secret_leaves_the_one_before_for_a_while(self, scene: Scene) -> None:
        rotate = scene.store.callbacks.rotate_secrets
        assert await rotate([secret("acme", b"one")], until=START + DAY) == [secret("acme", b"one")]
        second = replace(secret("acme", b"two"), created_at=START + 1)
        held = replace(second, previous=b"one", previous_until=START + DAY)
        assert await rotate([second], until=START + DAY) == [held]
        assert await scene.store.callbacks.secrets(["acme"]) == [held]
        assert await scene.store.callbacks.add_secrets([secret("acme", b"three")]) == [held]


async def _cancelled(scene: Scene) -> Task:
    return await scene.change(await scene.start(callback=URL), lifecycle.cancel)


async def _failed_with_another(scene: Scene) -> Task:
    root = await scene.run()
    task = await scene.start(depends_on=(root.id,), callback=URL)
    await scene.fail(root)
    return await scene.read(task)
