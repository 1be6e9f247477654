"""What has been told of a task's ends, and with what its receivers check that."""

import re

import pytest

from milepost.access.principal import LOCAL, Role
from milepost.errors import Invalid, NotFound
from milepost.signing import BOTH_COUNT
from milepost.start import Start
from milepost.times import DAY
from milepost.webhook import MAX_URL
from tests.service.hands import Hands, someone

URL = "https://hooks.test/"


async def test_who_is_told_is_known_before_the_end_and_what_was_told_after_it(hands: Hands) -> None:
    callbacks = hands.service.callbacks
    task = await hands.start(callback=URL)
    assert await callbacks.of(LOCAL, task.id) == (URL, [])
    await hands.run()
    url, told = await callbacks.of(LOCAL, task.id.replace("-", "").upper())
    assert (url, [each.state for each in told]) == (URL, ["pending"])
    other = await hands.start()
    assert await callbacks.of(LOCAL, other.id) == (None, [])


@pytest.mark.parametrize("task_id", ["", "x", "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"])
async def test_of_no_task_nothing_is_known(hands: Hands, task_id: str) -> None:
    with pytest.raises(NotFound):
        await hands.service.callbacks.of(LOCAL, task_id)


async def test_p6_who_may_not_see_a_task_is_told_as_if_there_were_none(hands: Hands) -> None:
    task = await hands.start(tenant="acme", callback=URL)
    with pytest.raises(NotFound) as absent:
        await hands.service.callbacks.of(LOCAL, "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40")
    with pytest.raises(NotFound) as hidden:
        await hands.service.callbacks.of(someone("eve", ("acme", Role.USER)), task.id)
    assert hidden.value.detail == absent.value.detail


@pytest.mark.parametrize("url", ["", "x", "ftp://a/", "https://u:p@a/", "https://a/#b", "https://a/" + "x" * MAX_URL])
async def test_what_can_not_be_called_is_refused_at_the_start(hands: Hands, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        await hands.service.start(LOCAL, Start(type="job", callback=url), origin="native")
    (fault,) = refused.value.faults
    assert fault.pointer == "/callback"
    assert fault.detail.startswith("An http or https URL")


async def test_a_secret_is_made_once_and_the_same_for_all(hands: Hands) -> None:
    callbacks = hands.service.callbacks
    secret = await callbacks.secret("acme")
    assert re.fullmatch("whsec_[A-Za-z0-9+/]{43}=", secret)
    assert await callbacks.secret("acme") == secret != await callbacks.secret("beta")


async def test_another_one_takes_its_place_and_both_count_for_a_day(hands: Hands) -> None:
    callbacks, store = hands.service.callbacks, hands.service.store.callbacks
    old = await callbacks.secret("acme")
    new = await callbacks.rotate_secret("acme")
    assert await callbacks.secret("acme") == new != old
    (held,) = await store.secrets(["acme"])
    assert held is not None
    assert (held.previous_until or 0) - held.created_at == BOTH_COUNT == DAY
    assert re.fullmatch("whsec_.*", await callbacks.rotate_secret("never seen"))


@pytest.mark.parametrize("tenant", ["", "x" * 201, "a\0b"])
async def test_what_names_no_tenant_has_none(hands: Hands, tenant: str) -> None:
    for ask in (hands.service.callbacks.secret, hands.service.callbacks.rotate_secret):
        with pytest.raises(Invalid):
            await ask(tenant)
