"""Do keys let CloudCoin's clients in, each to its own?"""

from collections.abc import AsyncIterator

import httpx2
import pytest

from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.service import Service
from tests.http.conftest import Tasks, http_app, in_memory

UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of this dialect."""
    async with in_memory(http_app(service, CloudCoin())) as client:
        yield client


async def key(service: Service, name: str, *grants: str) -> dict[str, str]:
    """The header that shows a new key."""
    _, secret = await service.keys.add(name, grants)
    return {"authorization": secret}


async def test_a_command_is_its_key_s_own(client: httpx2.AsyncClient, service: Service) -> None:
    ann, bob = await key(service, "ann", "acme:user"), await key(service, "bob", "acme:user")
    begun = await client.post("/api/v1/export", headers=ann)
    task_id = begun.json()["payload"]["id"]
    task = await service.get(LOCAL, task_id)
    assert (task.owner, task.tenant) == ("ann", "acme")
    path = f"/api/v1/tasks/{task_id}"
    assert (await client.get(path, headers=ann)).json() == begun.json()
    bearer = {"authorization": f"Bearer {ann['authorization']}"}
    assert (await client.get(path, headers=bearer)).json() == begun.json()
    foreign = await client.get(path, headers=bob)
    unknown = await client.get(f"/api/v1/tasks/{UNKNOWN}", headers=bob)
    assert (foreign.status_code, foreign.headers) == (404, unknown.headers)
    assert foreign.text == unknown.text.replace(UNKNOWN, task_id)


async def test_p6_without_a_key_every_task_looks_alike(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    task = await tasks.start()
    ann = await key(service, "ann", "default:member")
    assert (await client.get(f"/api/v1/tasks/{task.id}", headers=ann)).status_code == 200
    seen = await client.get(f"/api/v1/tasks/{task.id}")
    unknown = await client.get(f"/api/v1/tasks/{UNKNOWN}", headers={"authorization": "Bearer wrong"})
    assert (seen.status_code, seen.headers) == (401, unknown.headers)
    assert seen.json()["payload"]["status"] == "error"
    assert seen.text == unknown.text.replace(UNKNOWN, task.id)


async def test_who_has_several_tenants_begins_commands_where_the_server_says(service: Service) -> None:
    both = await key(service, "ann", "acme:user", "beta:user")
    async with in_memory(http_app(service, CloudCoin())) as client:
        assert (await client.post("/api/v1/export", headers=both)).status_code == 403
    async with in_memory(http_app(service, CloudCoin(tenant="beta"))) as client:
        begun = await client.post("/api/v1/export", headers=both)
        assert (await service.get(LOCAL, begun.json()["payload"]["id"])).tenant == "beta"


async def test_a_file_s_link_needs_no_key(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a")
    ann = await key(service, "ann", "default:member")
    data = (await client.get(f"/api/v1/tasks/{task.id}", headers=ann)).json()["payload"]["data"]
    assert (await client.get(data["url"])).content == b"a"
