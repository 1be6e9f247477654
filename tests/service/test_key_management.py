"""Who may do what with whose key? Every operation, asked by every role, about keys of every reach."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from milepost import errors
from milepost.access.principal import ANONYMOUS, EVERY_TENANT, LOCAL, Principal, Role
from milepost.key_management import KeyManagement
from milepost.store.api_keys import ApiKey, KeyPage
from milepost.times import HOUR
from tests.service.hands import Hands, someone

ASKERS: Final[dict[str, Principal]] = {
    "user": someone("asker", ("acme", Role.USER)),
    "member": someone("asker", ("acme", Role.MEMBER)),
    "admin": someone("asker", ("acme", Role.ADMIN)),
    "admin of two": someone("asker", ("acme", Role.ADMIN), ("beta", Role.ADMIN)),
    "admin, and user elsewhere": someone("asker", ("acme", Role.ADMIN), ("beta", Role.USER)),
    "service": someone("asker", (EVERY_TENANT, Role.SERVICE)),
    "who shows none": LOCAL,
    "nobody": ANONYMOUS,
}
MANAGED: Final = {
    "admin": {"acme"},
    "admin of two": {"acme", "beta"},
    "admin, and user elsewhere": {"acme"},
    "service": {"acme", "beta", "gamma", EVERY_TENANT},
}
"""By role, where it manages keys."""
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "a user's": ("acme:user",),
    "an admin's": ("acme:admin",),
    "of two tenants": ("acme:user", "beta:user"),
    "of another tenant": ("beta:member",),
    "of a third": ("gamma:user",),
    "a service's": ("*:service",),
}
ABSENT: Final = "0" * 16

Call = Callable[[KeyManagement, Principal, str], Awaitable[Any]]
OPERATIONS: Final[dict[str, Call]] = {
    "revoke": lambda management, who, key: management.revoke(who, key),
    "rotate": lambda management, who, key: management.rotate(who, key, grace=0),
}


def reaches(grants: tuple[str, ...]) -> set[str]:
    """The tenants that these grants name."""
    return {grant.split(":")[0] for grant in grants}


async def made(hands: Hands) -> dict[str, ApiKey]:
    """A key of each reach."""
    return {whose: (await hands.service.keys.add("ada", grants))[0] for whose, grants in KEYS.items()}


@pytest.mark.parametrize("role", ASKERS)
async def test_p6_the_list_has_the_keys_that_the_role_manages(role: str, hands: Hands) -> None:
    keys = await made(hands)
    management = hands.service.key_management
    if role not in MANAGED:
        with pytest.raises(errors.Forbidden):
            await management.list(ASKERS[role])
        return
    expected = [key for whose, key in keys.items() if reaches(KEYS[whose]) <= MANAGED[role]]
    assert await management.list(ASKERS[role]) == KeyPage(expected, None)


@pytest.mark.parametrize("role", ASKERS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_p6_keys_that_the_role_does_not_manage_are_not_there_for_it(
    operation: str, role: str, hands: Hands
) -> None:
    keys = await made(hands)
    management, call, who = hands.service.key_management, OPERATIONS[operation], ASKERS[role]
    refusal = errors.NotFound if role in MANAGED else errors.Forbidden
    with pytest.raises(refusal) as nothing:
        await call(management, who, ABSENT)
    for whose, key in keys.items():
        if role in MANAGED and reaches(KEYS[whose]) <= MANAGED[role]:
            await call(management, who, key.id)
            (after,) = await hands.store.find_keys([key.id])
            assert after is not None
            assert not after.is_valid(hands.now)
            continue
        with pytest.raises(refusal) as refused:
            await call(management, who, key.id)
        assert (refused.value.detail, refused.value.facts) == (nothing.value.detail, nothing.value.facts), whose
        assert await hands.store.find_keys([key.id]) == [key]


@pytest.mark.parametrize("role", ASKERS)
@pytest.mark.parametrize("whose", KEYS)
async def test_a_role_grants_what_lies_in_its_tenants(whose: str, role: str, hands: Hands) -> None:
    management, grants = hands.service.key_management, KEYS[whose]
    if role in MANAGED and reaches(grants) <= MANAGED[role]:
        key, secret = await management.add(
            ASKERS[role], "ada", grants, display_name="Ada", profile="node", expires_at=hands.now + HOUR
        )
        assert (key.display_name, key.profile, key.expires_at) == ("Ada", "node", hands.now + HOUR)
        found = await hands.service.keys.principal(secret)
        assert found is not None
        assert (found.name, {grant.tenant for grant in found.grants}) == ("ada", reaches(grants))
        return
    with pytest.raises(errors.Forbidden):
        await management.add(ASKERS[role], "ada", grants)
    assert (await hands.store.keys(limit=1)).keys == []


@pytest.mark.parametrize("role", MANAGED)
@pytest.mark.parametrize("grants", [["acme"], [], ["acme:owner"], ["acme:service"], ["acme:admin", "acme:"]])
async def test_a_grant_that_is_none_is_wrong_for_everybody(role: str, grants: list[str], hands: Hands) -> None:
    with pytest.raises(errors.Invalid):
        await hands.service.key_management.add(ASKERS[role], "ada", grants)
    assert (await hands.store.keys(limit=1)).keys == []


async def test_what_is_refused_says_where_one_may(hands: Hands) -> None:
    with pytest.raises(errors.Forbidden, match=r"nothing in the tenant 'gamma'; you are an admin of acme, beta\.$"):
        await hands.service.key_management.add(ASKERS["admin of two"], "ada", ["acme:user", "gamma:user"])
    with pytest.raises(errors.Forbidden, match=r"nothing in the tenant '\*'"):
        await hands.service.key_management.add(ASKERS["admin"], "ada", ["*:service"])
    with pytest.raises(errors.Forbidden, match="`milepost key add` makes the first"):
        await hands.service.key_management.add(LOCAL, "ada", ["acme:user"])


async def test_a_rotated_key_has_an_hour_more_unless_it_is_said(hands: Hands) -> None:
    key, _ = await hands.service.keys.add("ada", ["acme:user"])
    await hands.service.key_management.rotate(ASKERS["admin"], key.id)
    (old,) = await hands.store.find_keys([key.id])
    assert old is not None
    assert old.expires_at == hands.now + HOUR
