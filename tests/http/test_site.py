import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.service import Service
from milepost.times import HOUR, MINUTE

from .conftest import Clock, Tasks, in_memory


async def test_the_root_leads_to_the_reference(client: httpx2.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


async def test_a_problem_s_type_leads_to_what_it_means(client: httpx2.AsyncClient) -> None:
    problem = (await client.get("/v1/nothing")).json()
    response = await client.get(problem["type"])
    assert response.headers["location"] == "/docs#problem-not-found"
    assert "id='problem-not-found'" in (await client.get("/docs")).text


async def test_each_dialect_has_its_document_and_its_page(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/openapi/native.json")).json() == (await client.get("/openapi.json")).json()
    assert (await client.get("/docs/native")).text == (await client.get("/docs")).text


@pytest.mark.parametrize("path", ["/openapi/other.json", "/openapi/native", "/openapi/.json", "/docs/other"])
async def test_an_unknown_dialect_has_none(path: str, client: httpx2.AsyncClient) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_all_of_it_knows_where_it_is_mounted(app: HttpApp) -> None:
    async with in_memory(Starlette(routes=[Mount("/operations", app)])) as client:
        assert (await client.get("/operations/")).headers["location"] == "/operations/docs"
        document = (await client.get("/operations/openapi.json")).json()
        assert document["servers"] == [{"url": "/operations"}]
        assert "href='/operations/openapi/native.json'" in (await client.get("/operations/docs")).text
        assert (await client.get("/operations/problems/gone")).headers["location"] == "/operations/docs#problem-gone"
        assert (await client.get("/docs")).status_code == 404


async def test_a_link_leads_to_a_result_for_an_hour(app: HttpApp, service: Service, tasks: Tasks, clock: Clock) -> None:
    task = await tasks.with_file(b"a,b\n", "r.csv")
    link = await service.link(LOCAL, task.id)
    async with in_memory(Starlette(routes=[Mount("/operations", app)])) as client:
        response = await client.get(f"/operations/results/{link}")
        assert (response.status_code, response.text) == (200, "a,b\n")
        assert response.headers["content-disposition"] == 'attachment; filename="r.csv"'
        assert (await client.get(f"/operations/results/{link}x")).status_code == 404
        clock.ahead = HOUR + MINUTE
        assert (await client.get(f"/operations/results/{link}")).status_code == 404


async def test_a_page_takes_no_parameters(client: httpx2.AsyncClient) -> None:
    response = await client.get("/healthz?verbose=1")
    assert response.status_code == 422
    assert response.json()["errors"] == [{"detail": "There is no such parameter here.", "parameter": "verbose"}]
