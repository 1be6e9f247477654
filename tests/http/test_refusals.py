"""Whether what a document says of refusals is what a dialect makes of them: each kind, of each operation."""

from typing import Any

import jsonschema_rs
import msgspec
import pytest
from openapi_spec_validator import validate
from starlette.requests import Request

from milepost import errors
from milepost.errors import Fault, ServiceError
from milepost.http.dialect import JSON, Answer, Call, Dialect, NoQuery, Operation, Refusals
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.known import NAMES, dialects
from milepost.http.dialects.native import Native
from milepost.http.errors import Misdirected, TooSlow, UnsupportedMediaType
from milepost.http.openapi import document
from milepost.http.openapi30 import downgraded
from milepost.http.problems import REFUSALS, Problem
from milepost.http.refusals import refusals
from milepost.http.site import Site
from milepost.service import Service

from .conftest import http_app, in_memory

ALWAYS = (
    errors.Malformed("m"),
    errors.Forbidden("f"),
    Misdirected("h"),
    errors.Invalid(Fault("i", pointer="/a/0"), Fault("j", parameter="q"), Fault("k")),
    errors.Unavailable("u"),
    errors.NotOpen("n"),
)
KEYED = (errors.Unauthenticated("a"), errors.TooMany("t", retry_after=3))


async def handler(call: Call[NoQuery, Any]) -> Any: ...


def statuses(**declared: Any) -> set[int]:
    method = declared.pop("method", "GET")
    return set(refusals(Operation(method, "/a", handler, refusals=REFUSALS, **declared)))


def test_what_an_operation_declares_says_how_it_may_be_refused() -> None:
    always = {400, 401, 403, 421, 422, 429, 503}
    assert statuses() == always
    assert statuses(public=True) == always - {401, 429}
    assert statuses(method="POST") == statuses(changes=True) == always | {415}
    assert statuses(method="POST", changes=False) == always
    assert statuses(method="POST", body=dict) == statuses(media_types=("text/plain",)) == always | {408, 413, 415}
    assert statuses(body=dict, lines=True) == always | {415}
    assert set(refusals(Operation("GET", "/a", handler, refusals=Refusals(Problem, invalid=400)))) == always - {422}
    assert refusals(Operation("GET", "/a", handler)) == {}


async def is_open() -> bool:
    return True


def operations() -> list[Any]:
    site = Site(dialects(), open_mode=is_open)
    spoken: list[Dialect] = [*dialects(), CloudCoin(flat_task=False)]
    of_dialects = [(dialect, operation) for dialect in spoken for operation in dialect.operations()]
    of_site = [(site, operation) for operation in site.operations() if operation.refusals]
    return [pytest.param(*pair, id=f"{pair[0].name} {pair[1].method} {pair[1].path}") for pair in of_dialects + of_site]


@pytest.mark.parametrize(("dialect", "operation"), operations())
def test_what_is_refused_looks_as_it_is_written_down(dialect: Dialect, operation: Operation) -> None:
    written = document(dialect, [operation], server="/")
    (item,) = written["paths"][operation.path].values()
    takes_body = operation.body is not None or tuple(operation.media_types) != (JSON,)
    told: list[ServiceError] = [*ALWAYS, *([] if operation.public else KEYED)]
    told += [UnsupportedMediaType("s", [JSON])] if takes_body or operation.changes_something else []
    told += [errors.TooLarge("l"), TooSlow()] if takes_body and not operation.lines else []
    asked = Request({"type": "http", "method": operation.method, "path": operation.path, "headers": []})
    for error in told:
        answer = dialect.problem(error, asked)
        said = item["responses"][str(answer.status_code)]
        if "$ref" in said:
            said = written["components"]["responses"][said["$ref"].rpartition("/")[2]]
        schema = {**said["content"][answer.headers["content-type"]]["schema"], "components": written["components"]}
        jsonschema_rs.validator_for(schema).validate(msgspec.json.decode(answer.body))
        certain = {name.lower() for name, header in said.get("headers", {}).items() if header.get("required")}
        assert certain <= set(answer.headers)


def test_what_many_may_be_refused_with_is_written_down_once() -> None:
    own = Answer("Not this one.", Problem)
    several = [
        Operation("GET", "/a", handler, refusals=REFUSALS),
        Operation("GET", "/b", handler, refusals=REFUSALS, answers={403: own}),
        Operation("GET", "/c", handler),
    ]
    written = document(Native(), several, server="/")
    validate(written)
    validate(downgraded(written))
    shared = {"$ref": "#/components/responses/Problem403"}
    assert written["paths"]["/a"]["get"]["responses"]["403"] == shared
    assert written["paths"]["/b"]["get"]["responses"]["403"]["description"] == "Not this one."
    assert written["paths"]["/c"]["get"]["responses"].keys() == {"default"}
    key = written["components"]["responses"]["Problem401"]["headers"]["WWW-Authenticate"]
    assert key["required"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_document_says_which_operations_need_a_key(name: str, service: Service) -> None:
    spoken = dialects(caller="desk@acme")
    async with in_memory(http_app(service, *spoken)) as client:
        anyway = (await client.get(f"/openapi/{name}.json")).json()
        assert anyway["security"][-1] == {}, "none was made yet"
        await service.keys.add("ann", ["acme:member"])
        for version in ("", "-3.0"):
            written = (await client.get(f"/openapi/{name}{version}.json")).json()
            validate(written)
            schemes: list[Any] = [{scheme: []} for scheme in written["components"]["securitySchemes"]]
            assert written["security"] == schemes
            for dialect in spoken:
                for operation in dialect.operations() if dialect.name == name else ():
                    item = written["paths"][operation.path][operation.method.lower()]
                    keyless = [*schemes, {}] if operation.caller else None
                    assert item.get("security") == ([] if operation.public else keyless)
