"""Which task types are known, and which of them are paused?"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from milepost.store.protocol import TypeInfo
from milepost.store.refusals import Missing
from milepost.store.sqlite.transaction import Transaction

_decode = msgspec.json.Decoder(TypeInfo).decode


def info(row: Sequence[Any]) -> TypeInfo:
    """A type as it is stored: what was made known of it, and whether it is paused."""
    text, paused = row
    return replace(_decode(text), paused=paused == 1)


def publish(transaction: Transaction, types: Iterable[TypeInfo]) -> None:
    """See TaskStore.publish_types."""
    for each in types:
        transaction.run("put_type", (each.name, msgspec.json.encode(each).decode()))


def pause(transaction: Transaction, names: Iterable[str], *, paused: bool) -> list[TypeInfo | Missing]:
    """See TaskStore.pause_types."""
    found = [transaction.row("pause_type", (paused, name)) for name in names]
    return [Missing() if row is None else info(row) for row in found]
