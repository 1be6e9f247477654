"""How is an API key kept in a row? (What makes a start known again, an Idempotency-Key, is `keys`' affair.)"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from milepost.store.api_keys import ApiKey
from milepost.store.refusals import Missing
from milepost.store.sqlite.transaction import Transaction

_grants = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


def key(row: Sequence[Any]) -> ApiKey:
    """A key as the statement part `api_key_columns` gives it."""
    key_id, name, display_name, grants, *rest = row
    return ApiKey(key_id, name, display_name, _grants(grants), *rest)


def add(transaction: Transaction, keys: Iterable[ApiKey]) -> None:
    """See TaskStore.add_keys."""
    for each in keys:
        *before, grants, profile, digest, created_at, revoked_at = msgspec.structs.astuple(each)
        said = msgspec.json.encode(grants).decode()
        transaction.run("put_api_key", (*before, said, profile, digest, created_at, revoked_at))


def revoke(transaction: Transaction, ids: Iterable[str], now: int) -> list[ApiKey | Missing]:
    """See TaskStore.revoke_keys."""
    found = [transaction.row("revoke_api_key", (now, key_id)) for key_id in ids]
    return [Missing() if row is None else key(row) for row in found]
