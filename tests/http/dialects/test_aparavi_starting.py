"""Pipelines are started as clients send them, and what is wrong with one is named."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost.access.principal import LOCAL
from milepost.http.dialects.aparavi import Aparavi
from milepost.service import Filter, Service
from milepost.start import MAX_TEXT
from milepost.store.protocol import TypeInfo
from milepost.task import State, Task
from tests.http.conftest import http_app, in_memory
from tests.http.dialects.aparavi_wire import PIPELINE, SAMPLE, STANDING, speaking, started

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(autouse=True)
async def _types(service: Service) -> None:
    await service.store.publish_types([PIPELINE])


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with speaking(service, paths={"/data/source": "documents"}) as client:
        yield client


async def all_tasks(service: Service) -> list[Task]:
    return list((await service.find(LOCAL, Filter())).tasks)


async def one(service: Service) -> Task:
    (task,) = await all_tasks(service)
    return task


async def input_of(service: Service, task: Task) -> Any:
    return msgspec.json.decode((await service.cold(LOCAL, task.id)).input)


async def test_the_published_pipeline_is_started_as_it_stands(client: httpx2.AsyncClient, service: Service) -> None:
    response = await client.put("/task", json=SAMPLE)
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "OK"
    assert body["data"].keys() == {"token", "type"}
    assert UUID.fullmatch(body["data"]["token"])
    assert body["data"]["type"] == "cpu"
    assert response.headers["cache-control"] == "no-store"
    task = await one(service)
    assert (task.type, task.state, task.runner, task.origin) == ("pipeline", State.QUEUED, "thread", "aparavi")
    assert (task.title, task.metadata, task.tenant) == (None, {"source_path": "/data/source"}, "default")
    assert await input_of(service, task) == {
        "components": [{"name": "source", "provider": "file", "config": {"path": "documents"}}]
    }


async def test_a_token_is_a_secret_of_its_own(client: httpx2.AsyncClient, service: Service) -> None:
    said = await started(client, SAMPLE)
    task = await one(service)
    assert task.id.replace("-", "") not in said["token"].replace("-", "")
    for path in ("/task", f"/task?token=task_{task.id}", f"/v1/tasks/{task.id}?include=input", "/v1/tasks", "/status"):
        shown = await client.get(path, params=said if path == "/task" else None)
        assert shown.status_code == 200
        assert said["token"] not in shown.text
        assert not any(said["token"] in value for value in shown.headers.values())


async def test_name_and_threads_are_kept(client: httpx2.AsyncClient, service: Service) -> None:
    await started(client, SAMPLE, name="n1", threads=16, strange="passed over")
    task = await one(service)
    assert (task.title, task.metadata) == ("n1", {"source_path": "/data/source", "threads": 16})


async def test_a_pipeline_of_its_own_is_as_good(client: httpx2.AsyncClient, service: Service) -> None:
    pipeline = {**SAMPLE["pipeline"], "source": "source", "project_id": "p", "version": 3}
    await started(client, pipeline)
    assert (await input_of(service, await one(service))).keys() == {"components", "source"}


async def test_a_webhook_pipeline_stands(client: httpx2.AsyncClient, service: Service) -> None:
    await started(client, STANDING)
    task = await one(service)
    assert (task.state, task.runner, task.metadata) == (State.RUNNING, "external", {})
    assert await input_of(service, task) == STANDING["pipeline"]


def failing(field: str, value: Any) -> Any:
    """A pipeline that is wrong in one place."""
    return {"pipeline": {"components": [SAMPLE["pipeline"]["components"][0] | {field: value}]}}


REFUSED: list[tuple[Any, list[Any]]] = [
    ({}, ["body", "components"]),
    ({"pipeline": {}}, ["body", "pipeline", "components"]),
    ({"pipeline": []}, ["body", "pipeline"]),
    (failing("provider", "ocr"), ["body", "pipeline", "components", 0, "provider"]),
    (failing("provider", None), ["body", "pipeline", "components", 0, "provider"]),
    (failing("config", 1), ["body", "pipeline", "components", 0, "config"]),
    (failing("input", [{"from": "x"}]), ["body", "pipeline", "components", 0, "input", 0, "from"]),
    ({"components": [{"provider": "hash"}]}, ["body", "source"]),
    ({"components": [{"provider": "file"}, {"provider": "ocr"}]}, ["body", "components", 1, "provider"]),
    (STANDING | {"pipeline": STANDING["pipeline"] | {"source": "x"}}, ["body", "pipeline", "source"]),
]


@pytest.mark.parametrize(("body", "loc"), REFUSED)
async def test_a_wrong_pipeline_is_refused_with_its_place(
    client: httpx2.AsyncClient, service: Service, body: Any, loc: list[Any]
) -> None:
    response = await client.put("/task", json=body)
    assert response.status_code == 422
    told = response.json()
    assert [fault["loc"] for fault in told["detail"]] == [loc]
    assert told["status"] == "Error"
    assert ".".join(map(str, loc)) in told["message"]
    assert await all_tasks(service) == []


@pytest.mark.parametrize(("body", "loc"), REFUSED)
async def test_a_check_says_what_a_start_would_be_refused_for(
    client: httpx2.AsyncClient, service: Service, body: Any, loc: list[Any]
) -> None:
    refused = (await client.put("/task", json=body)).json()
    checked = await client.post("/pipe/validate", json=body)
    assert checked.status_code == 200
    assert checked.json() == refused | {"data": {"errors": [refused["message"]], "warnings": []}}


@pytest.mark.parametrize("body", [SAMPLE, STANDING, SAMPLE["pipeline"]])
async def test_a_check_starts_nothing(client: httpx2.AsyncClient, service: Service, body: Any) -> None:
    response = await client.post("/pipe/validate", json=body)
    assert response.json() == {"status": "OK", "data": {"errors": [], "warnings": []}}
    assert await all_tasks(service) == []


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("threads=0", ["query", "threads"]),
        ("threads=17", ["query", "threads"]),
        ("threads=x", ["query", "threads"]),
        ("name=a&name=b", ["query", "name"]),
        (f"name={'n' * (MAX_TEXT + 1)}", ["query", "name"]),
    ],
)
async def test_a_wrong_parameter_is_named(client: httpx2.AsyncClient, query: str, loc: list[Any]) -> None:
    response = await client.put(f"/task?{query}", json=SAMPLE)
    assert (response.status_code, [fault["loc"] for fault in response.json()["detail"]]) == (422, [loc])


async def test_what_can_not_be_read_is_said(client: httpx2.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    for method, path in (("PUT", "/task"), ("POST", "/pipe/validate")):
        broken = await client.request(method, path, content=b"{", headers=json)
        assert (broken.status_code, broken.json()["error"]) == (400, "The request can't be read")
        array = await client.request(method, path, content=b"[]", headers=json)
        assert (array.status_code, array.json()["detail"][0]["loc"]) == (422, ["body"])
        other = await client.request(method, path, content=b"{}", headers={"content-type": "application/xml"})
        assert other.status_code == 415
        large = await client.request(method, path, content=bytes(1 << 21), headers=json)
        assert large.status_code == 413


async def test_a_server_without_the_type_says_so(service: Service) -> None:
    async with speaking(service, type="flow") as client:
        response = await client.put("/task", json=SAMPLE)
        assert response.status_code == 422
        assert response.json()["detail"][0] == {
            "loc": ["body", "pipeline"],
            "msg": "There is no task type 'flow' here.",
            "type": "value_error",
        }


async def test_another_type_can_run_pipelines(service: Service) -> None:
    await service.store.publish_types([TypeInfo("flow", "loop", {"type": "object"})])
    async with speaking(service, type="flow") as client:
        await started(client, SAMPLE)
    assert (await one(service)).type == "flow"


@pytest.mark.parametrize("settings", [{"profile": "perl"}, {"type": "A type"}, {"patience": 0}])
def test_settings_that_are_none_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=min(settings)):
        Aparavi(**settings)


async def test_it_can_be_mounted(service: Service) -> None:
    web = Starlette(routes=[Mount("/dtc", http_app(service, Aparavi()))])
    async with in_memory(web) as client:
        said = (await client.put("/dtc/task", json=STANDING)).json()["data"]
        read = await client.get("/dtc/task", params=said)
        assert read.json()["data"]["status"] == "Running"
        unknown = await client.get("/dtc/pipe/unknown")
        assert (unknown.status_code, unknown.json()["error"]) == (404, "Not found")


async def test_other_methods_are_refused_in_its_words(client: httpx2.AsyncClient) -> None:
    for path, allowed in (("/task", "DELETE, GET, PUT, HEAD"), ("/webhook", "PUT")):
        response = await client.post(path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)
        assert response.json()["status"] == "Error"
