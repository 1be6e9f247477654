"""What callbacks are signed with, and how it lies in the store."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.sealing import Sealing, Unsealable
from milepost.signing import BOTH_COUNT, Signing
from milepost.store.sqlite.store import SqliteStore
from milepost.webhook import SECRET_BYTES

ONE, TWO = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


class Desk:
    """A store, and a clock that stands."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.now = 1_000_000

    def signing(self, keys: str | None = None) -> Signing:
        """As a process with these keys signs."""
        return Signing(self.store, Sealing(keys), lambda: self.now)

    async def kept(self) -> list[bytes]:
        """All secrets, as the store has them."""
        rows = await self.store.callbacks.known_secrets(None)
        return [kept for row in rows for kept in (row.secret, row.previous) if kept is not None]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = SqliteStore(tmp_path / "milepost.db")
    await store.open()
    yield Desk(store)
    await store.close()


async def test_with_a_key_it_lies_sealed_and_is_the_same_for_all_who_have_the_key(desk: Desk) -> None:
    secret = await desk.signing(ONE).secret("acme")
    assert len(secret) == SECRET_BYTES
    assert await desk.signing(f"{TWO} {ONE}").secret("acme") == secret
    assert await desk.signing(ONE).keys("acme") == [secret]
    _, second = await desk.signing(ONE).rotate("acme")
    assert await desk.signing(ONE).keys("acme") == [second, secret]
    kept = await desk.kept()
    assert len(kept) == 2
    assert not any(plain in each for each in kept for plain in (secret, second, base64.b64encode(secret)))


async def test_without_a_key_it_lies_there_as_it_is(desk: Desk) -> None:
    signing = desk.signing()
    secret = await signing.secret("acme")
    assert await desk.kept() == [secret]
    await signing.seal_all()
    assert await desk.kept() == [secret]
    assert (signing.seals, desk.signing(ONE).seals) == (False, True)


async def test_the_first_call_makes_one(desk: Desk) -> None:
    (key,) = await desk.signing(ONE).keys("acme")
    assert await desk.signing(ONE).keys("acme") == [key]


async def test_the_one_before_counts_for_a_while(desk: Desk) -> None:
    signing = desk.signing(ONE)
    first = await signing.secret("acme")
    held, second = await signing.rotate("acme")
    assert held.previous_until == desk.now + BOTH_COUNT
    desk.now += BOTH_COUNT - 1
    assert await signing.keys("acme") == [second, first]
    desk.now += 1
    assert await signing.keys("acme") == [second]


async def test_who_has_not_got_the_key_can_neither_show_it_nor_sign(desk: Desk) -> None:
    await desk.signing(ONE).secret("acme")
    for keys in (None, TWO):
        for ask in (desk.signing(keys).secret, desk.signing(keys).keys):
            with pytest.raises(Unsealable):
                await ask("acme")


async def test_one_before_whose_key_is_gone_is_signed_with_no_more(desk: Desk) -> None:
    await desk.signing(ONE).secret("acme")
    _, second = await desk.signing(TWO).rotate("acme")
    assert await desk.signing(TWO).keys("acme") == [second]


async def test_a_secret_is_sealed_for_its_tenant(desk: Desk) -> None:
    await desk.signing(ONE).secret("acme")
    (held,) = await desk.store.callbacks.known_secrets(None)
    await desk.store.callbacks.add_secrets([type(held)("beta", held.secret, held.created_at)])
    with pytest.raises(Unsealable):
        await desk.signing(ONE).keys("beta")


async def test_what_was_there_before_the_key_is_sealed_and_what_has_an_older_key_too(desk: Desk) -> None:
    plain = desk.signing()
    first = await plain.secret("acme")
    _, second = await plain.rotate("acme")
    await desk.signing(ONE).seal_all()
    sealed = await desk.kept()
    assert first not in sealed
    assert second not in sealed
    await desk.signing(ONE).seal_all()
    assert await desk.kept() == sealed
    await desk.signing(f"{TWO} {ONE}").seal_all()
    assert await desk.signing(TWO).keys("acme") == [second, first]
    with pytest.raises(Unsealable):
        await desk.signing(ONE).keys("acme")


async def test_what_no_key_here_opens_is_left_as_it_is(desk: Desk) -> None:
    await desk.signing(ONE).secret("acme")
    kept = await desk.kept()
    await desk.signing(TWO).seal_all()
    assert await desk.kept() == kept


async def test_what_was_removed_is_made_afresh(desk: Desk) -> None:
    signing = desk.signing(ONE)
    first = await signing.secret("acme")
    await signing.rotate("acme")
    assert await signing.remove("acme", of=["beta"]) is None
    removed = await signing.remove("acme", of=None)
    assert removed is not None
    assert await desk.kept() == []
    assert first not in await signing.keys("acme")
