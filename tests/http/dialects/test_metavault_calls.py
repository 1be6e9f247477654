"""Do calls of Metavault's begin tasks in their project, and lead to them?"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest

from milepost.access.principal import LOCAL
from milepost.http.dialects.metavault import Metavault
from milepost.service import Service
from milepost.store.protocol import TypeInfo
from milepost.times import DAY, HOUR, MINUTE
from tests.http.conftest import EXPORT, http_app, in_memory

DEPLOY = TypeInfo("deploy", "loop", {"type": "object", "properties": {"force": {"type": "boolean"}}})
CALLS = {
    "POST /api/environments/{environment}/deploy": "deploy",
    "PUT /api/projects/{projectId}/models/{model}/version": "deploy",
    "DELETE /api/everything": "deploy",
}


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client, with calls that are mapped to a type."""
    await service.store.publish_types([EXPORT, DEPLOY])
    async with in_memory(http_app(service, Metavault(calls=CALLS))) as client:
        yield client


async def input_of(service: Service, task_id: str) -> Any:
    cold = await service.cold(LOCAL, task_id)
    assert cold.input is not None
    return msgspec.json.decode(cold.input)


@pytest.mark.parametrize("prefix", ["", "/metavault"])
async def test_a_call_answers_with_the_task_s_id(client: httpx2.AsyncClient, service: Service, prefix: str) -> None:
    answer = await client.post(f"{prefix}/api/projects/vault/export", json={"export_index": "hubs", "rows": 3})
    assert answer.status_code == 202
    task_id = answer.json()["taskId"]
    location = f"{prefix}/api/projects/vault/tasks/{task_id}"
    assert answer.json() == {"taskId": task_id, "self": location}
    assert answer.headers["location"] == location
    assert (await client.get(location)).json()["status"] == "Waiting"
    task = await service.get(LOCAL, task_id)
    assert (task.type, task.tenant, task.owner, task.origin) == ("export", "vault", "local", "metavault")
    assert task.keep_result == HOUR
    assert await input_of(service, task_id) == {"export_index": "hubs", "rows": 3}


async def test_a_call_may_have_no_body(client: httpx2.AsyncClient, service: Service) -> None:
    answer = await client.post("/api/projects/vault/export")
    assert answer.status_code == 202
    assert await input_of(service, answer.json()["taskId"]) == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "tenant", "expected"),
    [
        ("POST", "/api/environments/test.db/deploy", {"force": True}, "default", {"environment": "test.db"}),
        ("PUT", "/api/projects/p/models/m%2F1/version", {"force": True}, "p", {"model": "m/1"}),
        ("DELETE", "/api/everything", {"force": True}, "default", {}),
    ],
)
async def test_further_calls_are_mapped_to_types(
    client: httpx2.AsyncClient, service: Service, method: str, path: str, body: Any, tenant: str, expected: Any
) -> None:
    for prefix in ("", "/metavault"):
        answer = await client.request(method, prefix + path, json=body)
        assert answer.status_code == 202
        task = await service.get(LOCAL, answer.json()["taskId"])
        assert (task.type, task.tenant) == ("deploy", tenant)
        assert await input_of(service, task.id) == expected | body
        assert (await client.get(answer.headers["location"])).status_code == 200


@pytest.mark.parametrize(
    ("said", "kept"),
    [("3", 3), ("0.5", 0.5), ("true", True), ("x", None), ("%22x%22", None), ("[1]", None), ("[" * 3000, None)],
)
async def test_a_number_in_a_path_is_one(service: Service, said: str, kept: Any) -> None:
    kinds: list[dict[str, Any]] = [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]
    schema = {"type": "object", "properties": {"version": {"anyOf": kinds}, "name": {"type": "string"}}}
    await service.store.publish_types([TypeInfo("tag", "loop", schema)])
    dialect = Metavault(calls={"POST /api/versions/{version}/names/{name}/tag": "tag"})
    async with in_memory(http_app(service, dialect)) as client:
        answer = await client.post(f"/api/versions/{said}/names/7/tag")
        if kept is None:
            assert (answer.status_code, answer.json()["errors"].keys()) == (400, {"version"})
        else:
            assert await input_of(service, answer.json()["taskId"]) == {"version": kept, "name": "7"}


async def test_a_record_is_kept_as_long_as_its_result(service: Service) -> None:
    kept: dict[str, tuple[int | None, int]] = {"plain": (None, 30 * DAY), "brief": (MINUTE, HOUR), "long": (DAY, DAY)}
    types = [TypeInfo(name, "loop", {}, keep_record=said) for name, (said, _) in kept.items()]
    await service.store.publish_types(types)
    async with in_memory(http_app(service, Metavault())) as client:
        for name, (_, keep_record) in kept.items():
            begun = await client.post(f"/api/projects/p/{name}")
            task = await service.get(LOCAL, begun.json()["taskId"])
            assert (task.keep_result, task.keep_record) == (HOUR, keep_record)


async def test_what_the_path_says_the_body_does_not(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/environments/test/deploy", json={"environment": "production"})
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"environment": ["The path says this already."]}


async def test_the_id_s_name_and_how_long_results_are_kept_are_settings(service: Service) -> None:
    dialect = Metavault(task_id="id", keep_result="2h", prefixes=["/vault"])
    async with in_memory(http_app(service, dialect)) as client:
        answer = await client.post("/vault/api/projects/p/export")
        assert answer.json().keys() == {"id", "self"}
        assert (await service.get(LOCAL, answer.json()["id"])).keep_result == 2 * HOUR
        assert (await client.get("/api/projects/p/tasks/17")).headers["content-type"] == "application/problem+json"
        assert (await client.get("/metavault/api")).status_code == 404


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        ({"GET /api/a": "export"}, "no call"),
        ({"POST api/a": "export"}, "no call"),
        ({"POST /v1/a": "export"}, "no call"),
        ({"POST /api/a/": "export"}, "no call"),
        ({"POST /api/a?b=c": "export"}, "no call"),
        ({"POST /api/x{a}": "export"}, "no call"),
        ({"POST /api/{a}/{a}": "export"}, "two parameters"),
        ({"POST /api/a": "Export!"}, "no name of a task type"),
    ],
)
def test_what_is_no_call_is_refused(calls: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Metavault(calls=calls)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="not a duration"):
        Metavault(keep_result="an hour")
