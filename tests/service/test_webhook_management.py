"""Who may do what with the webhook secrets of whom? Every operation, asked by every role, about every tenant."""

import pytest

from milepost import errors
from milepost.access.principal import EVERY_TENANT
from tests.service.hands import Hands
from tests.service.test_key_management import ASKERS, MANAGED

TENANTS = ("acme", "beta", "gamma")


def manages(role: str, tenant: str) -> bool:
    """Whether a role manages the secrets of a tenant."""
    return tenant in MANAGED[role] or EVERY_TENANT in MANAGED[role]


@pytest.mark.parametrize("role", ASKERS)
async def test_p6_each_role_manages_the_secrets_of_its_tenants(role: str, hands: Hands) -> None:
    management, callbacks = hands.service.webhook_management, hands.service.callbacks
    before = {tenant: await callbacks.secret(tenant) for tenant in TENANTS}
    who = ASKERS[role]
    if role not in MANAGED:
        for ask in (
            lambda: management.list(who),
            lambda: management.make(who, "acme"),
            lambda: management.remove(who, "acme"),
        ):
            with pytest.raises(errors.Forbidden):
                await ask()
        assert {tenant: await callbacks.secret(tenant) for tenant in TENANTS} == before
        return
    assert [held.tenant for held in await management.list(who)] == [each for each in TENANTS if manages(role, each)]
    for tenant in TENANTS:
        if not manages(role, tenant):
            with pytest.raises(errors.Forbidden):
                await management.make(who, tenant)
            with pytest.raises(errors.NotFound) as hidden:
                await management.remove(who, tenant)
            with pytest.raises(errors.NotFound) as absent:
                await management.remove(who, "absent")
            assert hidden.value.detail == absent.value.detail
            assert await callbacks.secret(tenant) == before[tenant]
            continue
        held, secret = await management.make(who, tenant)
        assert (held.tenant, secret) == (tenant, await callbacks.secret(tenant))
        assert secret != before[tenant]
        assert (await management.remove(who, tenant)).tenant == tenant
        assert tenant not in [each.tenant for each in await management.list(who)]


@pytest.mark.parametrize("tenant", ["", "x" * 201, "a\0b"])
async def test_what_names_no_tenant_is_refused(tenant: str, hands: Hands) -> None:
    with pytest.raises(errors.Invalid):
        await hands.service.webhook_management.make(ASKERS["service"], tenant)
