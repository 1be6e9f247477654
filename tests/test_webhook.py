"""How a callback is signed, and which URLs can be called."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from milepost import times, webhook
from milepost.times import SECOND


def now() -> int:
    return times.now() // SECOND


@given(body=st.text().map(str.encode), secret=st.binary(min_size=1, max_size=64))
def test_what_is_signed_the_verifier_of_standard_webhooks_accepts(body: bytes, secret: bytes) -> None:
    headers = webhook.headers("id_1", now(), body, [secret])
    Webhook(webhook.shown(secret)).verify(body, headers, json_parse=False)


def test_its_own_example_is_signed_as_it_says() -> None:
    secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    told = webhook.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [_raw(secret)])
    assert told["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert webhook.shown(_raw(secret)) == f"whsec_{secret}"


def _raw(secret: str) -> bytes:
    return base64.b64decode(secret)


def test_each_secret_that_counts_gives_a_signature() -> None:
    one, two, three = (webhook.new_secret() for _ in range(3))
    headers = webhook.headers("id_1", now(), b"{}", [one, two])
    for secret in (one, two):
        Webhook(webhook.shown(secret)).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.shown(three)).verify(b"{}", headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_nothing_of_it_can_be_changed(name: str) -> None:
    secret = webhook.new_secret()
    headers = webhook.headers("id_1", now(), b"{}", [secret])
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.shown(secret)).verify(
            b"{}", headers | {name: headers[name][:-1] + ("1" if headers[name][-1] == "0" else "0")}
        )
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.shown(secret)).verify(b"{ }", headers)


def test_secrets_are_random_and_long_enough() -> None:
    secrets = {webhook.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {32}  # Standard Webhooks: between 24 and 64 bytes


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/ends",
        "http://127.0.0.1:8000",
        "https://[::1]:8443/x?token=a%20b&c=d",
        "https://localhost./",
        "HTTPS://hooks.example.com/ends",
        "Http://127.0.0.1:8000",
        "https://xn--bcher-kva.example/",
        "https://a/" + "x" * (webhook.MAX_URL - 10),
    ],
)
def test_what_can_be_called_is_a_url(url: str) -> None:
    assert webhook.is_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example.com", "ftp://a/", "HTTPS:/a", "https://", "https:///x", "https://:80/", "//a/b"),
        *("https://bob:secret@a/", "https://bob@a/", "https://a/#x", "https://a/ b", "https://a/\r\nX: y"),
        *("https://a:99999/", "https://a:0/", "https://a:x/", "https://[::1/", "https://bücher.example/"),
        *("https://a..b/", "https://" + "a" * 64 + "/", "https://a/" + "x" * (webhook.MAX_URL - 9), "https://a/{b}"),
        *("https://a\\@b/", "https://a/\x00"),
    ],
)
def test_what_can_not_is_none(url: str) -> None:
    assert not webhook.is_url(url)
