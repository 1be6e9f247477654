import base64
import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, RSAKey

from milepost.access.issuer_keys import PAUSE, REFRESH
from milepost.access.oidc import LARGEST, LEEWAY, OpenIdConnect
from milepost.access.principal import Grant, Principal, Role
from milepost.times import SECOND

from .issuer import AUDIENCE, EC, ED, NOW, RSA, Issuer, issuing

ADA = Principal("ada", "ada", (Grant("acme", Role.USER),))
STRANGER: RSAKey = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
"""Somebody else's key, under the same id."""


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing(RSA, EC, ED) as issuer:
        yield issuer


def verifier(issuer: Issuer, **settings: Any) -> OpenIdConnect:
    return OpenIdConnect(issuer.url, AUDIENCE, **{"clock": lambda: NOW * SECOND, **settings})


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.kid)
async def test_a_token_names_its_principal(key: Key, issuer: Issuer) -> None:
    assert await verifier(issuer).principal(issuer.token(key)) == ADA


async def test_what_people_read_is_the_name_that_the_issuer_gives(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    for claims, display in (
        ({"name": "Ada Lovelace", "preferred_username": "al"}, "Ada Lovelace"),
        ({"preferred_username": "al"}, "al"),
        ({"name": 1, "preferred_username": "a\0"}, "ada"),
        ({"name": ""}, "ada"),
    ):
        found = await tokens.principal(issuer.token(**claims))
        assert found is not None
        assert (found.name, found.display_name) == ("ada", display)
    tokens = verifier(issuer, display_claims=("nick", "profile.full"))
    found = await tokens.principal(issuer.token(name="Ada", profile={"full": "Ada Lovelace"}))
    assert found is not None
    assert found.display_name == "Ada Lovelace"


@pytest.mark.parametrize(
    ("said", "grants"),
    [
        (["acme:user", "beta:x:admin", "acme:user"], (("acme", "user"), ("beta:x", "admin"))),
        ("acme:member  *:service", (("acme", "member"), ("*", "service"))),
        (["*:service"], (("*", "service"),)),
        (["*:admin", "acme:service", "acme:owner", "offline_access", ":user", 7, None, "a\0:user"], ()),
        ([], ()),
        (None, ()),
        (7, ()),
        ({"acme": "user"}, ()),
    ],
)
async def test_grants_are_those_that_the_claim_has(said: Any, grants: Any, issuer: Issuer) -> None:
    found = await verifier(issuer).principal(issuer.token(grants=said))
    assert found is not None
    assert [(grant.tenant, grant.role) for grant in found.grants] == list(grants)


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("roles", {"roles": ["acme:admin"]}),
        ("realm_access.roles", {"realm_access": {"roles": ["acme:admin"]}}),
        ("https://milepost.example/grants", {"https://milepost.example/grants": "acme:admin"}),
        ("a.b.c", {"a": {"b.c": "acme:admin"}}),
    ],
)
async def test_claims_have_the_names_that_they_were_given(claim: str, claims: dict[str, Any], issuer: Issuer) -> None:
    tokens = verifier(issuer, name_claim="email", grants_claim=claim)
    found = await tokens.principal(issuer.token(email="ada@example.com", **claims))
    assert found == Principal("ada@example.com", "ada@example.com", (Grant("acme", Role.ADMIN),))
    missing = await tokens.principal(issuer.token(email="ada@example.com", a="text"))
    assert missing is not None
    assert missing.grants == ()


@pytest.mark.parametrize("name", [None, "", "local", 7, "a\nb", "x" * 201, ["ada"]])
async def test_a_token_without_a_name_is_nobody_s(name: Any, issuer: Issuer) -> None:
    tokens = verifier(issuer, name_claim="who")
    assert await tokens.principal(issuer.token(who=name)) is None
    assert await tokens.principal(issuer.token(who="ada")) == ADA


@pytest.mark.parametrize(
    ("claims", "is_good"),
    [
        ({"exp": NOW - LEEWAY + 1}, True),
        ({"exp": NOW - LEEWAY}, False),
        ({"exp": None}, False),
        ({"exp": "tomorrow"}, False),
        ({"exp": True}, False),
        ({"nbf": NOW + LEEWAY}, True),
        ({"nbf": NOW + LEEWAY + 1}, False),
        ({"iat": NOW + LEEWAY + 1}, False),
        ({"aud": ["other", AUDIENCE]}, True),
        ({"aud": "other"}, False),
        ({"aud": ["other"]}, False),
        ({"aud": []}, False),
        ({"aud": None}, False),
        ({"aud": f"{AUDIENCE}x"}, False),
        ({"iss": "https://other.example"}, False),
        ({"iss": None}, False),
    ],
)
async def test_claims_are_held_against_issuer_audience_and_time(
    claims: dict[str, Any], is_good: bool, issuer: Issuer
) -> None:
    assert await verifier(issuer).principal(issuer.token(**claims)) == (ADA if is_good else None)


@pytest.mark.parametrize(
    ("typ", "is_good"),
    [(None, True), ("JWT", True), ("at+jwt", True), ("application/at+JWT", True), ("logout+jwt", False), (7, False)],
)
async def test_tokens_of_another_kind_are_none(typ: Any, is_good: bool, issuer: Issuer) -> None:
    token = issuer.token(header={"typ": typ} if typ != 7 else None)
    if typ == 7:
        token = with_header(token, typ=7)
    assert await verifier(issuer).principal(token) == (ADA if is_good else None)


def with_header(token: str, **header: Any) -> str:
    """A token with another header before the same signature."""
    head, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(head + "==")) | header
    return f"{encoded(json.dumps(said).encode())}.{payload}.{signature}"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


async def test_who_has_not_the_issuer_s_key_makes_no_token(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    good = issuer.token()
    head, payload, signature = good.split(".")
    more = encoded(json.dumps({"iss": issuer.url, "aud": AUDIENCE, "sub": "root", "exp": NOW + 300}).encode())
    for forged in (
        issuer.token(STRANGER),
        issuer.token(ECKey.generate_key("P-256", {"kid": "ec"}, private=True)),
        issuer.token(EC, {"kid": "rsa"}),
        issuer.token(RSA, {"kid": "ec"}),
        issuer.token(RSA, {"kid": None}),
        issuer.token(RSA, {"kid": "unknown"}),
        f"{head}.{more}.{signature}",
        f"{head}.{payload}.{signature[:-4]}AAAA",
        with_header(good, alg="none"),
        f"{encoded(json.dumps({'alg': 'none', 'kid': 'rsa'}).encode())}.{payload}.AA",
        with_header(good, alg="HS256"),
        with_header(good, alg="RS512"),
        with_header(good, kid=["rsa"]),
        with_header(good, crit=["x"], x=1),
        with_header(good, jwk=STRANGER.as_dict(private=False)),
        hs256(RSA.as_pem(private=False), payload),
    ):
        assert await tokens.principal(forged) is None, forged
    assert await tokens.principal(good) == ADA


def hs256(key: bytes, payload: str) -> str:
    """A token signed with the public key for a secret."""
    head = encoded(b'{"alg":"HS256","kid":"rsa"}')
    return f"{head}.{payload}.{encoded(hmac.digest(key, f'{head}.{payload}'.encode(), sha256))}"


async def test_an_algorithm_can_be_ruled_out(issuer: Issuer) -> None:
    tokens = verifier(issuer, algorithms=["ES256"])
    assert await tokens.principal(issuer.token(EC)) == ADA
    assert await tokens.principal(issuer.token(RSA)) is None


@pytest.mark.parametrize("algorithm", ["HS256", "none", "EdDSA", ""])
def test_no_algorithm_is_taken_whose_key_would_have_to_be_secret(algorithm: str) -> None:
    with pytest.raises(ValueError, match="algorithms: some of RS256"):
        OpenIdConnect("https://login.example", AUDIENCE, algorithms=["RS256", algorithm])


def test_an_audience_is_something() -> None:
    with pytest.raises(ValueError, match="audience"):
        OpenIdConnect("https://login.example", "")


async def test_a_new_key_is_known_at_its_first_token(issuer: Issuer) -> None:
    passed = 0
    tokens = verifier(issuer, timer=lambda: passed)
    assert await tokens.principal(issuer.token()) == ADA
    new: RSAKey = RSAKey.generate_key(2048, {"kid": "new"}, private=True)
    issuer.publish(RSA, new)
    passed += PAUSE
    assert await tokens.principal(issuer.token(new)) == ADA
    assert len(issuer.asked) == 4


async def test_a_token_that_is_kept_in_mind_ends_with_its_time_and_with_its_key(issuer: Issuer) -> None:
    now = NOW
    passed = 0
    tokens = verifier(issuer, clock=lambda: now * SECOND, timer=lambda: passed)
    short, long = issuer.token(exp=NOW + 10), issuer.token()
    for token in (short, long, short, long):
        assert await tokens.principal(token) == ADA
    now = NOW + 10 + LEEWAY - 1
    assert await tokens.principal(short) == ADA
    now += 1
    assert await tokens.principal(short) is None
    assert await tokens.principal(long) == ADA
    issuer.publish(EC)
    passed = REFRESH
    assert await tokens.principal(long) is None
    assert await tokens.principal(issuer.token(EC)) == ADA
    assert len(tokens._known) == 1


async def test_no_more_tokens_are_kept_in_mind_than_some(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.access.oidc.MAX_KNOWN", 3)
    tokens = verifier(issuer)
    for number in range(7):
        assert await tokens.principal(issuer.token(EC, jti=str(number))) == ADA
        assert len(tokens._known) <= 3


async def test_what_no_token_can_be_bothers_nobody(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    for shown in (
        *("", "a", "a.b", "a.b.c.d", "..", "a..c", "ä.b.c", f"mp_{'0' * 16}_{'0' * 64}", "a.b.c\n", "a.b.c"),
        f"{encoded(b'{')}.AA.AA",
        f"{encoded(b'[]')}.AA.AA",
        f"{encoded(b'{}')}.AA.AA",
        f"{encoded(b'[' * 6000)}.AA.AA",
        "a" * LARGEST + ".b.c",
        issuer.token(header={"alg": "RS256"}, padding="x" * LARGEST),
    ):
        assert await tokens.principal(shown) is None, shown
    assert issuer.asked == []


@given(st.text(st.characters(codec="ascii")) | st.from_regex(r"[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,40}"))
async def test_nothing_that_somebody_shows_is_a_crash(shown: str) -> None:
    assert await OpenIdConnect("https://login.example", AUDIENCE).principal(shown) is None
