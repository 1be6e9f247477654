"""Lists of tasks in the Services API."""

from typing import Any

import httpx2
import msgspec
import pytest

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialects import services
from milepost.http.dialects.native import Native
from milepost.http.dialects.services import Services
from milepost.service import Service
from milepost.task import State
from milepost.times import HOUR
from milepost.update import Update
from tests.http.conftest import Tasks, http_app, in_memory

from .services_wire import created


@pytest.fixture
def app(service: Service) -> HttpApp:
    return http_app(service, Native(), Services())


async def ids(client: httpx2.AsyncClient, **query: Any) -> list[int]:
    response = await client.get("/tasks", params=query)
    assert response.status_code == 200, response.text
    return [task["id"] for task in response.json()]


async def test_a_list_is_a_bare_array_of_tasks_newest_first(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    assert (await client.get("/tasks")).json() == []
    for _ in range(3):
        await created(client)
    await tasks.claim()
    listed = (await client.get("/tasks")).json()
    assert [task["id"] for task in listed] == [3, 2, 1]
    assert listed == [(await client.get(f"/tasks/{number}")).json() for number in (3, 2, 1)]
    assert listed[2]["logs"] != []


async def test_tasks_are_listed_by_status(client: httpx2.AsyncClient, tasks: Tasks, service: Service) -> None:
    await tasks.succeeded()
    await tasks.running()
    failed = await tasks.start()
    await service.cancel(LOCAL, failed.id)
    paused = await tasks.start()
    await service.pause(LOCAL, paused.id)
    await tasks.start(run_at=service.clock() + HOUR)
    blocked = await tasks.start()
    await service.update(LOCAL, blocked.id, Update(state=State.BLOCKED))
    await tasks.start()
    assert await ids(client, status="READY") == [7, 6, 5]
    assert await ids(client, status="INPROGRESS") == [4, 2]
    assert await ids(client, status="DONE") == [1]
    assert await ids(client, status="ERROR") == [3]
    assert await ids(client) == [7, 6, 5, 4, 3, 2, 1]


async def test_tasks_are_listed_by_action_and_campaign(client: httpx2.AsyncClient, service: Service) -> None:
    (info,) = await service.types()
    types = [msgspec.structs.replace(info, name=name, schema={}) for name in ("bulk-issue-rewards", "export")]
    await service.store.publish_types(types)
    for target in (
        {"action": "export"},
        {"action": "bulk issue rewards", "campaign": 77},
        {"action": "bulk issue rewards", "campaign": "77"},
        {"action": "export", "campaign": 78},
        {"action": "export", "campaign": 77},
        {"action": "export", "campaign": {"id": 77}},
        {"action": "export", "campaign": True},
    ):
        await created(client, target=target)
    assert await ids(client, action="bulk issue rewards") == await ids(client, action="bulk-issue-rewards") == [3, 2]
    assert await ids(client, action="nothing") == []
    assert await ids(client, campaign_id=77) == [5, 3, 2]
    assert await ids(client, campaign_id=77, action="export") == [5]
    assert await ids(client, campaign_id=77, status="DONE") == []
    assert await ids(client, campaign_id=77, limit=1, offset=1) == [3]
    assert await ids(client, campaign_id=1) == []


async def test_a_task_that_was_put_into_a_campaign_s_list_is_not_of_it(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    await tasks.start(tenant="1764", list_id="campaign-77")
    assert await ids(client, campaign_id=77) == []


async def test_a_list_is_paged(client: httpx2.AsyncClient, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "AT_ONCE", 7)
    for _ in range(60):
        await tasks.start(tenant="5")
    every = list(range(60, 0, -1))
    assert await ids(client) == every[:50]
    for limit, offset in ((0, 0), (1, 0), (7, 7), (10, 45), (1000, 0), (1000, 58), (5, 60), (5, 100_000)):
        assert await ids(client, limit=limit, offset=offset) == every[offset : offset + limit]


async def test_a_list_is_of_the_chain_that_is_named(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    for tenant in ("1", "acme", "1", "2"):
        await tasks.start(tenant=tenant)
    listed = (await client.get("/tasks")).json()
    assert [(task["chain"], task["id"]) for task in listed] == [(2, 1), (1, 2), (2_000_000_000, 1), (1, 1)]
    assert await ids(client, chain=1) == [2, 1]
    assert await ids(client, chain=2_000_000_000) == [1]
    assert await ids(client, chain=2_000_000_001) == await ids(client, chain=3) == []
    headers = {"x-spaaza-session-chain-id": "1"}
    assert len((await client.get("/tasks", headers=headers)).json()) == 2
    assert (await client.get("/tasks?chain=2", headers=headers)).json() == []


@pytest.mark.parametrize(
    "query",
    ["status=done", "status=", "campaign_id=x", "limit=-1", "limit=1001", "offset=100001", "offset=x", "limit=null"],
)
async def test_a_parameter_that_is_wrong_is_named(query: str, client: httpx2.AsyncClient) -> None:
    response = await client.get(f"/tasks?{query}")
    assert response.status_code == 400
    assert response.json()["error"]["description"].startswith(query.partition("=")[0] + ": ")


async def test_p4_who_asks_for_a_status_gets_no_other(tasks: Tasks, service: Service) -> None:
    """Between finding tasks and reading their logs, one of them has moved on."""

    class Busy(Service):
        async def history(self, *args: Any, **options: Any) -> Any:
            await tasks.claim()
            return await super().history(*args, **options)

    await tasks.start()
    await tasks.start()
    async with in_memory(http_app(Busy(service.store, service.files), Services())) as client:
        assert await ids(client, status="READY") == [2]
        assert await ids(client) == [2, 1]
