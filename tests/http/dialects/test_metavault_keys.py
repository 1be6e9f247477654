"""Do keys let Metavault's clients in, each to its own projects, and say by what names people go?"""

from collections.abc import AsyncIterator

import httpx2
import pytest

from milepost.http.dialects.metavault import Metavault
from milepost.service import Service
from tests.http.conftest import http_app, in_memory

UNKNOWN = "00000000000070008000000000000000"


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of this dialect."""
    async with in_memory(http_app(service, Metavault(calls={"POST /api/everything/export": "export"}))) as client:
        yield client


async def key(service: Service, name: str, *grants: str, display_name: str | None = None) -> str:
    """A new key."""
    _, secret = await service.keys.add(name, grants, display_name=display_name)
    return secret


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "mvpat-{}", "Bearer mvpat-{}"])
async def test_a_key_is_taken_in_every_form(client: httpx2.AsyncClient, service: Service, form: str) -> None:
    secret = await key(service, "bob", "vault:user", display_name="Bob Marley")
    shown = {"authorization": form.format(secret)}
    begun = await client.post("/api/projects/vault/export", headers=shown)
    read = (await client.get(begun.headers["location"], headers=shown)).json()
    assert read["userName"] == "Bob Marley"


async def test_the_name_that_people_read_is_the_owner_s_whoever_asks(
    client: httpx2.AsyncClient, service: Service
) -> None:
    bob = {"authorization": await key(service, "bob", "vault:user", display_name="Bob Marley")}
    mia = {"authorization": await key(service, "mia", "vault:member")}
    location = (await client.post("/api/projects/vault/export", headers=bob)).headers["location"]
    assert (await client.get(location, headers=mia)).json()["userName"] == "Bob Marley"
    location = (await client.post("/api/projects/vault/export", headers=mia)).headers["location"]
    assert (await client.get(location, headers=mia)).json()["userName"] == "mia"
    assert (await client.get(location, headers=bob)).status_code == 404


async def test_a_service_is_in_every_project_and_in_one_at_a_time(client: httpx2.AsyncClient, service: Service) -> None:
    ops = {"authorization": await key(service, "ops", "*:service")}
    location = (await client.post("/api/projects/vault/export", headers=ops)).headers["location"]
    assert (await client.get(location, headers=ops)).status_code == 200
    elsewhere = location.replace("vault/tasks", "other/tasks")
    assert (await client.get(elsewhere, headers=ops)).status_code == 404
    home = await client.post("/api/everything/export", headers=ops)
    assert home.headers["location"].startswith("/api/projects/default/tasks/")


async def test_a_call_without_a_project_is_in_the_caller_s_own(client: httpx2.AsyncClient, service: Service) -> None:
    ann = {"authorization": await key(service, "ann", "vault:user")}
    begun = await client.post("/api/everything/export", headers=ann)
    assert begun.headers["location"].startswith("/api/projects/vault/tasks/")
    both = {"authorization": await key(service, "bea", "vault:user", "other:user")}
    refused = await client.post("/api/everything/export", headers=both)
    assert refused.status_code == 403
    assert "other, vault" in refused.json()["detail"]


async def test_without_a_key_there_is_the_root_alone(client: httpx2.AsyncClient, service: Service) -> None:
    ann = await key(service, "ann", "vault:user")
    begun = await client.post("/api/projects/vault/export", headers={"authorization": ann})
    seen = await client.get(begun.headers["location"])
    unknown = await client.get(f"/api/projects/none/tasks/{UNKNOWN}", headers={"authorization": "mvpat-wrong"})
    assert (seen.status_code, seen.headers, seen.content) == (401, unknown.headers, unknown.content)
    for headers in ({}, {"authorization": "wrong"}, {"authorization": ann}):
        root = await client.get("/api", headers=headers)
        assert (root.status_code, root.json()["disableAuthentication"]) == (200, False)


async def test_who_goes_by_another_name_is_read_anew(client: httpx2.AsyncClient, service: Service) -> None:
    bob = {"authorization": await key(service, "bob", "vault:user", display_name="Bob")}
    location = (await client.post("/api/projects/vault/export", headers=bob)).headers["location"]
    before = await client.get(location, headers=bob)
    seen = {"if-none-match": before.headers["etag"]}
    assert (await client.get(location, headers=bob | seen)).status_code == 304
    bob = {"authorization": await key(service, "bob", "vault:user", display_name="Bob Marley")}
    again = await client.get(location, headers=bob | seen)
    assert (again.status_code, again.json()["userName"]) == (200, "Bob Marley")
