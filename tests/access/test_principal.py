from milepost.access.principal import ANONYMOUS, EVERY_TENANT, LOCAL, Grant, Principal, Role
from milepost.store.protocol import Scope


def principal(*grants: tuple[str, Role]) -> Principal:
    return Principal("ada", "Ada", tuple(Grant(tenant, role) for tenant, role in grants))


def test_what_a_role_lets_see() -> None:
    ada = principal(("acme", Role.USER), ("beta", Role.MEMBER), ("gamma", Role.ADMIN))
    assert ada.scope() == Scope("ada", whole=("beta", "gamma"), own=("acme",))
    assert LOCAL.scope() == Scope("local", whole=None)


def test_an_owner_sees_its_own_alone_whatever_its_role_and_a_service_all() -> None:
    ada = principal(("acme", Role.USER), ("beta", Role.ADMIN), ("acme", Role.MEMBER)).as_owner()
    assert ada.scope() == Scope("ada", own=("acme", "beta"), assigned=False)
    assert ada.within("beta").scope() == Scope("ada", own=("beta",), assigned=False)
    assert ada.holds("beta", Role.ADMIN), "what it may do with those is what it may do anywhere"
    assert LOCAL.as_owner().scope() == LOCAL.scope()


def test_a_grant_holds_in_its_tenant_only() -> None:
    ada = principal(("acme", Role.USER), ("beta", Role.ADMIN))
    assert ada.holds("acme")
    assert not ada.holds("acme", Role.ADMIN)
    assert ada.holds("beta", Role.ADMIN)
    assert not ada.holds("gamma")
    assert not ada.is_service


def test_a_service_enters_every_tenant() -> None:
    service = principal((EVERY_TENANT, Role.SERVICE))
    assert service.is_service
    assert service.holds("anything", Role.ADMIN)


def test_the_roles_in_a_tenant_are_in_order_and_none_is_of_another() -> None:
    ada = principal(("acme", Role.ADMIN), ("beta", Role.USER), ("acme", Role.USER), ("acme", Role.USER))
    assert ada.roles("acme") == ("user", "admin")
    assert ada.roles("beta") == ("user",)
    assert ada.roles("gamma") == ()
    assert LOCAL.roles("anything") == ("service",)
    assert LOCAL.within("acme").roles("acme") == ("admin",)
    assert ada.as_owner().roles("acme") == ("user", "admin")


def test_the_home_is_the_only_tenant_there_is() -> None:
    assert principal(("acme", Role.USER), ("acme", Role.ADMIN)).home == "acme"
    assert principal(("acme", Role.USER), ("beta", Role.USER)).home is None
    assert LOCAL.home is None


def test_who_shows_no_key_sees_and_may_nothing() -> None:
    assert ANONYMOUS.scope() == Scope("", whole=(), own=())
    assert not ANONYMOUS.is_service
    assert not any(ANONYMOUS.holds(tenant) for tenant in ("", "default", EVERY_TENANT))
    assert ANONYMOUS.home is None


def test_within_a_tenant_nothing_is_held_beyond() -> None:
    ada = principal(("acme", Role.USER), ("beta", Role.ADMIN), ("acme", Role.MEMBER))
    assert ada.within("acme") == principal(("acme", Role.USER), ("acme", Role.MEMBER))
    assert ada.within("beta").scope() == Scope("ada", whole=("beta",))
    assert ada.within("gamma").scope() == Scope("ada")


def test_a_service_is_an_admin_within_any_tenant_and_nothing_beyond() -> None:
    inside = LOCAL.within("acme")
    assert (inside.name, inside.home, inside.is_service) == ("local", "acme", False)
    assert inside.holds("acme", Role.ADMIN)
    assert inside.scope() == Scope("local", whole=("acme",))
    assert principal(("acme", Role.SERVICE), ("acme", Role.USER)).within("acme") == principal(("acme", Role.ADMIN))
