"""How is an API key kept in a row? (What makes a start known again, an Idempotency-Key, is `keys`' affair.)"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from milepost.store.api_keys import ApiKey, Replacement
from milepost.store.refusals import Missing
from milepost.store.sqlite.transaction import Transaction

_grants = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


def key(row: Sequence[Any]) -> ApiKey:
    """A key as the statement part `api_key_columns` gives it."""
    key_id, name, display_name, grants, *rest = row
    return ApiKey(key_id, name, display_name, _grants(grants), *rest)


def managed(tenants: Sequence[str] | None) -> dict[str, str | None]:
    """The parameters of the statement part `managed`."""
    return {"tenants": None if tenants is None else msgspec.json.encode(tenants).decode()}


def add(transaction: Transaction, keys: Iterable[ApiKey]) -> None:
    """See KeyStore.add_keys."""
    for each in keys:
        values = msgspec.structs.asdict(each)
        values["grants"] = msgspec.json.encode(each.grants).decode()
        transaction.run("put_api_key", tuple(values.values()))


def revoke(
    transaction: Transaction, ids: Iterable[str], now: int, tenants: Sequence[str] | None
) -> list[ApiKey | Missing]:
    """See KeyStore.revoke_keys."""
    asked = {"now": now, **managed(tenants)}
    found = [transaction.row("revoke_api_key", {"id": key_id, **asked}) for key_id in ids]
    return [Missing() if row is None else key(row) for row in found]


def replace(
    transaction: Transaction, items: Iterable[Replacement], now: int, tenants: Sequence[str] | None
) -> list[ApiKey | Missing]:
    """See KeyStore.replace_keys."""
    outcomes: list[ApiKey | Missing] = []
    for item in items:
        said = msgspec.structs.asdict(item)
        row = transaction.row("copy_api_key", {"now": now, **said, **managed(tenants)})
        if row is not None:
            transaction.run("replace_api_key", said)
        outcomes.append(Missing() if row is None else key(row))
    return outcomes


def put_display_names(transaction: Transaction, names: Mapping[str, str]) -> None:
    """See KeyStore.put_display_names."""
    for said in names.items():
        transaction.run("put_display_name", said)


def note_uses(transaction: Transaction, uses: Mapping[str, int]) -> None:
    """See KeyStore.note_key_uses."""
    for key_id, time in uses.items():
        transaction.run("note_api_key_use", (time, key_id))
