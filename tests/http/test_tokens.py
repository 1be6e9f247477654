"""Tokens of an OpenID Connect issuer, beside keys: in every dialect."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from milepost.access.oidc import OpenIdConnect
from milepost.http.admission import Admission
from milepost.http.dialects.known import dialects
from milepost.service import Filter, Service
from milepost.times import SECOND
from tests.access.issuer import AUDIENCE, NOW, RSA, Issuer, issuing

from .conftest import Tasks, http_app
from .dialects.addresses import TENANT, paths


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing(RSA) as issuer:
        yield issuer


@pytest.fixture
def app(service: Service, issuer: Issuer) -> Any:
    tokens = OpenIdConnect(issuer.url, AUDIENCE, clock=lambda: NOW * SECOND)
    return http_app(service, *dialects(), authenticator=Admission(lambda: service, tokens=tokens))


def shows(secret: str) -> dict[str, str]:
    """The headers that show a key or a token."""
    return {"authorization": f"Bearer {secret}"}


async def test_a_token_lets_in_as_a_key_does_in_every_dialect(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks, issuer: Issuer
) -> None:
    task = await tasks.start(tenant=TENANT, owner="ada")
    _, key = await service.keys.add("ada", [f"{TENANT}:user"])
    mine, anothers = issuer.token(grants=[f"{TENANT}:user"]), issuer.token(sub="bob", grants=[f"{TENANT}:user"])
    for name, path in (await paths(service, task)).items():
        by_key, by_token = await client.get(path, headers=shows(key)), await client.get(path, headers=shows(mine))
        assert (by_token.status_code, by_token.json()) == (200, by_key.json()), name
        assert (await client.get(path, headers=shows(anothers))).status_code == 404, name
        assert (await client.get(path, headers=shows(issuer.token(exp=NOW - 900)))).status_code == 401, name


async def test_it_is_the_same_refusal_as_that_of_a_wrong_key(client: httpx2.AsyncClient, issuer: Issuer) -> None:
    nothing = await client.get("/v1/tasks")
    assert (nothing.status_code, nothing.json()["detail"]) == (401, "This needs a key that is valid here.")
    for shown in (issuer.token(aud="other"), issuer.token(header={"kid": "x"}), "a.b.c", f"mp_{'0' * 16}_{'0' * 64}"):
        answer = await client.get("/v1/tasks", headers=shows(shown))
        assert (answer.status_code, answer.headers, answer.content) == (401, nothing.headers, nothing.content)


async def test_nobody_is_let_in_without_though_no_key_was_ever_made(client: httpx2.AsyncClient, app: Any) -> None:
    assert not await app.is_open()
    assert (await client.get("/v1/tasks")).status_code == 401
    assert (await client.get("/readyz")).json()["open_mode"] is False


async def test_what_is_started_is_the_holder_s_and_works_with_its_roles(
    client: httpx2.AsyncClient, service: Service, issuer: Issuer
) -> None:
    token = issuer.token(grants="acme:member acme:admin")
    started = await client.post("/v1/tasks", json={"type": "export"}, headers=shows(token))
    assert (started.json()["owner"], started.json()["tenant"]) == ("ada", "acme")
    (task,) = (await service.find((await named(issuer, token)), Filter())).tasks
    assert task.roles == ("member", "admin")
    made = await client.post("/v1/keys", json={"name": "ci", "grants": ["acme:user"]}, headers=shows(token))
    assert made.status_code == 201, "an admin is one however it is known"


async def test_an_issuer_that_can_not_be_asked_is_no_reason_to_let_in_or_to_give_up(
    client: httpx2.AsyncClient, service: Service, issuer: Issuer
) -> None:
    issuer.broken = PlainTextResponse("", 503)
    answer = await client.get("/v1/tasks", headers=shows(issuer.token()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert (await client.get("/healthz", headers=shows(issuer.token()))).status_code == 200
    _, key = await service.keys.add("ada", ["acme:user"])
    assert (await client.get("/v1/tasks", headers=shows(key))).status_code == 200


async def test_the_name_that_people_read_is_the_one_that_the_issuer_gives(
    client: httpx2.AsyncClient, tasks: Tasks, issuer: Issuer
) -> None:
    task = await tasks.start(tenant=TENANT, owner="ada")
    path = f"/api/projects/{TENANT}/tasks/{task.id}"
    boss = shows(issuer.token(sub="boss", grants=[f"{TENANT}:member"]))
    assert (await client.get(path, headers=boss)).json()["userName"] == "ada"
    await client.get("/v1/tasks", headers=shows(issuer.token(name="Ada Lovelace")))
    assert (await client.get(path, headers=boss)).json()["userName"] == "Ada Lovelace"


async def named(issuer: Issuer, token: str) -> Any:
    """Who shows a token."""
    return await OpenIdConnect(issuer.url, AUDIENCE, clock=lambda: NOW * SECOND).principal(token)
