"""Do keys let CloudCoin's clients in, each to its own?"""

from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.known import dialects
from milepost.service import Filter, Service
from tests.http.conftest import Tasks, http_app, in_memory

from .addresses import paths

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


# Clients that can't show a key, where the operator says whom they are taken for.


@pytest.fixture
async def bound(service: Service, tasks: Tasks) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that shows no key, once there is one."""
    await key(service, "root", "wallets:admin")
    async with in_memory(http_app(service, CloudCoin(caller="coins@wallets"))) as client:
        yield client


async def test_who_shows_no_key_is_the_user_that_it_is_bound_to(bound: httpx2.AsyncClient, service: Service) -> None:
    begun = await bound.post("/api/v1/export", json={})
    task_id = begun.json()["payload"]["id"]
    task = await service.get(LOCAL, task_id)
    assert (task.owner, task.tenant) == ("coins", "wallets")
    for path in (f"/api/v1/tasks/{task_id}", f"/api/v1/task/{task_id}", f"/get-task-status/{task_id}"):
        assert (await bound.get(path)).status_code == 200


async def test_p6_it_sees_what_that_user_sees(bound: httpx2.AsyncClient, tasks: Tasks) -> None:
    mine = await tasks.start(tenant="wallets", owner="coins")
    assigned = await tasks.start(tenant="wallets", owner="ann", assignee="coins")
    anothers = await tasks.start(tenant="wallets", owner="ann")
    elsewhere = await tasks.start(tenant="other", owner="coins")
    statuses = [
        (await bound.get(f"/api/v1/tasks/{task.id}")).status_code for task in (mine, assigned, anothers, elsewhere)
    ]
    assert statuses == [200, 200, 404, 404]


async def test_a_key_counts_for_more_and_a_wrong_one_for_nothing(
    bound: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    task = await tasks.start(tenant="wallets", owner="ann")
    ann = await key(service, "ann", "wallets:user")
    path = f"/api/v1/tasks/{task.id}"
    assert (await bound.get(path, headers=ann)).status_code == 200
    for wrong in ("nonsense", f"Bearer mp_{'0' * 16}_{'0' * 64}"):
        refused = await bound.get(path, headers={"authorization": wrong})
        assert (refused.status_code, refused.json()["payload"]["status"]) == (401, "error")


async def test_other_dialects_ask_for_a_key_all_the_same(service: Service, tasks: Tasks) -> None:
    task = await tasks.start(tenant="wallets", owner="coins")
    await key(service, "root", "wallets:admin")
    async with in_memory(http_app(service, *dialects(caller="coins@wallets"))) as client:
        for name, path in (await paths(service, task)).items():
            assert (await client.get(path)).status_code == (200 if name == "cloudcoin" else 401), name


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"x-forwarded-for": "203.0.113.7"}, 401),
        ({"forwarded": "for=203.0.113.7"}, 401),
        ({"via": "1.1 proxy"}, 401),
    ],
)
async def test_no_page_and_no_proxy_is_taken_for_it(
    headers: dict[str, str], status: int, bound: httpx2.AsyncClient, service: Service
) -> None:
    begun = await bound.post("/api/v1/export", headers=headers)
    assert (begun.status_code, begun.json()["payload"]["status"]) == (status, "error")
    assert (await service.find(LOCAL, Filter())).tasks == []


@pytest.mark.parametrize("host", ["203.0.113.7", "10.0.0.5", "testclient", None])
async def test_no_other_machine_is_taken_for_it(host: str | None, service: Service) -> None:
    await key(service, "root", "wallets:admin")
    app = http_app(service, CloudCoin(caller="coins@wallets"))
    async with in_memory(app_called_from(app, host)) as client:
        assert (await client.post("/api/v1/export")).status_code == 401
    async with in_memory(app_called_from(app, "::1")) as client:
        assert (await client.post("/api/v1/export")).status_code == 200


def app_called_from(app: ASGIApp, host: str | None) -> ASGIApp:
    """The application as it is called from this address."""

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": None if host is None else (host, 4711)}, receive, send)

    return called


async def test_it_is_the_same_before_there_is_any_key(service: Service) -> None:
    async with in_memory(http_app(service, CloudCoin(caller="coins@wallets"))) as client:
        begun = await client.post("/api/v1/export")
    assert (await service.get(LOCAL, begun.json()["payload"]["id"])).owner == "coins"


def test_a_caller_is_of_the_tenant_where_commands_run() -> None:
    CloudCoin(caller="coins@wallets", tenant="wallets")
    with pytest.raises(ValueError, match="'coins@wallets' is of another tenant than 'acme', where commands run"):
        CloudCoin(caller="coins@wallets", tenant="acme")
