from typing import Annotated, Any, Literal

import httpx2
import jsonschema_rs
import msgspec
import pytest
from msgspec import Meta
from openapi_spec_validator import validate

from milepost.http.app import HttpApp
from milepost.http.dialect import BEARER, Answer, Call, NoQuery, Operation
from milepost.http.dialects.native import Native
from milepost.http.fields import Duration, Time
from milepost.http.openapi import document

from .conftest import Tasks


class Query(msgspec.Struct):
    token: str
    sort: Annotated[Literal["up", "down"] | None, Meta(description="Which way.")] = None
    size: int = 10
    since: Time | None = None
    either: int | str | None = None
    names: tuple[str, ...] = ()


class Body(msgspec.Struct):
    """A body."""

    lasts: Duration
    tags: tuple[str, ...] = ("a",)


class Plain:
    """A dialect of its own."""

    name = "plain"
    title = "Plain"
    security = BEARER

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/plain/{id}", self.read, parameters={"id": Annotated[int, Meta(gt=0)]}, query=Query),
            Operation("PUT", "/plain/{id}", self.write, body=Body, media_types=("a/b", "c/d")),
            Operation("GET", "/plain/{id}/alias", self.read, headers={"X-Way": Annotated[str, Meta(description="W")]}),
        ]

    async def read(self, call: Call[Query, None]) -> Any: ...

    async def write(self, call: Call[NoQuery, Body]) -> Any: ...


def written(*operations: Operation) -> Any:
    plain: Any = Plain()
    return document(plain, operations or plain.operations(), server="/prefix")


async def test_the_native_document_is_valid(client: httpx2.AsyncClient) -> None:
    validate((await client.get("/openapi.json")).json())


def test_a_dialect_s_document_is_valid_and_says_what_it_is() -> None:
    read = written()
    validate(read)
    assert read["info"]["title"] == "Plain"
    assert read["info"]["description"] == "A dialect of its own."
    assert read["servers"] == [{"url": "/prefix"}]


def test_parameters_come_from_the_query_s_struct() -> None:
    parameters = {parameter["name"]: parameter for parameter in written()["paths"]["/plain/{id}"]["get"]["parameters"]}
    assert parameters["id"]["schema"] == {"type": "integer", "exclusiveMinimum": 0}
    assert parameters["id"]["required"]
    text = {"type": "string", "pattern": "^[^\\u0000]*$"}
    assert parameters["token"] == {"name": "token", "in": "query", "required": True, "schema": text}
    assert parameters["names"]["schema"]["items"] == text
    assert parameters["sort"]["description"] == "Which way."
    assert parameters["sort"]["schema"] == {"enum": ["down", "up"]}
    assert parameters["size"]["schema"] == {"type": "integer", "default": 10}
    assert parameters["since"]["schema"] == {"type": "string", "format": "date-time"}
    assert parameters["either"]["schema"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert parameters["names"]["explode"] is False


def test_headers_and_bodies_are_written_down() -> None:
    read = written()
    [of_path, header] = read["paths"]["/plain/{id}/alias"]["get"]["parameters"]
    assert of_path["schema"] == {"type": "string", "minLength": 1}
    assert header == {
        "name": "X-Way",
        "in": "header",
        "required": False,
        "description": "W",
        "schema": {"type": "string"},
    }
    content = read["paths"]["/plain/{id}"]["put"]["requestBody"]["content"]
    assert content.keys() == {"a/b", "c/d"}
    assert "requestBody" not in read["paths"]["/plain/{id}"]["get"]
    assert read["components"]["schemas"]["Body"]["description"] == "A body."
    assert read["components"]["schemas"]["Body"]["properties"]["tags"]["default"] == ["a"]


def test_a_body_that_the_handler_reads_is_written_down_too() -> None:
    body = written(Operation("PUT", "/plain", Plain().write, media_types=("text/plain", "multipart/form-data")))
    validate(body)
    assert body["paths"]["/plain"]["put"]["requestBody"] == {
        "required": True,
        "content": {"text/plain": {}, "multipart/form-data": {}},
    }


async def test_what_is_known_of_one_field_is_said_of_no_other(client: httpx2.AsyncClient) -> None:
    counts = (await client.get("/openapi.json")).json()["components"]["schemas"]["CountsBody"]["properties"]
    assert counts["done"]["default"] == 0
    assert all("default" not in choice for choice in counts["total"]["anyOf"])


async def test_a_start_leads_to_what_can_be_done_with_the_task(client: httpx2.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    of_a_task = [item for path, item in paths.items() if path.startswith("/v1/tasks/{id}")]
    beneath = {operation["operationId"] for item in of_a_task for operation in item.values()}
    for status in ("200", "202"):
        links = paths["/v1/tasks"]["post"]["responses"][status]["links"]
        assert links.keys() == beneath
        for name, link in links.items():
            assert link == {"operationId": name, "parameters": {"id": "$response.body#/id"}}


def test_every_operation_has_an_id_of_its_own() -> None:
    paths = written()["paths"]
    ids = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert ids == ["read", "write", "read_2"]


def test_two_structs_of_one_name_are_refused() -> None:
    other = msgspec.defstruct("Body", [("another", int)])
    operations = [
        Operation("PUT", "/a", Plain().write, body=Body),
        Operation("PUT", "/b", Plain().write, answers={200: Answer("Yes.", other)}),
    ]
    with pytest.raises(ValueError, match="Body"):
        written(*operations)


async def test_what_is_answered_is_what_is_written_down(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    components = (await client.get("/openapi.json")).json()["components"]

    def check(name: str, value: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)

    done = await tasks.with_file(b"content")
    running = await tasks.running(metadata={"a": 1}, title="T")
    for task in (done, running):
        check("TaskBody", (await client.get(f"/v1/tasks/{task.id}?include=input,checkpoint,traceback")).json())
        check("LogBody", (await client.get(f"/v1/tasks/{task.id}/logs")).json())
    check("TaskList", (await client.get("/v1/tasks")).json())
    check("TypeList", (await client.get("/v1/types")).json())
    check("Problem", (await client.get(f"/v1/tasks/{running.id}/result")).json())
    check("Problem", (await client.get("/v1/tasks?limit=x")).json())
    check("Readiness", (await client.get("/readyz")).json())
    check("DeletedBody", (await client.delete(f"/v1/tasks/{done.id}")).json())


def test_every_operation_is_described(app: HttpApp) -> None:
    for operation in Native().operations():
        assert operation.summary
        assert operation.group
        assert operation.answers
        assert operation.handler.__doc__
