import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
from joserfc import jwt

from milepost.cli.exits import CommandError, Exit
from milepost.cli.oidc import GRANTS_CLAIM, NAME_CLAIM, tokens
from tests.access.issuer import AUDIENCE, RSA
from tests.cli.foreign import Canned, Foreign, serving
from tests.cli.processes import Server

URL = "https://login.example"


@pytest.fixture
def issuer() -> Iterator[Foreign]:
    """A server that tells of its keys, and then what they are."""
    with serving(Canned(200)) as issuer:
        about = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
        documents = (about, {"keys": [RSA.as_dict(private=False)]})
        issuer.answers = [Canned(200, msgspec.json.encode(document), "application/json") for document in documents]
        yield issuer


def test_a_server_takes_the_tokens_of_an_issuer(issuer: Foreign, tmp_path: Path) -> None:
    claims = ("--oidc-name-claim", "email", "--oidc-grants-claim", "realm.roles")
    server = Server(tmp_path, "--no-worker", "--oidc-issuer", issuer.url, "--oidc-audience", AUDIENCE, *claims)
    try:
        said = {"iss": issuer.url, "aud": AUDIENCE, "exp": int(time.time()) + 300, "email": "ada@example.com"}
        token = jwt.encode({"alg": "RS256", "kid": "rsa"}, {**said, "realm": {"roles": ["acme:user"]}}, RSA)
        assert httpx2.get(f"{server.url}/v1/tasks").status_code == 401
        shown = {"authorization": f"Bearer {token}"}
        started = httpx2.post(f"{server.url}/v1/tasks", json={"type": "echo"}, headers=shown)
        assert (started.json()["owner"], started.json()["tenant"]) == ("ada@example.com", "acme")
        assert httpx2.get(f"{server.url}/v1/tasks", headers=shown).status_code == 200
    finally:
        assert server.stop() == 0
    assert [path for _, path, _ in issuer.requests] == ["/.well-known/openid-configuration", "/keys"]
    assert token not in server.log.read_text()


def chosen(issuer: str | None, audience: str | None, *, no_auth: bool = False) -> object:
    return tokens(issuer, audience, NAME_CLAIM, GRANTS_CLAIM, no_auth=no_auth)


def test_without_an_issuer_there_are_keys_alone() -> None:
    assert chosen(None, None) is None
    assert chosen(None, None, no_auth=True) is None
    assert chosen(URL, AUDIENCE) is not None


@pytest.mark.parametrize(
    ("issuer", "audience", "no_auth", "why"),
    [
        (URL, None, False, "--oidc-issuer, --oidc-audience: one needs the other"),
        (None, AUDIENCE, False, "--oidc-issuer, --oidc-audience: one needs the other"),
        (URL, "", False, "--oidc-issuer, --oidc-audience: one needs the other"),
        (URL, AUDIENCE, True, "--no-auth: with --oidc-issuer everybody is to show"),
        ("http://login.example", AUDIENCE, False, "--oidc-issuer: 'http://login.example' is no https URL"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    issuer: str | None, audience: str | None, no_auth: bool, why: str
) -> None:
    with pytest.raises(CommandError, match=why) as caught:
        chosen(issuer, audience, no_auth=no_auth)
    assert caught.value.code is Exit.USAGE


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "milepost.access.oidc", raising=False)
    monkeypatch.delitem(sys.modules, "milepost.access.issuer_keys", raising=False)
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(CommandError, match=r"joserfc is not installed; `pip install 'milepost\[oidc\]'` does that"):
        chosen(URL, AUDIENCE)
