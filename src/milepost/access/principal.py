"""Who is asking, and what do their grants let them see and do?"""

from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from milepost.store.protocol import Scope

EVERY_TENANT: Final = "*"


class Role(StrEnum):
    """What a grant allows; each role allows what the ones before it do."""

    USER = "user"
    """Own tasks and those assigned to it."""
    MEMBER = "member"
    """Reads and acts on all of the tenant."""
    ADMIN = "admin"
    """Also deletes, and sees tracebacks."""
    SERVICE = "service"
    """Every tenant; may act for a named owner."""


class Grant(msgspec.Struct, frozen=True):
    """A role in one tenant."""

    tenant: str
    role: Role


class Principal(msgspec.Struct, frozen=True):
    """A caller. `name` is what ownership is compared by, `display_name` what people read.

    `profile`: how its Aparavi client wants failures worded; None for no wish.
    """

    name: str
    display_name: str
    grants: tuple[Grant, ...]
    profile: str | None = None
    narrowed: bool = False
    """Whether it sees what it owns alone, whatever its grants are. A service sees everything all the same."""

    def holds(self, tenant: str, *roles: Role) -> bool:
        """Whether a grant gives one of these roles (any role, if none is named) in the tenant."""
        return any(
            grant.role is Role.SERVICE or (grant.tenant == tenant and (not roles or grant.role in roles))
            for grant in self.grants
        )

    def roles(self, tenant: str) -> tuple[Role, ...]:
        """The roles that its grants give in the tenant, from the least up."""
        return _roles(self, tenant)

    @property
    def is_service(self) -> bool:
        """Whether it may enter every tenant and act for others."""
        return any(grant.role is Role.SERVICE for grant in self.grants)

    @property
    def home(self) -> str | None:
        """The tenant meant where none is named: the only one it has a grant in."""
        tenants = {grant.tenant for grant in self.grants if grant.tenant != EVERY_TENANT}
        return tenants.pop() if len(tenants) == 1 else None

    def within(self, tenant: str) -> "Principal":
        """The same caller with what it may do in this tenant, and nothing beyond."""
        return _within(self, tenant)

    def as_owner(self) -> "Principal":
        """The same caller where only owners are told of their tasks."""
        return _as_owner(self)

    def scope(self) -> Scope:
        """What it may see, as a store filters it."""
        return _scope(self)


@lru_cache(maxsize=4096)
def _roles(principal: Principal, tenant: str) -> tuple[Role, ...]:
    held = {grant.role for grant in principal.grants if grant.tenant == tenant or grant.role is Role.SERVICE}
    return tuple(role for role in Role if role in held)


@lru_cache(maxsize=4096)
def _within(principal: Principal, tenant: str) -> Principal:
    held = tuple(grant for grant in principal.grants if grant.tenant == tenant and grant.role is not Role.SERVICE)
    if principal.is_service:
        held = (Grant(tenant, Role.ADMIN),)
    return replace(principal, grants=held)


@lru_cache(maxsize=4096)
def _as_owner(principal: Principal) -> Principal:
    return replace(principal, narrowed=True)


@lru_cache(maxsize=4096)
def _scope(principal: Principal) -> Scope:
    if principal.is_service:
        return Scope(principal.name, whole=None)
    if principal.narrowed:
        tenants = tuple(dict.fromkeys(grant.tenant for grant in principal.grants))
        return Scope(principal.name, own=tenants, assigned=False)
    whole = tuple(grant.tenant for grant in principal.grants if grant.role in (Role.MEMBER, Role.ADMIN))
    own = tuple(grant.tenant for grant in principal.grants if grant.role is Role.USER)
    return Scope(principal.name, whole=whole, own=own)


LOCAL: Final = Principal("local", "Local", (Grant(EVERY_TENANT, Role.SERVICE),))
"""Everybody, while no key was ever made."""

ANONYMOUS: Final = Principal("", "", ())
"""Who shows no key where keys are asked for: sees nothing, and may do nothing."""
