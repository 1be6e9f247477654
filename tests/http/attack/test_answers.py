"""What goes with an answer, so that browsers and caches on the way make nothing of it that they should not?"""

from collections.abc import AsyncIterator, Mapping

import httpx2
import msgspec
import pytest

from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import OTHER_NAMES
from milepost.service import Service
from tests.http.conftest import EXPORT, Tasks, http_app, in_memory
from tests.http.dialects.aparavi_wire import PIPELINE
from tests.http.dialects.asking import ASKED, About, Asked, Place, Starting
from tests.http.dialects.test_one_rule import ACME, ask, naming, prepare, spoken

from .conftest import made

PAGES = (
    "/docs",
    "/docs/quant",
    "/",
    "/openapi.json",
    "/openapi/quant-3.0.json",
    "/healthz",
    "/readyz",
    "/problems/gone",
)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of all dialects, of a server that is about to stop: whoever waits is answered at once."""
    commands = [msgspec.structs.replace(EXPORT, name=name) for name in OTHER_NAMES.values()]
    await service.store.publish_types([EXPORT, PIPELINE, *commands])
    app = http_app(service, *spoken())
    app.stop()
    async with in_memory(app) as client:
        yield client


async def answered(
    client: httpx2.AsyncClient, tasks: Tasks, dialect: str, operation: str, asked: Asked, headers: Mapping[str, str]
) -> httpx2.Response:
    """The answer to a request, about a task that stands as it has to."""
    if isinstance(asked, About):
        task = await prepare(tasks, asked.prepared, {"tenant": ACME})
        place = Place(task.tenant, task.id, task.number, await tasks.service.token_of(task))
        return await ask(client, operation, place.within(asked.path), headers, asked.send)
    send = naming(asked, ACME, dialect) if isinstance(asked, Starting) else getattr(asked, "send", {})
    return await ask(client, operation, asked.path.format(tenant=ACME), headers, send)


def harmless(response: httpx2.Response) -> None:
    """No other origin is told that it may read this, nothing is remembered for it, and it is just what it says."""
    names = {name.lower() for name in response.headers}
    assert not {name for name in names if name.startswith("access-control-")}
    assert not names & {"set-cookie", "server", "x-powered-by"}
    if response.content:
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("dialect", ASKED)
async def test_what_is_somebody_s_is_kept_by_no_cache_of_others(
    dialect: str, client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    keys = await made(service)
    missing = []
    for operation, requests in ASKED[dialect].items():
        for asked in requests:
            for headers in ({"authorization": f"Bearer {keys.service}"}, {}):
                response = await answered(client, tasks, dialect, operation, asked, headers)
                assert response.status_code < 500, (operation, response.text)
                cached = response.headers.get("cache-control", "")
                if not {"no-store", "private"} & {part.strip() for part in cached.split(",")}:
                    missing.append((operation, response.status_code, cached))
                harmless(response)
                assert not response.headers["content-type"].startswith("text/html") if response.content else True
    assert not missing
    figures = await client.get("/metrics", headers={"authorization": f"Bearer {keys.service}"})
    assert (figures.status_code, figures.headers["cache-control"]) == (200, "no-store")
    harmless(figures)


async def test_secrets_are_stored_by_no_cache_at_all(client: httpx2.AsyncClient, service: Service) -> None:
    keys = await made(service)
    shown = {"authorization": f"Bearer {keys.service}"}
    made_one = await client.post("/v1/keys", json={"name": "new", "grants": [f"{ACME}:user"]}, headers=shown)
    rotated = await client.post(f"/v1/keys/{made_one.json()['id']}/rotate", headers=shown)
    for answer in (made_one, rotated, await client.get("/v1/keys", headers=shown)):
        assert answer.status_code in (200, 201), answer.text
        assert answer.headers["cache-control"] == "no-store"
        harmless(answer)


@pytest.mark.parametrize("path", PAGES)
async def test_pages_load_nothing_and_are_in_no_frame(path: str, client: httpx2.AsyncClient) -> None:
    response = await client.get(path)
    harmless(response)
    if response.headers.get("content-type", "").startswith("text/html"):
        policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
        assert (
            policy["default-src"]
            == policy["frame-ancestors"]
            == policy["base-uri"]
            == policy["form-action"]
            == "'none'"
        )
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["referrer-policy"] == "no-referrer"
    else:
        assert path not in ("/docs", "/docs/quant")


async def test_a_link_goes_no_further_than_to_who_has_it(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    task = await tasks.with_file(b"<script>alert(1)</script>", "page.html", "text/html")
    link = await service.link(LOCAL, task.id)
    response = await client.get(f"/results/{link}")
    assert response.status_code == 200
    harmless(response)
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert response.headers["content-disposition"] == 'attachment; filename="page.html"'
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
