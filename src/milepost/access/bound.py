"""Whom are callers taken for that have no way to show a key, where an operator says so?"""

from milepost.access.keyring import is_name
from milepost.access.principal import EVERY_TENANT, LOCAL, Grant, Principal, Role


def bound(text: str) -> Principal:
    """The principal that `NAME@TENANT` names: a user of that tenant, and of no other. Raises ValueError."""
    name, _, tenant = text.rpartition("@")
    if not (is_name(name) and is_name(tenant)):
        raise ValueError(f"{text!r:.80} is no NAME@TENANT, such as coins@wallets.")
    if name == LOCAL.name or tenant == EVERY_TENANT:
        raise ValueError(f"{text!r:.80}: a caller has a name of its own, and is a user of one tenant.")
    return Principal(name, name, (Grant(tenant, Role.USER),))
