"""The documents of the Services API, and whether what is answered is what they say."""

from typing import Any

import httpx2
import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from milepost.errors import Conflict, Fault, KeyConflict, NotFound
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.http.dialects.services import Services
from milepost.http.dialects.services_errors import CODES, NO_PATH, OTHER, refusal, renamed
from milepost.http.problems import STATUSES
from milepost.service import Service
from tests.http.conftest import Tasks, http_app

from .services_wire import create, created


@pytest.fixture
def app(service: Service) -> HttpApp:
    return http_app(service, Native(), Services())


@pytest.mark.parametrize("name", ["services", "services-3.0"])
async def test_the_documents_are_valid(name: str, client: httpx2.AsyncClient) -> None:
    document = (await client.get(f"/openapi/{name}.json")).json()
    validate(document)
    assert document["security"] == [{"bearer": []}, {"session": []}, {}]
    assert document["paths"].keys() == {"/tasks", "/tasks/{id}", "/tasks/{id}/execute", "/tasks/{id}/download_url"}


async def test_what_is_answered_is_what_is_written_down(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    components = (await client.get("/openapi/services.json")).json()["components"]

    def check(name: str, value: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)

    await tasks.with_file(b"x")
    check("TaskBody", await created(client, trigger={"once": "2126-01-01T00:00:00Z"}))
    await tasks.running()
    for task in (await client.get("/tasks")).json():
        check("TaskBody", task)
        check("StateBody", task["state"])
    check("ErrorBody", (await client.get("/tasks/99")).json())
    check("ErrorBody", (await create(client, chain=2_000_000_007)).json())


def test_every_operation_is_described() -> None:
    for operation in Services().operations():
        assert operation.summary
        assert operation.description
        assert operation.group
        assert operation.answers
        assert operation.handler.__doc__


def test_codes_and_names_of_errors_go_together() -> None:
    pairs = {*CODES.values(), NO_PATH, OTHER}
    assert len({code for code, _ in pairs}) == len({name for _, name in pairs}) == len(pairs)
    assert set(CODES) <= {kind.code for kind in STATUSES}


def test_a_refusal_that_has_no_code_of_its_own_has_one_all_the_same() -> None:
    response = refusal(KeyConflict("It was used before."))
    assert response.status_code == 422
    assert b'"code":99,"name":"refused","description":"It was used before."' in response.body
    assert refusal(Conflict("x")).status_code == 409
    assert refusal(NotFound("x")).headers["cache-control"] == "no-store"


def test_a_fault_without_a_place_in_the_body_stays_as_it_is() -> None:
    assert renamed(Fault("Wrong.", parameter="limit")) == Fault("Wrong.", parameter="limit")
    assert renamed(Fault("Wrong.", pointer="/debug")) == Fault("Wrong.", pointer="/debug")
    assert renamed(Fault("Wrong.", pointer="/input/a~1b")) == Fault("Wrong.", pointer="/target/a~1b")
