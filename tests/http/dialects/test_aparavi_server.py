"""What Aparavi's dialect says of the server, and of itself."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from milepost import __version__
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.aparavi_answers import providers
from milepost.http.payload import MEDIA_TYPES
from milepost.service import Service
from tests.http.conftest import Tasks
from tests.http.dialects.aparavi_wire import PIPELINE, SAMPLE, STANDING, speaking, started, token


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    await service.store.publish_types([PIPELINE])
    async with speaking(service) as client:
        yield client


async def test_the_version(client: httpx2.AsyncClient) -> None:
    response = await client.get("/version")
    assert response.json() == {"status": "OK", "data": {"name": "Milepost", "version": __version__}}


async def test_the_status_counts_what_the_caller_may_see(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.succeeded()
    await tasks.start()
    await tasks.start()
    response = await client.get("/status")
    assert response.json() == {
        "status": "OK",
        "data": {"alive": True, "workers": 1, "tasks": {"Created": 2, "Completed": 1}},
    }


async def test_the_services_are_the_providers_that_a_worker_has(client: httpx2.AsyncClient) -> None:
    response = await client.get("/services")
    assert response.json() == {
        "status": "OK",
        "data": {
            "services": {
                name: {"name": name, "source": name in ("file", "webhook")}
                for name in ("count", "file", "hash", "text", "webhook")
            }
        },
    }
    single = await client.get("/services?service=hash")
    assert single.json()["data"] == {"services": {"hash": {"name": "hash", "source": False}}}
    none = await client.get("/services?service=ocr")
    assert (none.status_code, none.json()) == (
        404,
        {"status": "Error", "error": "Not found", "message": "There is no service 'ocr' here."},
    )


async def test_without_the_type_there_are_no_services(service: Service) -> None:
    async with speaking(service, type="flow") as client:
        assert (await client.get("/services")).json()["data"] == {"services": {}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"components": True}},
        {"properties": {"components": {"items": {"properties": {"provider": {"type": "string"}}}}}},
        {"properties": {"components": {"$ref": "#/$defs/Nothing"}}},
        {"properties": {"components": {"items": {"properties": {"provider": {"enum": [1, None]}}}}}},
    ],
)
def test_a_schema_that_names_no_providers_has_none(schema: dict[str, Any]) -> None:
    assert providers(schema) == []


@pytest.mark.parametrize("document", ["/openapi/aparavi.json", "/openapi/aparavi-3.0.json"])
async def test_its_documents_are_valid(client: httpx2.AsyncClient, document: str) -> None:
    read = (await client.get(document)).json()
    validate(read)
    assert {path for path in read["paths"] if path.count("/") == 1} >= {"/task", "/webhook", "/version", "/status"}
    assert read["paths"]["/webhook"]["put"]["requestBody"]["content"].keys() == set(MEDIA_TYPES)
    assert read["components"]["securitySchemes"].keys() == {"key", "bearer"}


def test_every_operation_is_described() -> None:
    for operation in Aparavi().operations():
        assert operation.summary
        assert operation.group
        assert operation.answers
        assert operation.handler.__doc__


async def test_what_is_answered_is_what_is_written_down(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    components = (await client.get("/openapi/aparavi.json")).json()["components"]

    def check(name: str, response: httpx2.Response) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(response.json())

    said = await started(client, STANDING)
    check("StartedBody", await client.put("/task", json=SAMPLE))
    for task in (await tasks.running(), await tasks.succeeded()):
        check("StatusBody", await client.get("/task", params=await token(service, task)))
    check("StatusBody", await client.get("/task", params=said))
    check("EndedBody", await client.delete("/task", params=said))
    for path in ("/version", "/status", "/services"):
        check("AnyBody", await client.get(path))
    check("AnyBody", await client.post("/pipe/validate", json=SAMPLE))
    check("ErrorBody", await client.post("/pipe/validate", json={}))
    check("ErrorBody", await client.put("/task", json={}))
    check("ErrorBody", await client.get("/task?token=x"))
    check("ErrorBody", await client.put("/webhook", params=said, content=b"x"))
