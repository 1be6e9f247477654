"""Does a command of CloudCoin's begin a task with its arguments, and answer with that task?"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest

from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.service import Service
from milepost.store.protocol import TypeInfo
from tests.http.conftest import EXPORT, http_app, in_memory


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of this dialect, with the types `export` and `backup`."""
    await service.store.publish_types([EXPORT, TypeInfo("backup", "loop", {"type": "object"})])
    async with in_memory(http_app(service, CloudCoin())) as client:
        yield client


async def test_a_command_answers_with_its_task(client: httpx2.AsyncClient, service: Service) -> None:
    answer = await client.post("/api/v1/export", json={"export_index": "coins", "rows": 3})
    assert answer.status_code == 200
    task_id = answer.json()["payload"]["id"]
    assert answer.json() == {
        "status": "success",
        "payload": {"id": task_id, "status": "running", "progress": 0, "message": "Command Started", "data": None},
    }
    assert (await client.get(f"/api/v1/tasks/{task_id}")).json() == answer.json()
    task = await service.get(LOCAL, task_id)
    assert (task.type, task.tenant, task.owner, task.origin) == ("export", "default", "local", "cloudcoin")
    cold = await service.cold(LOCAL, task_id)
    assert cold.input is not None
    assert msgspec.json.decode(cold.input) == {"export_index": "coins", "rows": 3}


@pytest.mark.parametrize("request_", [{}, {"json": {}}])
async def test_arguments_may_be_absent(client: httpx2.AsyncClient, request_: Any) -> None:
    assert (await client.post("/api/v1/export", **request_)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/create-wallet-backup", "/create-wallet-backup"])
async def test_commands_have_other_names(client: httpx2.AsyncClient, service: Service, path: str) -> None:
    answer = await client.post(path, json={"folder": "documents"})
    assert (await service.get(LOCAL, answer.json()["payload"]["id"])).type == "backup"


async def test_other_names_are_a_setting(service: Service) -> None:
    async with in_memory(http_app(service, CloudCoin(other_names={"dump": "export"}))) as client:
        assert (await client.post("/dump")).status_code == 200
        assert (await client.post("/create-wallet-backup")).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"rows": "three"}, 'rows: "three" is not of type "integer".'),
        ({"pages": 3}, "pages: There is no such argument here."),
        ({"rows": "3", "pages": 3}, "pages: There is no such argument here."),
    ],
)
async def test_what_is_wrong_with_an_argument_is_said_of_it(
    client: httpx2.AsyncClient, body: Any, message: str
) -> None:
    answer = await client.post("/api/v1/export", json=body)
    assert answer.status_code == 422
    assert answer.json()["payload"]["status"] == "error"
    assert message in answer.json()["payload"]["message"]


async def test_two_faults_are_both_said(client: httpx2.AsyncClient) -> None:
    message = (await client.post("/api/v1/export", json={"rows": "3", "pages": 3})).json()["payload"]["message"]
    assert "rows: " in message
    assert "pages: " in message
