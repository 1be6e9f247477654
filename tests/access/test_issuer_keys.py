import asyncio
import gzip
import logging
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from joserfc.jwk import Key, OctKey
from starlette.responses import JSONResponse, PlainTextResponse, Response

from milepost.access.issuer_keys import FORGET, LARGEST, PAUSE, REFRESH, IssuerKeys, fetch
from milepost.errors import Unavailable
from milepost.times import elapsed

from .issuer import EC, ED, RSA, Issuer, elsewhere, issuing

ONCE = ["/.well-known/openid-configuration", "/keys"]


class Time:
    """A timer that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = 0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing(RSA, EC) as issuer:
        yield issuer


@pytest.fixture
def keys(issuer: Issuer, time: Time, monkeypatch: pytest.MonkeyPatch) -> IssuerKeys:
    monkeypatch.setattr("milepost.access.issuer_keys.MOMENT", 60)  # this issuer may be slow, but answers
    return IssuerKeys(issuer.url, timer=lambda: time.now)


async def named(keys: IssuerKeys, kid: str | None) -> str | None:
    """The id of the key that is found."""
    key = await keys.key(kid)
    return None if key is None else key.kid


async def test_keys_are_asked_for_once_and_found_by_their_ids(keys: IssuerKeys, issuer: Issuer) -> None:
    assert issuer.asked == [], "not before anybody shows a token"
    assert [await named(keys, kid) for kid in ("rsa", "ec", "rsa")] == ["rsa", "ec", "rsa"]
    assert issuer.asked == ONCE


async def test_many_at_once_ask_once(keys: IssuerKeys, issuer: Issuer) -> None:
    found = await asyncio.gather(*(named(keys, "rsa") for _ in range(20)))
    assert set(found) == {"rsa"}
    assert issuer.asked == ONCE


async def test_a_token_without_an_id_is_of_the_only_key_if_there_is_but_one(keys: IssuerKeys, issuer: Issuer) -> None:
    assert await named(keys, None) is None
    issuer.publish(EC)
    assert await named(IssuerKeys(issuer.url), None) == "ec"


async def test_an_unknown_id_is_asked_for_again_but_not_more_often_than_now_and_then(
    keys: IssuerKeys, issuer: Issuer, time: Time
) -> None:
    assert await named(keys, "ed") is None
    issuer.publish(EC, ED)
    for kid in ("ed", "whatever", "ed"):
        assert await named(keys, kid) is None
    assert issuer.asked == ONCE
    time.now += PAUSE
    assert [await named(keys, kid) for kid in ("ed", "whatever")] == ["ed", None]
    assert issuer.asked == ONCE * 2
    assert await named(keys, "rsa") is None, "it was withdrawn"


async def test_keys_are_asked_for_again_after_a_while(keys: IssuerKeys, issuer: Issuer, time: Time) -> None:
    assert await named(keys, "rsa") == "rsa"
    issuer.publish(EC)
    time.now += REFRESH - 1
    assert await named(keys, "rsa") == "rsa"
    time.now += 1
    assert await named(keys, "rsa") is None
    assert issuer.asked == ONCE * 2


async def test_what_is_known_holds_while_the_issuer_can_not_be_asked_for_a_day_at_most(
    keys: IssuerKeys, issuer: Issuer, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    assert await named(keys, "rsa") == "rsa"
    issuer.broken = PlainTextResponse("", 500)
    for time.now in (REFRESH, REFRESH + PAUSE - 1, FORGET - 1):
        assert await named(keys, "rsa") == "rsa"
    assert issuer.asked == [*ONCE, *ONCE[:1] * 2], "which it is now and then"
    time.now = FORGET
    with pytest.raises(Unavailable, match="issuer of tokens can't be asked"):
        await keys.key("rsa")
    issuer.broken = None
    time.now += PAUSE
    assert await named(keys, "rsa") == "rsa"
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert f"The keys of {issuer.url} could not be read: ValueError: {issuer.url}{ONCE[0]} was answered with" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (PlainTextResponse("no JSON"), "DecodeError"),
        (JSONResponse([]), "ValidationError"),
        (JSONResponse({}, 404), "status 404"),
        (PlainTextResponse("x" * (LARGEST + 1)), "more than 1048576 bytes"),
        (elsewhere(), "status 307"),
    ],
)
async def test_an_answer_that_is_none_is_told_and_nobody_is_let_in(
    broken: Response, why: str, keys: IssuerKeys, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.broken = broken
    for _ in range(3):
        with pytest.raises(Unavailable):
            await keys.key("rsa")
    assert why in caplog.text
    assert issuer.asked == ONCE[:1]


@pytest.mark.parametrize(
    ("about", "published", "why"),
    [
        ({"issuer": "https://other.example"}, None, "is about 'https://other.example'"),
        ({"jwks_uri": "http://keys.example/"}, None, "its jwks_uri, 'http://keys.example/', is no https URL"),
        ({"jwks_uri": None}, None, "its jwks_uri, None, is no https URL"),
        ({}, {"keys": {}}, "its JWKS has no keys"),
    ],
)
async def test_documents_that_can_not_be_trusted_are_not(
    about: Any, published: Any, why: str, keys: IssuerKeys, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.about, issuer.keys = about, published or issuer.keys
    with pytest.raises(Unavailable):
        await keys.key("rsa")
    assert why in caplog.text


async def test_an_issuer_that_is_not_there_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with issuing() as issuer:
        url = issuer.url
    with pytest.raises(Unavailable):
        await IssuerKeys(url).key("rsa")
    assert "ConnectError" in caplog.text


async def test_an_issuer_that_does_not_answer_is_waited_for_no_longer_than_it_may_take(
    keys: IssuerKeys, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost.access.issuer_keys.PATIENCE", 0.05)
    issuer.answers.clear()
    with pytest.raises(Unavailable):
        await keys.key("rsa")
    issuer.answers.set()


async def test_an_issuer_that_hangs_keeps_nobody_whose_key_is_known(
    keys: IssuerKeys, issuer: Issuer, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await named(keys, "rsa") == "rsa"
    monkeypatch.setattr("milepost.access.issuer_keys.MOMENT", 0.01)
    issuer.answers.clear()
    issuer.publish(EC)
    time.now = REFRESH
    assert [await named(keys, "rsa") for _ in range(3)] == ["rsa"] * 3
    asking = keys._asking
    assert asking is not None, "it is still being asked"
    issuer.answers.set()
    await asking
    assert await named(keys, "rsa") is None, "it was withdrawn"
    assert issuer.asked == ONCE * 2


async def test_an_issuer_that_goes_on_answering_is_not_listened_to_for_ever(issuer: Issuer) -> None:
    with pytest.raises(TimeoutError, match=r"took longer than 5\.0 seconds"):
        await asyncio.to_thread(fetch, issuer.url, elapsed() - 1)


async def test_p6_it_is_asked_however_many_of_the_event_loop_s_threads_hang(issuer: Issuer) -> None:
    """As they did when callers could have names looked up there."""
    loop, go = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    hanging = loop.run_in_executor(None, go.wait)
    issuer.url = issuer.url.replace("127.0.0.1", "localhost")
    try:
        assert await named(IssuerKeys(issuer.url), "rsa") == "rsa"
    finally:
        go.set()
        await hanging


async def test_one_that_hangs_is_not_asked_a_second_time_before_it_answers(
    time: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("milepost.access.issuer_keys.PATIENCE", 0.05)
    go, asked = threading.Event(), []

    def hang(issuer: str, until: int) -> dict[str | None, Key]:
        asked.append(issuer)
        go.wait()
        return {"rsa": RSA}

    keys = IssuerKeys("https://login.example", timer=lambda: time.now, fetch=hang)
    for time.now in (0, PAUSE):
        with pytest.raises(Unavailable):
            await keys.key("rsa")
        if keys._asking is not None:
            await keys._asking
    assert "it still hangs" in caplog.text
    assert len(asked) == 1
    go.set()
    await asyncio.wait_for(asyncio.wrap_future(keys._fetching), 20)
    monkeypatch.setattr("milepost.access.issuer_keys.PATIENCE", 20)
    time.now = 2 * PAUSE
    assert await named(keys, "rsa") == "rsa"


ODD: list[tuple[str, Any]] = [
    ("crv", "P-999"),
    ("crv", []),
    ("kty", ["EC"]),
    ("kty", {}),
    ("kid", ["odd"]),
    ("x", None),
]


async def test_keys_for_anything_else_are_passed_over(
    issuer: Issuer, keys: IssuerKeys, caplog: pytest.LogCaptureFixture
) -> None:
    secret = OctKey.import_key("s" * 32, {"kid": "secret"}).as_dict(private=True)
    broken = {"kty": "EC", "crv": "P-256", "x": "?", "y": "?", "kid": "broken"}
    odd = [{**EC.as_dict(private=False), "kid": "odd", name: value} for name, value in ODD]
    encrypting = {**EC.as_dict(private=False), "kid": "encrypting", "use": "enc"}
    signing = {**EC.as_dict(private=False), "kid": "signing", "use": "sig"}
    issuer.keys = {"keys": [secret, broken, *odd, encrypting, "text", signing, {"kid": "nothing"}]}
    found = [await named(keys, kid) for kid in ("secret", "broken", "odd", "encrypting", "nothing", "signing", None)]
    assert found == [None, None, None, None, None, "signing", "signing"]
    assert "A key of the issuer's can't be used" in caplog.text


@pytest.mark.parametrize(
    "url",
    ["", "login.example", "http://login.example", "http://10.0.0.1", "ftp://localhost", "https://", "https://[x/"],
)
def test_an_issuer_is_asked_in_secret(url: str) -> None:
    with pytest.raises(ValueError, match="is no https URL"):
        IssuerKeys(url)


@pytest.mark.parametrize("url", ["https://login.example/realm", "http://localhost:8080", "http://[::1]:1"])
def test_or_on_this_machine(url: str) -> None:
    IssuerKeys(url)


async def test_a_document_that_is_nested_without_end_is_none(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.broken = Response("[" * 100_000)
    with pytest.raises(Unavailable):
        await keys.key("rsa")


async def test_nothing_is_unpacked(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.broken = Response(gzip.compress(b" " * LARGEST), headers={"content-encoding": "gzip"})
    with pytest.raises(Unavailable):
        await keys.key("rsa")
