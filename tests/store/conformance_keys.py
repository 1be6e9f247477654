"""Conformance: API keys."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from milepost.store.api_keys import ApiKey, KeyPage, Replacement
from milepost.store.protocol import EVERYTHING, Deletion, Filter, TaskStore
from milepost.store.refusals import BadCursor, Missing, TenantFull

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


async def listed(store: TaskStore, tenants: Sequence[str] | None = None) -> list[ApiKey]:
    """All keys that are asked for."""
    return (await store.keys(tenants, limit=100)).keys


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
        assert await listed(store) == []
        await store.add_keys([THREE])
        await store.add_keys([FULL, ONE])
        assert await listed(store) == [THREE, FULL, ONE]

    async def test_the_newest_valid_key_in_a_tenant_says_how_its_owner_is_called(self, store: TaskStore) -> None:
        there = [
            key("1" * 16, display_name="First"),
            key("2" * 16, display_name="Service", grants=(("*", "service"),), expires_at=START + 10),
            key("3" * 16, display_name="Second", grants=(("beta", "user"), ("acme", "user")), expires_at=START + 20),
            key("4" * 16, display_name="Elsewhere", grants=(("beta", "user"),)),
            key("5" * 16, "bob"),
        ]
        await store.add_keys(there)
        for now, called in ((START, "Second"), (START + 19, "Second"), (START + 20, "First")):
            assert await store.called([("ada", "acme")], now=now) == [called]
        asked = [("ada", "gamma"), ("nobody", "acme"), ("bob", "acme"), ("Ada", "acme"), ("ada", "beta")]
        assert await store.called(asked, now=START) == ["Service", None, "Bob", None, "Elsewhere"]
        assert await store.called([], now=START) == []

    async def test_where_all_have_ended_it_is_the_key_that_ended_last(self, store: TaskStore) -> None:
        there = [
            key("1" * 16, display_name="First", expires_at=START + 9),
            key("2" * 16, display_name="Second", grants=(("*", "service"),), expires_at=START + 3),
            key("3" * 16, display_name="Third", expires_at=START + 9),
            key("4" * 16, display_name="Fourth", expires_at=START + 5),
        ]
        await store.add_keys(there)
        ada = [("ada", "acme")]
        assert await store.called(ada, now=START + 99) == ["Third"]
        await store.revoke_keys(["3" * 16], now=START + 4)
        assert await store.called(ada, now=START + 99) == ["First"]
        await store.revoke_keys(["1" * 16, "4" * 16], now=START + 2)
        assert await store.called(ada, now=START + 99) == ["Third"]
        await store.replace_keys([Replacement("2" * 16, "5" * 16, b"", START + 3)], now=START)
        await store.revoke_keys(["5" * 16, "3" * 16], now=START + 1)
        assert await store.called(ada, now=START + 99) == ["Third"], "what had ended keeps its end"
        assert await store.called([("ada", "beta")], now=START + 99) == ["Second"]

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
            assert "".join(one.id[0] for one in await listed(store, tenants)) == seen, tenants
            for one in there:
                replacement = Replacement(one.id, f"{one.id[0]} of {tenants}", b"\1", START)
                for outcome in (
                    *await store.replace_keys([replacement], now=START, tenants=["gamma"]),
                    *await store.revoke_keys([one.id], now=START, tenants=["gamma"]),
                ):
                    assert isinstance(outcome, Missing)
        assert await listed(store) == there
        (first, second) = await store.revoke_keys(["1" * 16, "2" * 16], now=START, tenants=["acme"])
        assert isinstance(first, ApiKey)
        assert isinstance(second, Missing)
        replaced = await store.replace_keys(
            [Replacement("2" * 16, "5" * 16, b"\1", START), Replacement("4" * 16, "6" * 16, b"\2", START)],
            now=START,
            tenants=["acme"],
        )
        assert isinstance(replaced[0], Missing)
        assert isinstance(replaced[1], ApiKey)
        assert [one.id[0] for one in await listed(store)] == ["1", "2", "3", "4", "6"]

    async def test_keys_are_read_a_page_at_a_time(self, store: TaskStore) -> None:
        tenants = [("acme",), ("acme", "beta"), ("beta",), ("gamma",), ("acme", "gamma")]
        there = [
            key(f"{number:016}", grants=tuple((tenant, "user") for tenant in tenants[number % 5]))
            for number in range(20)
        ]
        await store.add_keys(there)
        for asked in (None, ["acme"], ["beta"], ["acme", "beta"], ["beta", "acme", "acme"], ["gamma", "acme"], []):
            expected = [one for one in there if asked is None or {tenant for tenant, _ in one.grants} <= set(asked)]
            for limit in (1, 3, 4, 20):
                pages = [await store.keys(asked, limit=limit)]
                while pages[-1].next is not None:
                    pages.append(await store.keys(asked, after=pages[-1].next, limit=limit))
                assert [one for page in pages for one in page.keys] == expected
                assert all(len(page.keys) == limit for page in pages[:-1])
                assert len(pages) == max(1, -(-len(expected) // limit))

    async def test_a_page_of_keys_begins_where_another_ended(self, scene: Scene, other: Scene) -> None:
        store = scene.store
        await store.add_keys([ONE, TWO])
        first = await store.keys(limit=1)
        await store.add_keys([THREE])
        assert await other.store.keys(after=first.next, limit=2) == KeyPage([TWO, THREE], None)
        for _ in range(2):
            await scene.start()
        tasks = await store.find(Filter(), EVERYTHING, after=None, limit=1, now=START)
        for wrong in ("", "1", f"{first.next}x", tasks.next):
            assert wrong is not None
            with pytest.raises(BadCursor):
                await store.keys(after=wrong, limit=1)
        assert first.next is not None
        with pytest.raises(BadCursor):
            await store.find(Filter(), EVERYTHING, after=first.next, limit=1, now=START)

    async def test_a_tenant_has_so_many_valid_keys(self, store: TaskStore) -> None:
        both = (("acme", "user"), ("acme", "admin"), ("beta", "user"))
        ended = [key("a" * 16, revoked_at=START - 1), key("b" * 16, expires_at=START)]
        await store.add_keys([ONE, TWO, *ended], most=2)
        outcomes = await store.add_keys(
            [THREE, key("4" * 16, grants=both), key("5" * 16, grants=(("beta", "user"),))], most=2
        )
        assert [isinstance(outcome, TenantFull) and outcome.tenant for outcome in outcomes] == ["acme", "acme", False]
        assert [one.id[0] for one in await listed(store)] == ["1", "2", "a", "b", "5"]
        (refused,) = await store.add_keys([THREE], most=1)
        assert isinstance(refused, TenantFull)
        await store.revoke_keys([ONE.id], now=START)
        (made,) = await store.add_keys([THREE], most=2)
        assert made == THREE
        (made,) = await store.add_keys([key("6" * 16)])
        assert isinstance(made, ApiKey), "nobody has set a limit"

    async def test_a_key_that_is_replaced_counts_while_it_is_valid(self, store: TaskStore) -> None:
        await store.add_keys([ONE, TWO])
        (full,) = await store.replace_keys([Replacement(ONE.id, "3" * 16, b"", START + 1)], now=START, most=2)
        assert isinstance(full, TenantFull)
        assert await listed(store) == [ONE, TWO]
        for most in (2, 1):  # however many there are
            (made,) = await store.replace_keys(
                [Replacement(f"{3 - most}" * 16, f"{most} new", b"", START)], now=START, most=most
            )
            assert isinstance(made, ApiKey)
        outcomes = await store.replace_keys(
            [Replacement("2 new", "7" * 16, b"", START + 9), Replacement("1 new", "8" * 16, b"", START + 9)],
            now=START,
            most=3,
        )
        assert [isinstance(outcome, TenantFull) for outcome in outcomes] == [False, True]
        (late,) = await store.replace_keys([Replacement("1 new", "8" * 16, b"", START + 99)], now=START + 9, most=3)
        assert isinstance(late, ApiKey)

    async def test_what_ended_long_ago_is_forgotten(self, store: TaskStore) -> None:
        await store.add_keys(
            [
                key("1" * 16, revoked_at=START + 1),
                key("2" * 16, expires_at=START + 2),
                key("3" * 16, expires_at=START + 9, revoked_at=START + 3),
                key("4" * 16, expires_at=START + 4, revoked_at=START + 9),
                key("5" * 16, expires_at=START + 9),
                key("6" * 16),
                key("7" * 16),
            ]
        )
        await store.revoke_keys(["6" * 16], now=START + 4)
        assert await store.forget_keys(until=START, limit=9) == 0
        assert [await store.forget_keys(until=START + 3, limit=2) for _ in range(3)] == [2, 1, 0]
        assert "".join(one.id[0] for one in await listed(store, ["acme"])) == "4567"
        assert await store.find_keys(["1" * 16]) == [None]
        assert await store.forget_keys(until=START + 9, limit=9) == 3
        assert [one.id[0] for one in await listed(store)] == ["7"]

    async def test_the_newest_key_is_never_forgotten(self, store: TaskStore, other: Scene) -> None:
        await store.add_keys([ONE, TWO])
        await store.revoke_keys([ONE.id, TWO.id], now=START)
        assert await store.forget_keys(until=START, limit=9) == 1
        assert await store.forget_keys(until=START, limit=9) == 0
        assert await other.store.has_keys()
        page = await store.keys(limit=1)
        assert [one.id for one in page.keys] == [TWO.id]
        await store.add_keys([THREE])
        assert await store.forget_keys(until=START, limit=9) == 1
        assert await listed(store) == [THREE]

    @pytest.mark.parametrize(
        ("grants", "tenant", "display_name", "stays"),
        [
            ((("acme", "user"),), "acme", "Ada", True),
            ((("beta", "user"), ("acme", "user")), "acme", "Ada", True),
            ((("*", "service"),), "acme", "Ada", True),
            ((("acme", "user"),), "acme", "ada", False),
            ((("beta", "user"),), "acme", "Ada", False),
        ],
    )
    async def test_a_key_that_says_how_an_owner_is_called_stays_as_long_as_there_are_tasks(
        self, scene: Scene, grants: tuple[tuple[str, str], ...], tenant: str, display_name: str, stays: bool
    ) -> None:
        store = scene.store
        task = await scene.start(owner="ada", tenant=tenant)
        await scene.start(owner="bob", tenant=tenant)
        await store.add_keys([key("1" * 16, grants=grants, display_name=display_name, revoked_at=START), THREE])
        assert await store.forget_keys(until=START, limit=9) == (0 if stays else 1)
        await store.delete([Deletion(task.id, EVERYTHING, unfinished=True)], now=START)
        assert await store.forget_keys(until=START, limit=9) == (1 if stays else 0)

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
        assert await listed(store) == [
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
        assert [one.id[:2] for one in await listed(store)] == ["11", "22", "44", "33", "2 "]

    async def test_the_last_use_of_a_key_is_the_latest_that_is_known(self, store: TaskStore) -> None:
        await store.add_keys([ONE, TWO])
        await store.note_key_uses({ONE.id: START + 5, "absent": START})
        await store.note_key_uses({ONE.id: START + 4})
        assert await store.find_keys([ONE.id, TWO.id]) == [replace(ONE, last_used_at=START + 5), TWO]
        await store.note_key_uses({ONE.id: START + 6, TWO.id: START})
        assert [one.last_used_at for one in await listed(store)] == [START + 6, START]

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
