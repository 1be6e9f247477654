import hmac
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.access import keyring
from milepost.access.keyring import MAX_NAME, MAX_NAMES, OPEN_FOR, Keyring, key_id
from milepost.access.principal import EVERY_TENANT, Grant, Principal, Role
from milepost.errors import Invalid, NotFound
from milepost.store.refusals import StoreBusy
from milepost.store.sqlite.store import SqliteStore
from milepost.times import HOUR, LATEST, SECOND

NOW = 1_767_225_600_000_000


class Time:
    """Both clocks: they stand still until somebody moves them."""

    def __init__(self) -> None:
        self.now = NOW
        self.elapsed = 0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "m.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def keys(store: SqliteStore, time: Time) -> Keyring:
    return Keyring(store, lambda: time.now, lambda: time.elapsed)


async def refused(name: str = "ada", *grants: str, **options: Any) -> list[tuple[str | None, str]]:
    """The faults of a key that is not made; that needs no store."""
    with pytest.raises(Invalid) as caught:
        await Keyring(SqliteStore(Path("unopened")), lambda: NOW).add(name, grants, **options)
    return [(fault.pointer, fault.detail) for fault in caught.value.faults]


async def test_a_key_names_its_principal(keys: Keyring) -> None:
    key, secret = await keys.add("ada", ["acme:user", "beta:x:admin"], display_name="Ada L.", profile="node")
    assert re.fullmatch(r"mp_[0-9a-f]{16}_[0-9a-f]{64}", secret)
    assert secret.split("_")[1] == key.id
    assert (key.created_at, key.revoked_at) == (NOW, None)
    grants = (Grant("acme", Role.USER), Grant("beta:x", Role.ADMIN))
    assert await keys.principal(secret) == Principal("ada", "Ada L.", grants, "node")


async def test_a_key_is_called_by_its_name_and_a_grant_said_twice_is_one(keys: Keyring) -> None:
    key, secret = await keys.add("ci", ["*:service", "*:service"])
    assert key.grants == ((EVERY_TENANT, "service"),)
    found = await keys.principal(secret)
    assert found == Principal("ci", "ci", (Grant(EVERY_TENANT, Role.SERVICE),))
    assert found.is_service


async def test_keys_are_never_the_same(keys: Keyring) -> None:
    made = [await keys.add("ada", ["acme:user"]) for _ in range(20)]
    assert len({key.id for key, _ in made}) == len({secret.split("_")[2] for _, secret in made}) == 20


async def test_no_secret_is_in_the_store(keys: Keyring, store: SqliteStore, tmp_path: Path) -> None:
    key, secret = await keys.add("ada", ["acme:user"])
    _, _, proof = secret.split("_")
    await store.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert key.id.encode() in kept
    assert key.digest in kept
    for form in (proof.encode(), bytes.fromhex(proof)):
        assert form not in kept
    assert proof not in repr(key)


async def test_what_is_no_key_names_nobody(keys: Keyring) -> None:
    key, secret = await keys.add("ada", ["acme:user"])
    other, other_secret = await keys.add("bob", ["acme:user"])
    proof = secret.split("_")[2]
    for shown in (
        *(
            "",
            "mp",
            "mp__",
            key.id,
            proof,
            f"{key.id}_{proof}",
            f"{secret} ",
            f" {secret}",
            f"{secret}\n",
            secret.upper(),
        ),
        *(secret[:-1], f"{secret}0", f"mp_{key.id}_{'0' * 64}", f"mp_{'0' * 16}_{proof}", f"mp_{other.id}_{proof}"),
        *(f"mp_{'0' * 16}_{'0' * 64}", "\udcff", "mp_\0", f"mp_{key.id}_{'٣' * 64}"),
    ):
        assert await keys.principal(shown) is None, shown
    assert await keys.principal(secret) is not None
    assert await keys.principal(other_secret) is not None


async def test_an_unknown_key_is_compared_as_a_wrong_one_is(keys: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    right = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return right(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    key, secret = await keys.add("ada", ["acme:user"])
    for shown in (f"mp_{key.id}_{'0' * 64}", f"mp_{'0' * 16}_{'0' * 64}", "x", secret):
        await keys.principal(shown)
    await keys.revoke(key.id)
    await keys.principal(secret)
    assert compared == [(32, 32)] * 5


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_that_somebody_shows_is_a_crash(keys: Keyring, shown: str) -> None:
    assert await keys.principal(shown) is None


async def test_a_revoked_key_names_nobody_and_its_like_goes_on(keys: Keyring, time: Time) -> None:
    first, first_secret = await keys.add("ada", ["acme:user"])
    _, second_secret = await keys.add("ada", ["acme:member"])
    time.now += SECOND
    revoked = await keys.revoke(first.id)
    assert revoked.revoked_at == NOW + SECOND
    assert await keys.principal(first_secret) is None
    assert await keys.principal(second_secret) is not None
    time.now += SECOND
    assert await keys.revoke(first.id) == revoked
    assert [key.id async for key in keys.all()] == [first.id, second_secret.split("_")[1]]
    with pytest.raises(NotFound, match="There is no such key"):
        await keys.revoke("0" * 16)


async def test_a_key_names_nobody_from_the_time_on_at_which_it_expires(keys: Keyring, time: Time) -> None:
    key, secret = await keys.add("ada", ["acme:user"], expires_at=NOW + SECOND)
    assert key.expires_at == NOW + SECOND
    time.now += SECOND - 1
    assert await keys.principal(secret) is not None
    time.now += 1
    assert await keys.principal(secret) is None
    for late in (time.now, NOW):
        with pytest.raises(Invalid, match="still to come") as caught:
            await keys.add("ada", ["acme:user"], expires_at=late)
        assert [fault.pointer for fault in caught.value.faults] == ["/expires_at"]


async def test_a_rotated_key_is_valid_for_the_grace_beside_its_successor(keys: Keyring, time: Time) -> None:
    key, secret = await keys.add("ada", ["acme:user", "beta:admin"], display_name="Ada", profile="node")
    who = await keys.principal(secret)
    time.now += SECOND
    new, new_secret = await keys.rotate(key.id, grace=SECOND)
    assert re.fullmatch(rf"mp_{new.id}_[0-9a-f]{{64}}", new_secret)
    assert who == await keys.principal(secret) == await keys.principal(new_secret)
    time.now += SECOND - 1
    assert await keys.principal(secret) == who
    time.now += 1
    assert await keys.principal(secret) is None
    assert await keys.principal(new_secret) == who
    old, _ = [key async for key in keys.all()]
    assert (old.replaced_by, old.expires_at, new.expires_at) == (new.id, time.now, None)
    for ended in (key.id, "0" * 16):
        with pytest.raises(NotFound, match="no such key, or it has ended or was rotated"):
            await keys.rotate(ended)
    _, last = await keys.rotate(new.id, grace=0)
    assert await keys.principal(new_secret) is None
    assert await keys.principal(last) == who


async def test_a_rotated_key_has_an_hour_if_nothing_else_is_said_and_never_more_than_it_had(
    keys: Keyring, time: Time
) -> None:
    one, _ = await keys.add("ada", ["acme:user"])
    two, _ = await keys.add("bob", ["acme:user"], expires_at=NOW + 5 * SECOND)
    three, _ = await keys.add("eve", ["acme:user"])
    time.now += SECOND
    for key in (one, two):
        await keys.rotate(key.id)
    await keys.rotate(three.id, grace=LATEST)
    expiries = [key.expires_at async for key in keys.all()]
    assert expiries == [time.now + HOUR, NOW + 5 * SECOND, LATEST, None, time.now + 5 * SECOND, None]


async def test_a_keyring_reads_all_keys_page_by_page(keys: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [(await keys.add("ada", ["acme:user"]))[0] for _ in range(5)]
    for most in (2, 5, 9):
        monkeypatch.setattr(keyring, "PAGE", most)
        assert [key async for key in keys.all()] == made


async def test_keys_of_some_tenants_are_all_that_there_is_to_who_manages_these(keys: Keyring) -> None:
    mine, _ = await keys.add("ada", ["acme:user"])
    shared, secret = await keys.add("bob", ["acme:user", "beta:user"])
    assert (await keys.page(["acme"], limit=9)).keys == [mine]
    with pytest.raises(NotFound, match=r"^There is no such key\.$"):
        await keys.revoke(shared.id, tenants=["acme"])
    with pytest.raises(NotFound):
        await keys.rotate(shared.id, tenants=["acme"])
    assert await keys.principal(secret) is not None
    assert (await keys.revoke(mine.id, tenants=["acme"])).revoked_at == NOW


async def test_keys_are_in_use_from_the_first_on_for_ever(keys: Keyring, store: SqliteStore, time: Time) -> None:
    assert not await keys.in_use()
    other = Keyring(store, lambda: NOW)
    key, secret = await other.add("ada", ["acme:user"])
    assert await other.in_use()
    time.elapsed += OPEN_FOR - 1
    assert not await keys.in_use(), "it was not asked"
    time.elapsed += 1
    assert await keys.in_use()
    assert await keys.principal(secret) is not None
    await other.revoke(key.id)
    assert await keys.principal(secret) is None
    assert await keys.in_use()
    await store.close()
    assert await keys.in_use()  # which is known, and asked no more


@pytest.mark.parametrize("name", ["", "a\0", "a\nb", "a\x1b", "\udcff", "x" * (MAX_NAME + 1)])
async def test_a_name_is_printable(name: str) -> None:
    said = "From 1 to 200 printable characters."
    assert await refused(name, "acme:user") == [("/name", said)]
    assert await refused("ada", "acme:user", display_name=name) == [("/display_name", said)]


async def test_nobody_is_called_as_everybody_is() -> None:
    ((place, why),) = await refused("local", "acme:user")
    assert place == "/name"
    assert "everybody while there is no key" in why


@pytest.mark.parametrize(
    ("grant", "why"),
    [
        ("acme", "A grant is TENANT:ROLE, such as acme:member."),
        ("user", "A grant is TENANT:ROLE, such as acme:member."),
        ("", "A grant is TENANT:ROLE, such as acme:member."),
        ("acme:owner", "A role is one of user, member, admin, service; 'owner' is none."),
        ("acme:", "A role is one of user, member, admin, service; '' is none."),
        (":user", "A tenant has from 1 to 200 printable characters."),
        ("a\0:user", "A tenant has from 1 to 200 printable characters."),
        ("acme:service", "A service reaches every tenant, so write *:service; for one tenant grant admin."),
        ("*:admin", "Only a service reaches every tenant: name the tenant, or write *:service."),
    ],
)
async def test_a_grant_is_a_tenant_and_a_role(grant: str, why: str) -> None:
    assert await refused("ada", "acme:user", grant) == [("/grants/1", why)]


async def test_all_that_is_wrong_is_told_at_once() -> None:
    faults = await refused("local", display_name="", profile="java")
    assert [place for place, _ in faults] == ["/name", "/display_name", "/grants", "/profile"]
    assert faults[-1] == ("/profile", "One of page, node, python.")


async def test_a_name_may_be_long_and_of_any_script(keys: Keyring) -> None:
    name = "Ж" * MAX_NAME
    _, secret = await keys.add(name, [f"{name}:user"])
    found = await keys.principal(secret)
    assert found is not None
    assert (found.name, found.grants) == (name, (Grant(name, Role.USER),))


async def test_owners_are_called_as_their_newest_valid_key_says(keys: Keyring, time: Time) -> None:
    assert await keys.display_name("local", "acme") == "Local"
    assert await keys.display_name("ada", "acme") == "ada"
    first, _ = await keys.add("ada", ["acme:user"], display_name="Ada")
    assert await keys.display_name("ada", "acme") == "Ada"
    second, _ = await keys.add("ada", ["acme:user"], display_name="Countess")
    assert await keys.display_name("ada", "acme") == "Countess"
    await keys.revoke(second.id)
    assert await keys.display_name("ada", "acme") == "Ada"
    await keys.revoke(first.id)
    assert await keys.display_name("ada", "acme") == "Countess"


async def test_no_key_for_another_tenant_says_what_somebody_is_called(keys: Keyring, time: Time) -> None:
    await keys.add("ada", ["beta:user"], display_name="Ada", expires_at=NOW + 1)
    await keys.add("ada", ["acme:admin"], display_name="Mallory")
    assert await keys.display_name("ada", "beta") == "Ada"
    assert await keys.display_name("ada", "acme") == "Mallory"
    assert await keys.display_name("ada", "gamma") == "ada"
    await keys.add("ada", ["*:service"], display_name="Everywhere")
    assert await keys.display_name("ada", "gamma") == "Everywhere"
    time.now += 1
    assert await keys.display_name("ada", "beta") == "Everywhere"


async def test_what_owners_are_called_is_known_for_a_second(keys: Keyring, store: SqliteStore, time: Time) -> None:
    assert await keys.display_name("ada", "acme") == "ada"
    await Keyring(store, lambda: NOW).add("ada", ["acme:user"], display_name="Ada")
    time.elapsed += SECOND - 1
    assert await keys.display_name("ada", "acme") == "ada"
    time.elapsed += 1
    assert await keys.display_name("ada", "acme") == "Ada"


async def test_who_comes_without_a_key_is_called_as_was_said_last(keys: Keyring, store: SqliteStore) -> None:
    for display_name, called in (("ada", "ada"), ("Ada", "Ada"), ("Countess", "Countess"), ("ada", "Countess")):
        await keys.meet(Principal("ada", display_name, ()))
        assert await keys.display_name("ada", "acme") == called
        assert await Keyring(store, lambda: NOW).display_name("ada", "acme") == called, "on every server"


async def test_a_key_says_it_rather_than_who_vouches_for_somebody(keys: Keyring) -> None:
    await keys.add("ada", ["acme:user"])
    await keys.meet(Principal("ada", "Ada", ()))
    assert await keys.display_name("ada", "acme") == "Ada"
    await keys.add("ada", ["acme:user"], display_name="Countess")
    assert (await keys.display_name("ada", "acme"), await keys.display_name("ada", "beta")) == ("Countess", "Ada")


class Slow(SqliteStore):
    """A store that counts what it is to write of names, and has no turn for it."""

    asked = 0

    async def put_display_names(self, names: Mapping[str, str]) -> None:
        self.asked += 1
        raise StoreBusy


async def test_a_name_is_written_once_and_who_can_not_be_written_of_is_let_in(tmp_path: Path) -> None:
    store = Slow(tmp_path / "slow.db")
    await store.open()
    keys = Keyring(store, lambda: NOW)
    for _ in range(3):
        await keys.meet(Principal("ada", "Ada", ()))
    assert (store.asked, await keys.display_name("ada", "acme")) == (1, "ada")
    await store.close()


async def test_no_more_names_are_kept_in_mind_than_some(keys: Keyring) -> None:
    for number in range(MAX_NAMES + 10):
        assert await keys.display_name(f"owner {number}", "acme") == f"owner {number}"
        assert len(keys._names) <= MAX_NAMES
    keys._met = {f"owner {number}": "Somebody" for number in range(MAX_NAMES)}
    await keys.meet(Principal("ada", "Ada", ()))
    assert keys._met == {"ada": "Ada"}


def test_a_key_given_whole_stands_for_its_id() -> None:
    assert key_id(f"mp_{'a' * 16}_{'b' * 64}") == "a" * 16
    assert key_id("anything") == "anything"
