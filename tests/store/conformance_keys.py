"""Conformance: API keys."""

from typing import Any

from milepost.store.api_keys import ApiKey
from milepost.store.protocol import TaskStore
from milepost.store.refusals import Missing

from .scene import START, Scene


def key(id: str, name: str = "ada", **fields: Any) -> ApiKey:
    said = {"display_name": name.title(), "grants": (("acme", "user"),), "profile": None, "digest": b"\0" * 32}
    return ApiKey(id, name, **{**said, "created_at": START, **fields})


FULL = key(
    "b" * 16,
    "günter's bot",
    display_name="Günter 🎉",
    grants=(("acme:1", "admin"), ("*", "service"), ('"', "user")),
    profile="node",
    digest=bytes(range(32)),
    created_at=START - 1,
)
ONE, TWO, THREE = key("1" * 16), key("2" * 16, "bob"), key("3" * 16, display_name="Countess", created_at=START + 1)


class Keys:
    """API keys, as they are made, found and ended."""

    async def test_a_key_is_kept_as_it_was_given(self, store: TaskStore) -> None:
        await store.add_keys([FULL])
        assert await store.find_keys([FULL.id]) == [FULL]

    async def test_keys_are_found_in_the_order_asked_for(self, store: TaskStore) -> None:
        await store.add_keys([ONE, TWO])
        assert await store.find_keys([TWO.id, "absent", ONE.id, TWO.id]) == [TWO, None, ONE, TWO]
        assert await store.find_keys([]) == []
        assert await store.find_keys([ONE.id.upper() + "\0", "", "' OR 1 = 1 --"]) == [None, None, None]

    async def test_all_keys_are_listed_in_the_order_they_were_made(self, store: TaskStore) -> None:
        assert await store.keys() == []
        await store.add_keys([THREE])
        await store.add_keys([FULL, ONE])
        assert await store.keys() == [THREE, FULL, ONE]

    async def test_somebody_s_keys_are_told_from_others(self, store: TaskStore) -> None:
        await store.add_keys([ONE, TWO, THREE])
        await store.revoke_keys([ONE.id], now=START)
        keys = await store.keys_of(["ada", "nobody", "bob", "Ada"])
        assert [[one.id for one in each] for each in keys] == [[ONE.id, THREE.id], [], [TWO.id], []]
        assert await store.keys_of([]) == []

    async def test_who_revokes_is_told_which_keys_there_were(self, store: TaskStore) -> None:
        await store.add_keys([ONE, TWO])
        outcomes = await store.revoke_keys([TWO.id, "absent"], now=START + 5)
        assert isinstance(outcomes[1], Missing)
        (found,) = await store.find_keys([TWO.id])
        assert outcomes[0] == found == key("2" * 16, "bob", revoked_at=START + 5)
        assert await store.find_keys([ONE.id]) == [ONE]

    async def test_a_key_that_is_revoked_again_keeps_the_first_time(self, store: TaskStore) -> None:
        await store.add_keys([ONE])
        first = await store.revoke_keys([ONE.id], now=START)
        assert await store.revoke_keys([ONE.id], now=START + 1) == first

    async def test_a_store_that_once_had_a_key_keeps_that_in_mind(self, store: TaskStore) -> None:
        assert not await store.has_keys()
        await store.add_keys([])
        assert not await store.has_keys()
        await store.add_keys([ONE])
        assert await store.has_keys()
        await store.revoke_keys([ONE.id], now=START)
        assert await store.has_keys()

    async def test_what_another_process_does_to_keys_is_seen_at_once(self, store: TaskStore, other: Scene) -> None:
        assert await store.find_keys([ONE.id]) == [None]
        await other.store.add_keys([ONE])
        assert (await store.has_keys(), await store.find_keys([ONE.id])) == (True, [ONE])
        await other.store.revoke_keys([ONE.id], now=START)
        (found,) = await store.find_keys([ONE.id])
        assert found is not None
        assert found.revoked_at == START
