import pytest

from milepost.access.bound import bound
from milepost.access.principal import Grant, Principal, Role


@pytest.mark.parametrize(
    ("text", "name", "tenant"), [("coins@wallets", "coins", "wallets"), ("a@b.example@acme", "a@b.example", "acme")]
)
def test_a_name_and_a_tenant_are_a_user_there(text: str, name: str, tenant: str) -> None:
    assert bound(text) == Principal(name, name, (Grant(tenant, Role.USER),))


@pytest.mark.parametrize("text", ["", "@", "coins", "coins@", "@wallets", "a\nb@wallets", "coins@\0"])
def test_what_is_no_name_and_tenant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no NAME@TENANT, such as coins@wallets\."):
        bound(text)


@pytest.mark.parametrize("text", ["local@wallets", "coins@*"])
def test_nobody_is_bound_to_everybody_or_to_every_tenant(text: str) -> None:
    with pytest.raises(ValueError, match="a caller has a name of its own, and is a user of one tenant"):
        bound(text)
