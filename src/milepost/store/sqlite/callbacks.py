"""How are callbacks, and the secrets that they are signed with, kept in rows?"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from milepost.store.callbacks import Callback, DueCallback, Tried, WebhookSecret
from milepost.store.sqlite import rows
from milepost.store.sqlite.transaction import Transaction
from milepost.task import Task

_encode: Final = msgspec.json.Encoder().encode
_record: Final = msgspec.json.Decoder(Task).decode


def note_end(transaction: Transaction, before: Task | None, after: Task) -> None:
    """Let a change be told that is the task's end, if somebody is to hear of that; `before` is None for a new task."""
    if after.callback is None or after.finished_at is None or (before is not None and before.finished_at is not None):
        return
    ended_at = after.finished_at
    record = _encode(rows.inlined(after)).decode()
    callback_id = f"{after.id}_{after.version}"  # no two ends of a task have the same version
    values = (callback_id, after.id, after.tenant, after.callback, ended_at, record, ended_at)
    transaction.run("put_callback", values)


def claim(transaction: Transaction, *, now: int, until: int, limit: int, but: Sequence[str]) -> list[DueCallback]:
    """See CallbackStore.claim."""
    wanted = {"now": now, "until": until, "limit": limit, "but": _encode(but).decode()}
    taken = transaction.rows("claim_callbacks", wanted)
    due = [DueCallback(Callback(*row), _record(record)) for *row, record in taken]
    return sorted(due, key=lambda each: (each.callback.ended_at, each.callback.id))  # RETURNING has no order


def settle(transaction: Transaction, tried: Iterable[Tried]) -> None:
    """See CallbackStore.settle."""
    for each in tried:
        transaction.run("settle_callback", asdict(each))
        transaction.run("forget_callback", (each.id,))


def secret(row: Sequence[Any]) -> WebhookSecret:
    """A secret as the statement `webhook_secret` gives it."""
    return WebhookSecret(*row)


def add_secrets(transaction: Transaction, secrets: Iterable[WebhookSecret]) -> list[WebhookSecret]:
    """See CallbackStore.add_secrets."""
    return [_add(transaction, each) for each in secrets]


def rotate_secrets(transaction: Transaction, secrets: Iterable[WebhookSecret], *, until: int) -> list[WebhookSecret]:
    """See CallbackStore.rotate_secrets."""
    return [_rotate(transaction, each, until) for each in secrets]


def _rotate(transaction: Transaction, new: WebhookSecret, until: int) -> WebhookSecret:
    if transaction.row("webhook_secret", (new.tenant,)) is not None:
        given = {"tenant": new.tenant, "secret": new.secret, "created_at": new.created_at, "previous_until": until}
        transaction.run("rotate_webhook_secret", given)
    return _add(transaction, new)


def _add(transaction: Transaction, new: WebhookSecret) -> WebhookSecret:
    transaction.run("add_webhook_secret", (new.tenant, new.secret, new.created_at))
    return secret(transaction.rows("webhook_secret", (new.tenant,))[0])
