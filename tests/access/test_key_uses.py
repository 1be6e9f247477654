import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from milepost.access.key_uses import KeyUses
from milepost.access.keyring import Keyring
from milepost.store.api_keys import ApiKey
from milepost.store.sqlite.store import SqliteStore
from milepost.times import MINUTE, SECOND

NOW = 1_767_225_600_000_000


class Time:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = NOW


class Counted(SqliteStore):
    """Counts how often uses are written, and refuses that as often as a test says."""

    refused = 0
    written = 0

    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        if self.refused:
            self.refused -= 1
            raise OSError("Not now.")
        await super().note_key_uses(uses)
        self.written += 1


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Counted]:
    store = Counted(tmp_path / "m.db")
    await store.open()
    yield store
    await store.close()


async def key_of(store: SqliteStore) -> ApiKey:
    return (await store.keys(limit=9)).keys[-1]


async def test_uses_are_written_together_after_a_while(store: Counted, time: Time) -> None:
    keys = Keyring(store, lambda: time.now)
    one, _ = await keys.add("ada", ["acme:user"])
    two, _ = await keys.add("bob", ["acme:user"])
    uses = KeyUses(store, lambda: time.now, pause=0)
    async with aclosing(store.changes()) as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)  # until it listens
        uses.note(one)
        time.now += SECOND
        uses.note(one)
        uses.note(two)
        await waiting
    await uses.close()
    assert [key.last_used_at for key in (await store.keys(limit=9)).keys] == [NOW + SECOND, NOW + SECOND]
    assert store.written == 1


async def test_what_is_known_to_the_minute_is_not_written_again(store: Counted, time: Time) -> None:
    keys = Keyring(store, lambda: time.now)
    _, secret = await keys.add("ada", ["acme:user"])
    for after, known in ((0, 0), (MINUTE - 1, 0), (MINUTE, MINUTE), (2 * MINUTE - 1, MINUTE), (3 * MINUTE, 3 * MINUTE)):
        time.now = NOW + after
        assert await keys.principal(secret) is not None
        await keys.close()
        assert (await key_of(store)).last_used_at == NOW + known
    assert store.written == 3


async def test_a_key_that_lets_nobody_in_is_not_used(store: Counted, time: Time) -> None:
    keys = Keyring(store, lambda: time.now)
    key, secret = await keys.add("ada", ["acme:user"])
    assert await keys.principal(f"mp_{key.id}_{'0' * 64}") is None
    await keys.revoke(key.id)
    assert await keys.principal(secret) is None
    await keys.close()
    assert (store.written, (await key_of(store)).last_used_at) == (0, None)


async def test_what_could_not_be_written_is_kept_for_the_next_time(
    store: Counted, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keyring(store, lambda: time.now)
    _, secret = await keys.add("ada", ["acme:user"])
    await keys.principal(secret)
    store.refused = 1
    await keys.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Not now." in caplog.text
    await keys.close()
    assert (await key_of(store)).last_used_at == NOW
