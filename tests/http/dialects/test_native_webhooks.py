"""Webhook secrets of a tenant, managed by its admins."""

import re

import httpx2
import pytest

from milepost.service import Service
from tests.http.conftest import Clock

from .test_native_keys import shows

SECRET = re.compile("whsec_[A-Za-z0-9+/]{43}=")


@pytest.fixture
async def admin(service: Service) -> dict[str, str]:
    """Who shows the key of an admin."""
    return shows((await service.keys.add("root", ["acme:admin"]))[1])


async def test_a_secret_is_made_and_shown_once(
    client: httpx2.AsyncClient, service: Service, admin: dict[str, str], clock: Clock
) -> None:
    clock.stand_at("2026-04-17T14:30:02Z")
    answer = await client.post("/v1/webhook-secrets", json={"tenant": "acme"}, headers=admin)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    secret = made.pop("secret")
    assert SECRET.fullmatch(secret)
    assert secret == await service.callbacks.secret("acme")
    assert made == {"tenant": "acme", "created_at": "2026-04-17T14:30:02.000000Z", "previous_until": None}
    listed = await client.get("/v1/webhook-secrets", headers=admin)
    assert listed.json() == {"secrets": [made]}
    again = (await client.post("/v1/webhook-secrets", json={"tenant": "acme"}, headers=admin)).json()
    assert again["previous_until"] == "2026-04-18T14:30:02.000000Z"
    assert again["secret"] == await service.callbacks.secret("acme") != secret


async def test_a_secret_is_removed(client: httpx2.AsyncClient, service: Service, admin: dict[str, str]) -> None:
    before = await service.callbacks.secret("acme")
    removed = await client.delete("/v1/webhook-secrets/acme", headers=admin)
    assert (removed.status_code, removed.headers["cache-control"]) == (200, "no-store")
    assert removed.json().keys() == {"tenant", "created_at", "previous_until"}
    assert (await client.delete("/v1/webhook-secrets/acme", headers=admin)).status_code == 404
    assert await service.callbacks.secret("acme") != before


async def test_others_do_not_exist_for_an_admin(
    client: httpx2.AsyncClient, service: Service, admin: dict[str, str]
) -> None:
    secret = await service.callbacks.secret("beta")
    hidden = await client.delete("/v1/webhook-secrets/beta", headers=admin)
    absent = await client.delete("/v1/webhook-secrets/gamma", headers=admin)
    assert (hidden.status_code, hidden.content, hidden.headers) == (404, absent.content, absent.headers)
    assert (await client.get("/v1/webhook-secrets", headers=admin)).json() == {"secrets": []}
    for tenant in ("beta", "gamma"):
        answer = await client.post("/v1/webhook-secrets", json={"tenant": tenant}, headers=admin)
        assert answer.status_code == 403
    assert await service.callbacks.secret("beta") == secret


@pytest.mark.parametrize("body", [{}, {"tenant": ""}, {"tenant": 1}, {"tenant": "acme", "secret": "whsec_x"}])
async def test_what_is_wrong_is_named(client: httpx2.AsyncClient, admin: dict[str, str], body: dict[str, str]) -> None:
    assert (await client.post("/v1/webhook-secrets", json=body, headers=admin)).status_code == 422


async def test_nobody_manages_secrets_who_shows_no_key(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/webhook-secrets", json={"tenant": "acme"})
    assert (answer.status_code, "milepost webhook secret" in answer.json()["detail"]) == (403, True)
