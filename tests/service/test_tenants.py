"""Numbers for tenants: each is looked up once, and no more are remembered than there is room for."""

import pytest

from milepost import tenants
from milepost.store.protocol import TaskStore
from milepost.tenant import FIRST_GIVEN
from milepost.tenants import Tenants
from tests.service.hands import Hands


class Counting:
    """A store whose look-ups are counted."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self.asked: list[object] = []

    async def tenant_numbers(self, names: list[str]) -> list[int | None]:
        self.asked += names
        return await self._store.tenant_numbers(names)

    async def tenants_numbered(self, numbers: list[int]) -> list[str | None]:
        self.asked += numbers
        return await self._store.tenants_numbered(numbers)


async def test_numbers_and_names_lead_to_each_other(hands: Hands) -> None:
    for name in ("acme", "17", "beta"):
        await hands.start(tenant=name)
    found = await hands.service.tenants.numbers(["beta", "17", "4", "absent", "beta", "acme"])
    assert found == {"beta": FIRST_GIVEN + 1, "17": 17, "4": 4, "acme": FIRST_GIVEN}
    for name, number in found.items():
        assert await hands.service.tenants.numbered(number) == name
    assert await hands.service.tenants.numbered(FIRST_GIVEN + 2) is None


async def test_what_the_store_gave_is_asked_for_once(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        await hands.start(tenant=name)
    counting = Counting(hands.store)
    known = Tenants(counting)  # type: ignore[arg-type]
    for _ in range(3):
        await known.numbers(["a", "b", "5"])
        await known.numbered(FIRST_GIVEN)
        await known.numbered(5)
    assert counting.asked == ["a", "b", FIRST_GIVEN]
    monkeypatch.setattr(tenants, "REMEMBERED", 2)
    assert (await known.numbers(["c", "a"])) == {"a": FIRST_GIVEN, "c": FIRST_GIVEN + 2}
    assert await known.numbers(["a"]) == {"a": FIRST_GIVEN}
    assert counting.asked[3:] == ["c", "a"], "all was forgotten to make room"


async def test_who_has_no_number_yet_is_asked_for_again(hands: Hands) -> None:
    assert await hands.service.tenants.numbers(["late"]) == {}
    assert await hands.service.tenants.numbered(FIRST_GIVEN) is None
    await hands.start(tenant="late")
    assert await hands.service.tenants.numbers(["late"]) == {"late": FIRST_GIVEN}
    assert await hands.service.tenants.numbered(FIRST_GIVEN) == "late"
