"""Conformance: API keys."""

from typing import Any

from msgspec.structs import replace

from milepost.store.api_keys import ApiKey, Replacement
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
    expires_at=START + 9,
    last_used_at=START + 3,
    replaced_by="c" * 16,
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

    async def test_what_people_call_somebody_is_kept_as_it_was_said_last(self, store: TaskStore, other: Scene) -> None:
        assert await store.display_names(["ada"]) == [None]
        await store.put_display_names({"ada": "Ada", "günter's": "Günter 🎉"})
        await store.put_display_names({"ada": "Countess"})
        assert await other.store.display_names(["günter's", "bob", "ada", "Ada"]) == [
            "Günter 🎉",
            None,
            "Countess",
            None,
        ]

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

    async def test_those_of_some_tenants_are_keys_with_no_grant_elsewhere(self, store: TaskStore) -> None:
        there = [
            key("1" * 16, grants=(("acme", "user"),)),
            key("2" * 16, grants=(("acme", "admin"), ("beta", "user"))),
            key("3" * 16, grants=(("*", "service"),)),
            key("4" * 16, grants=(("acme", "user"), ("acme", "admin"))),
        ]
        await store.add_keys(there)
        for tenants, seen in ((["acme"], "14"), (["beta"], ""), (["beta", "acme"], "124"), ([], ""), (None, "1234")):
            assert "".join(one.id[0] for one in await store.keys(tenants)) == seen, tenants
            for one in there:
                replacement = Replacement(one.id, f"{one.id[0]} of {tenants}", b"\1", START)
                for outcome in (
                    *await store.replace_keys([replacement], now=START, tenants=["gamma"]),
                    *await store.revoke_keys([one.id], now=START, tenants=["gamma"]),
                ):
                    assert isinstance(outcome, Missing)
        assert await store.keys() == there
        (first, second) = await store.revoke_keys(["1" * 16, "2" * 16], now=START, tenants=["acme"])
        assert isinstance(first, ApiKey)
        assert isinstance(second, Missing)
        (first, second) = await store.replace_keys(
            [Replacement("2" * 16, "5" * 16, b"\1", START), Replacement("4" * 16, "6" * 16, b"\2", START)],
            now=START,
            tenants=["acme"],
        )
        assert isinstance(first, Missing)
        assert isinstance(second, ApiKey)
        assert [one.id[0] for one in await store.keys()] == ["1", "2", "3", "4", "6"]

    async def test_a_key_is_replaced_by_one_like_it(self, store: TaskStore) -> None:
        old = key("1" * 16, "ada", grants=(("a", "user"), ("b", "admin")), profile="node", last_used_at=START)
        limited = key("2" * 16, "bob", expires_at=START + 100)
        await store.add_keys([old, limited])
        new = await store.replace_keys(
            [Replacement(old.id, "3" * 16, b"\3", START + 15), Replacement(limited.id, "4" * 16, b"\4", START + 200)],
            now=START + 10,
        )
        assert new == [
            replace(old, id="3" * 16, digest=b"\3", created_at=START + 10, last_used_at=None),
            replace(limited, id="4" * 16, digest=b"\4", created_at=START + 10, expires_at=START + 110),
        ]
        assert await store.keys() == [
            replace(old, expires_at=START + 15, replaced_by="3" * 16),
            replace(limited, replaced_by="4" * 16),
            *new,
        ]

    async def test_a_key_that_has_ended_or_was_replaced_is_not_replaced(self, store: TaskStore) -> None:
        await store.add_keys([ONE, TWO, key("4" * 16, expires_at=START), THREE])
        await store.revoke_keys([ONE.id], now=START)
        asked = [Replacement(digit * 16, f"{digit} new", b"", START + 9) for digit in "12405"]
        outcomes = await store.replace_keys(asked, now=START)
        assert [isinstance(outcome, ApiKey) for outcome in outcomes] == [False, True, False, False, False]
        again = await store.replace_keys([Replacement(TWO.id, "newer", b"", START + 9)], now=START + 1)
        assert isinstance(again[0], Missing)
        assert [one.id[:2] for one in await store.keys()] == ["11", "22", "44", "33", "2 "]

    async def test_the_last_use_of_a_key_is_the_latest_that_is_known(self, store: TaskStore) -> None:
        await store.add_keys([ONE, TWO])
        await store.note_key_uses({ONE.id: START + 5, "absent": START})
        await store.note_key_uses({ONE.id: START + 4})
        assert await store.find_keys([ONE.id, TWO.id]) == [replace(ONE, last_used_at=START + 5), TWO]
        await store.note_key_uses({ONE.id: START + 6, TWO.id: START})
        assert [one.last_used_at for one in await store.keys()] == [START + 6, START]

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
