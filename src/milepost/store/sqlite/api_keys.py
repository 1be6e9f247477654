"""How is an API key kept in a row? (What makes a start known again, an Idempotency-Key, is `keys`' affair.)"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from milepost.store.api_keys import ApiKey, KeyPage, Replacement
from milepost.store.refusals import Missing, Refusal, TenantFull
from milepost.store.sqlite.cursor import Cursors
from milepost.store.sqlite.transaction import Transaction

Rows: TypeAlias = Callable[[str, Any], list[Any]]
"""Reads the rows of the statement of a name, with values."""

_EVERYWHERE: Final = "*"
"""Where the grant of a service is."""
_grants = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


def key(row: Sequence[Any]) -> ApiKey:
    """A key as the statement part `api_key_columns` gives it."""
    key_id, name, display_name, grants, *rest = row
    return ApiKey(key_id, name, display_name, _grants(grants), *rest)


def managed(tenants: Sequence[str] | None) -> dict[str, str | None]:
    """The parameters of the statement part `managed`."""
    return {"tenants": None if tenants is None else msgspec.json.encode(tenants).decode()}


def called(rows: Rows, name: str, tenant: str, now: int) -> str | None:
    """See KeyStore.called."""
    asked = [{"tenant": place, "name": name} for place in (tenant, _EVERYWHERE)]
    found = [row for each in asked for row in rows("newest_valid_key", {**each, "now": now})]
    found = found or [row for each in asked for row in rows("last_valid_key", each)]
    said: str | None = max(found)[-1] if found else None
    return said


def page(
    rows: Rows,
    cursors: Cursors,
    tenants: Sequence[str] | None,
    after: str | None,
    limit: int,
) -> KeyPage:
    """See KeyStore.keys."""
    asked: dict[str, Any] = {"after": 0 if after is None else cursors.open(after), "limit": limit + 1}
    if tenants is None:
        found = rows("api_keys", asked)
    else:  # what lies in several tenants is found in each of them
        asked |= managed(tenants)
        in_each = [rows("api_keys_in", {**asked, "tenant": tenant}) for tenant in dict.fromkeys(tenants)]
        found = sorted({row[0]: row for some in in_each for row in some}.values(), key=itemgetter(0))
    following = cursors.seal(found[limit - 1][0]) if len(found) > limit else None
    return KeyPage([key(row[1:]) for row in found[:limit]], following)


def add(transaction: Transaction, keys: Sequence[ApiKey], most: int | None) -> list[ApiKey | TenantFull]:
    """See KeyStore.add_keys."""

    def made(item: ApiKey) -> ApiKey:
        values = msgspec.structs.asdict(item)
        values["grants"] = msgspec.json.encode(item.grants).decode()
        transaction.run("put_api_key", tuple(values.values()))
        _check_room(transaction, item, most, item.created_at)
        return item

    return transaction.each(keys, made, TenantFull)


def _check_room(transaction: Transaction, made: ApiKey, most: int | None, now: int) -> None:
    """Raises TenantFull where there are too many with a key that was just made."""
    if most is None:
        return
    for tenant in dict.fromkeys(tenant for tenant, _ in made.grants):
        ((valid,),) = transaction.rows("valid_api_keys", {"tenant": tenant, "now": now, "enough": most + 1})
        if valid > most:
            raise TenantFull(tenant)


def revoke(
    transaction: Transaction, ids: Iterable[str], now: int, tenants: Sequence[str] | None
) -> list[ApiKey | Missing]:
    """See KeyStore.revoke_keys."""
    asked = {"now": now, **managed(tenants)}
    found = [transaction.row("revoke_api_key", {"id": key_id, **asked}) for key_id in ids]
    return [Missing() if row is None else key(row) for row in found]


def replace(
    transaction: Transaction,
    items: Sequence[Replacement],
    now: int,
    tenants: Sequence[str] | None,
    most: int | None,
) -> list[ApiKey | Refusal]:
    """See KeyStore.replace_keys."""

    def made(item: Replacement) -> ApiKey:
        said = msgspec.structs.asdict(item)
        row = transaction.row("copy_api_key", {"now": now, **said, **managed(tenants)})
        if row is None:
            raise Missing
        new = key(row)
        transaction.run("replace_api_key", said)
        if item.until > now:
            _check_room(transaction, new, most, now)
        return new

    return transaction.each(items, made, Missing, TenantFull)


def forget(transaction: Transaction, until: int, limit: int) -> int:
    """See KeyStore.forget_keys."""
    return len(transaction.rows("forget_api_keys", {"until": until, "limit": limit}))


def put_display_names(transaction: Transaction, names: Mapping[str, str]) -> None:
    """See KeyStore.put_display_names."""
    for said in names.items():
        transaction.run("put_display_name", said)


def note_uses(transaction: Transaction, uses: Mapping[str, int]) -> None:
    """See KeyStore.note_key_uses."""
    for key_id, time in uses.items():
        transaction.run("note_api_key_use", (time, key_id))
