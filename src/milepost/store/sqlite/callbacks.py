"""How are callbacks, and the secrets that they are signed with, kept in rows?"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import asdict, replace

from milepost.store.callbacks import Callback, DueCallback, Tried, WebhookSecret
from milepost.store.sqlite import rows, sight
from milepost.store.sqlite.transaction import Transaction
from milepost.task import JsonResult, Task

_encode: Final = msgspec.json.Encoder().encode
_record: Final = msgspec.json.Decoder(Task).decode


def note_end(transaction: Transaction, before: Task | None, after: Task) -> None:
    """Let a change be told that is the task's end, if somebody is to hear of that; `before` is None for a new task.

    It is told as its owner would read it now: the URL is that of who started the task.
    """
    if after.callback is None or after.finished_at is None or (before is not None and before.finished_at is not None):
        return
    callback_id = f"{after.id}_{after.version}"  # no two ends of a task have the same version
    told = sight.shown(transaction.rows, rows.inlined(after), sight.of_owner(after), after.updated_at)
    record, value = _apart(told)
    due = after.finished_at
    values = (callback_id, after.id, after.tenant, after.callback, after.finished_at, record, value, due)
    transaction.run("put_callback", values)


def _apart(task: Task) -> tuple[str, bytes | None]:
    """A record as JSON, and apart from that the value of its result, as it is."""
    if not isinstance(task.result, JsonResult) or task.result.value is None:
        return _encode(task).decode(), None
    bare = replace(task, result=JsonResult(task.result.size, None))
    return _encode(bare).decode(), bytes(task.result.value)


def _together(record: str, value: bytes | None) -> Task:
    task = _record(record)
    return task if value is None else replace(task, result=JsonResult(len(value), Raw(value)))


def claim(transaction: Transaction, *, now: int, until: int, limit: int, but: Sequence[str]) -> list[DueCallback]:
    """See CallbackStore.claim."""
    wanted = {"now": now, "until": until, "limit": limit, "but": _encode(but).decode()}
    taken = transaction.rows("claim_callbacks", wanted)
    due = [DueCallback(Callback(*row), _together(record, value)) for *row, record, value in taken]
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


def named(tenants: Sequence[str] | None) -> str | None:
    """The parameter of the statement part `of_tenants`."""
    return None if tenants is None else _encode(tenants).decode()


def remove_secrets(
    transaction: Transaction, tenants: Iterable[str], *, of: Sequence[str] | None
) -> list[WebhookSecret | None]:
    """See CallbackStore.remove_secrets."""
    asked = {"tenants": named(of)}
    found = [transaction.row("remove_webhook_secret", {"tenant": tenant, **asked}) for tenant in tenants]
    return [None if row is None else secret(row) for row in found]


def exchange_secrets(transaction: Transaction, changes: Iterable[tuple[WebhookSecret, WebhookSecret]]) -> None:
    """See CallbackStore.exchange_secrets."""
    for before, after in changes:
        written = {"new_secret": after.secret, "new_previous": after.previous}
        transaction.run("exchange_webhook_secret", asdict(before) | written)
