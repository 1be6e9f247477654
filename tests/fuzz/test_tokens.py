"""Tokens of an issuer, its keys and what it says of itself: is what is not good refused, and nothing worse?"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import Key

from milepost.access.issuer_keys import IssuerKeys, _is_secure, _signing
from milepost.access.oidc import OpenIdConnect, _claim, _grants
from milepost.errors import Unavailable
from milepost.times import SECOND
from tests.access.issuer import AUDIENCE, EC, NOW, RSA, Issuer
from tests.fuzz.dirt import dirty, fuzzed, mostly, spoilt_bytes, texts, values, written


def _part(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


heads = mostly(
    st.fixed_dictionaries(
        {
            "alg": mostly(st.sampled_from(["RS256", "ES256", "none", "HS256"])),
            "kid": mostly(st.sampled_from(["rsa", "ec"])),
        },
        optional={"typ": st.sampled_from(["JWT", "at+jwt"]) | values, "crit": values, "b64": values, "jwk": values},
    )
)  # fmt: skip
claims = mostly(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "grants", "name"]), values))


@contextmanager
def answering(pages: dict[str, bytes]) -> Iterator[None]:
    """Inside, whatever is asked of any issuer is answered by these pages."""

    class Answers(httpx2.Client):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx2.MockTransport(self._answer), **options)

        def _answer(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, stream=httpx2.ByteStream(pages.get(request.url.path, b"{}")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2, "Client", Answers)
        yield


PAGES = {
    "/.well-known/openid-configuration": b'{"issuer": "https://issuer", "jwks_uri": "https://issuer/keys"}',
    "/keys": json.dumps({"keys": [key.as_dict(private=False) for key in (RSA, EC)]}).encode(),
}


@fuzzed(60)
@given(
    dirty(st.builds(lambda head, body: f"{_part(head)}.{_part(body)}.AAAA", written(heads), written(claims)))
    | st.just(f"{_part(b'[' * 3000)}.e30.AAAA")
)
async def test_tokens_that_nobody_has_signed(token: str) -> None:
    with answering(PAGES):
        verifier = OpenIdConnect("https://issuer", AUDIENCE, clock=lambda: NOW * SECOND)
        assert await verifier.principal(token) is None


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    issuer = Issuer(RSA, EC)
    issuer.url = "https://issuer"
    return issuer


@fuzzed(30)
@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "grants", "name"]), values, max_size=2)
)
async def test_tokens_that_were_signed_whatever_they_say(issuer: Issuer, said: dict[str, Any]) -> None:
    try:
        token = issuer.token(EC, **said)
    except Exception:  # the library does not sign it
        return
    with answering(PAGES):
        verifier = OpenIdConnect("https://issuer", AUDIENCE, clock=lambda: NOW * SECOND)
        found = await verifier.principal(token)
    assert found is None or found.name.isprintable()


jwks = mostly(
    st.fixed_dictionaries(
        {"kty": mostly(st.sampled_from(["RSA", "EC", "OKP", "oct"]))},
        optional={
            **{name: values | st.just("AQAB") for name in ("n", "e", "x", "y", "use", "kid", "alg", "key_ops", "d")},
            "crv": st.sampled_from(["P-256", "Ed25519"]) | values,
        },
    )
    | st.sampled_from([RSA.as_dict(private=False), EC.as_dict(private=False)])
)


@fuzzed(80)
@given(jwks)
def test_keys_of_an_issuer(entry: Any) -> None:
    found = _signing(entry)
    assert found is None or isinstance(found, Key)


discovery = mostly(
    st.fixed_dictionaries(
        {
            "issuer": mostly(st.just("https://issuer")),
            "jwks_uri": mostly(st.sampled_from(["https://issuer/keys", "http://evil/", "https://[", "https://a:b/"])),
        }
    )
)


@fuzzed(40)
@given(
    written(discovery),
    spoilt_bytes(st.just(PAGES["/keys"]))
    | written(st.fixed_dictionaries({"keys": mostly(st.lists(jwks, max_size=3))})),
)
async def test_what_an_issuer_says_of_itself(about: bytes, keys: bytes) -> None:
    for pages in (PAGES | {"/.well-known/openid-configuration": about}, PAGES | {"/keys": keys}):
        with answering(pages):
            try:
                found = await IssuerKeys("https://issuer").key("rsa")
            except Unavailable:
                continue
            assert found is None or isinstance(found, Key)


@fuzzed(60)
@given(
    dirty(st.sampled_from(["https://issuer", "http://localhost:5/", "http://[::1]/", "http://10.0.0.1/", "https://"]))
)
def test_urls_of_issuers(url: str) -> None:
    assert _is_secure(url) in (True, False)
    assert not _is_secure("http://evil.example/" + url)


@fuzzed(60)
@given(values, texts)
def test_claims(said: Any, name: str) -> None:
    for claim in (name, f"{name}.b.c", ".".join("ab" * 600)):
        _claim({"a": said, name: said}, claim)
    assert all(grant.tenant for grant in _grants(said))
