"""Conformance: the numbers of tenants, and tasks found by theirs."""

import asyncio

from milepost.store.protocol import Scope, TaskStore
from milepost.tenant import FIRST_GIVEN

from .scene import ACME, BOB, Scene, bounded


class TenantNumbers:
    """Whole numbers for tenants that are not called by one."""

    async def test_a_tenant_is_given_a_number_with_its_first_task(self, scene: Scene, other: Scene) -> None:
        assert await scene.store.tenant_numbers(["acme"]) == [None]
        for tenant in ("acme", "1764", "beta", "acme", "0", "2000000000"):
            await scene.start(tenant=tenant)
        names = ["2000000000", "absent", "acme", "1764", "beta", "0", "acme"]
        numbers = [FIRST_GIVEN + 2, None, FIRST_GIVEN, None, FIRST_GIVEN + 1, None, FIRST_GIVEN]
        for store in (scene.store, other.store):
            assert await store.tenant_numbers(names) == numbers
            asked = [FIRST_GIVEN + 2, 1764, FIRST_GIVEN, FIRST_GIVEN + 3, FIRST_GIVEN + 1]
            assert await store.tenants_numbered(asked) == ["2000000000", None, "acme", None, "beta"]

    async def test_a_tenant_s_number_does_not_change(self, scene: Scene) -> None:
        task = await scene.succeeded(tenant="acme")
        given = await scene.store.tenant_numbers(["acme"])
        await scene.delete(task)
        await scene.start(tenant="beta")
        await scene.start(tenant="acme", depends_on=())
        assert await scene.store.tenant_numbers(["acme", "beta"]) == [*given, FIRST_GIVEN + 1]

    async def test_no_two_processes_give_the_same_number(self, scene: Scene, other: Scene) -> None:
        names = [f"tenant {n}" for n in range(40)]
        await bounded(asyncio.gather(*((scene if n % 2 else other).start(tenant=name) for n, name in enumerate(names))))
        numbers = await scene.store.tenant_numbers(names)
        assert sorted(numbers, key=str) == [FIRST_GIVEN + n for n in range(40)]

    async def test_a_number_is_found_in_each_tenant_that_has_it(self, scene: Scene, store: TaskStore) -> None:
        started = [await scene.start(tenant=tenant) for tenant in ("a", "acme", "b", "acme", "b", "acme")]
        ids = [task.id for task in started]
        assert await scene.find(number=1) == [ids[2], ids[1], ids[0]]
        assert await scene.find(number=2) == [ids[4], ids[3]]
        assert await scene.find(number=2, tenant="acme") == [ids[3]]
        assert await scene.find(number=4) == []
        assert await scene.find(Scope("x", whole=("acme", "b")), number=1) == [ids[2], ids[1]]
        assert await scene.find(ACME, number=3) == [ids[5]]
        assert await scene.find(BOB, number=1) == [ids[1]], "its own, in the only tenant that it has"
        assert await scene.find(Scope("ann", own=("acme",)), number=1) == []
        assert await scene.find(number=1, type="other") == []
