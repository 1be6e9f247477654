import json
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from milepost.access.keyring import OPEN_FOR
from milepost.access.principal import LOCAL, Principal
from milepost.errors import NotFound, ServiceError
from milepost.http.app import HttpApp
from milepost.http.credentials import bearer
from milepost.http.dialect import BEARER, Call, NoQuery, Operation
from milepost.http.dialects.native import Native
from milepost.http.open_mode import OpenMode
from milepost.service import Service
from milepost.store.sqlite.store import SqliteStore

from .conftest import Tasks, Timer, http_app, in_memory

PUBLIC = (
    "/",
    "/docs",
    "/docs/native",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/openapi/native.json",
    "/problems/gone",
)


def shows(secret: str) -> dict[str, str]:
    """The headers that show a key."""
    return {"authorization": f"Bearer {secret}"}


async def made(service: Service, *grants: str, name: str = "ada") -> str:
    """A key that works."""
    _, secret = await service.keys.add(name, grants or ["acme:user"])
    return secret


async def test_a_store_that_never_had_a_key_is_open_to_all_that_open_mode_admits(client: httpx2.AsyncClient) -> None:
    for headers in ({}, shows("anything"), shows(f"mp_{'0' * 16}_{'0' * 64}")):
        assert (await client.get("/v1/tasks", headers=headers)).status_code == 200
    for path in ("/v1/tasks", *PUBLIC):
        foreign = await client.get(path, headers={"host": "evil.example"})
        assert foreign.status_code == 421, path
        assert (await client.get(path, headers={"sec-fetch-site": "cross-site"})).status_code == 403, path


async def test_the_first_key_closes_it_at_the_next_request(client: httpx2.AsyncClient, service: Service) -> None:
    assert (await client.get("/v1/tasks")).status_code == 200
    secret = await made(service)
    assert (await client.get("/v1/tasks")).status_code == 401
    assert (await client.get("/v1/tasks", headers=shows(secret))).status_code == 200


async def test_whatever_is_wrong_with_a_key_is_refused_with_the_same_words(
    client: httpx2.AsyncClient, service: Service
) -> None:
    secret = await made(service)
    key_id, proof = secret.split("_")[1:]
    revoked = await made(service)
    await service.keys.revoke(revoked.split("_")[1])
    nothing = await client.get("/v1/tasks")
    assert (nothing.status_code, nothing.headers["www-authenticate"]) == (401, "Bearer")
    assert nothing.json()["detail"] == "This needs a key that is valid here."
    for authorization in (
        *("Bearer", "Bearer x", f"Basic {secret}", secret, f"Bearer mp_{'0' * 16}_{proof}", f"Bearer {revoked}"),
        *(f"Bearer mp_{key_id}_{'0' * 64}", f"Bearer {secret}0", f"Bearer {secret} {secret}"),
    ):
        answer = await client.get("/v1/tasks", headers={"authorization": authorization})
        assert (answer.status_code, answer.headers, answer.content) == (401, nothing.headers, nothing.content)


@pytest.mark.parametrize("path", PUBLIC)
async def test_what_is_public_answers_everybody(path: str, client: httpx2.AsyncClient, service: Service) -> None:
    before = await client.get(path)
    secret = await made(service)
    for headers in ({}, shows("nonsense"), shows(secret)):
        after = await client.get(path, headers={**headers, "host": "tasks.example.com"})
        assert after.status_code == before.status_code
        if not path.startswith(("/readyz", "/openapi")):  # these tell whether a key is asked for
            assert after.content == before.content


async def test_nothing_else_is_public(service: Service) -> None:
    app = http_app(service)
    await made(service)
    operations = [*Native().operations(), *app._site.operations()]
    closed = [operation for operation in operations if not operation.public]
    public = {operation.path for operation in operations if operation.public}
    assert public == {
        *("/", "/docs", "/docs/{dialect}", "/healthz", "/readyz", "/openapi.json", "/openapi/{document}"),
        *("/problems/{code}", "/results/{link}"),
    }
    async with in_memory(app) as client:
        for operation in closed:
            path = operation.path.replace("{", "").replace("}", "")
            answer = await client.request(operation.method, path, content=b"neither read", headers={"x": "y"})
            assert answer.status_code == 401, operation
            assert (await client.request("HEAD", path)).status_code in (401, 405), operation


async def test_metrics_count_what_the_key_lets_see(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    await tasks.start(tenant="acme")
    assert "queued" in (await client.get("/metrics")).text
    stranger, scraper = await made(service), await made(service, "*:service", name="prometheus")
    assert (await client.get("/metrics")).status_code == 401
    figure = 'milepost_tasks{state="queued",type="export"}'
    assert f"{figure} 0.0" in (await client.get("/metrics", headers=shows(stranger))).text
    assert f"{figure} 1.0" in (await client.get("/metrics", headers=shows(scraper))).text


async def test_a_key_sees_what_its_grants_let_see(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    task = await tasks.start(tenant="acme", owner="ada")
    for name, grant, status in (
        ("ada", "acme:user", 200),
        ("bob", "acme:user", 404),
        ("bob", "acme:member", 200),
        ("ada", "other:admin", 404),
        ("ci", "*:service", 200),
    ):
        secret = await made(service, grant, name=name)
        assert (await client.get(f"/v1/tasks/{task.id}", headers=shows(secret))).status_code == status, (name, grant)


async def test_a_link_to_a_result_needs_no_key(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a,b")
    await made(service)
    link = await service.link(LOCAL, task.id)
    assert (await client.get(f"/results/{link}")).text == "a,b"
    assert (await client.get(f"/results/{link}x")).status_code == 404


async def test_a_key_may_come_from_anywhere_and_a_page_needs_one_too(
    client: httpx2.AsyncClient, service: Service
) -> None:
    secret = await made(service)
    page = {"host": "tasks.example.com", "origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
    start = {"type": "export"}
    assert (await client.post("/v1/tasks", json=start, headers=page)).status_code == 401
    assert (await client.post("/v1/tasks", json=start, headers={**page, **shows(secret)})).status_code == 202


@pytest.fixture
async def elsewhere(tmp_path: Path, service: Service) -> AsyncIterator[Service]:
    """The same store as another process sees it."""
    store = SqliteStore(tmp_path / "milepost.db")
    await store.open()
    yield Service(store, service.files)
    await store.close()


async def test_what_another_process_does_to_keys_counts_at_once(
    client: httpx2.AsyncClient, elsewhere: Service, timer: Timer
) -> None:
    assert (await client.get("/v1/tasks")).status_code == 200
    secret = await made(elsewhere)
    timer.ahead += OPEN_FOR
    assert (await client.get("/v1/tasks")).status_code == 401
    assert (await client.get("/v1/tasks", headers=shows(secret))).status_code == 200
    await elsewhere.keys.revoke(secret.split("_")[1])
    assert (await client.get("/v1/tasks", headers=shows(secret))).status_code == 401
    assert (await client.get("/v1/tasks")).status_code == 401, "a store that once had a key never opens again"


async def test_readiness_says_whether_it_is_open(
    client: httpx2.AsyncClient, app: HttpApp, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await client.get("/readyz")).json()["open_mode"] is True
    assert await app.log_access()
    secret = await made(service)
    assert (await client.get("/readyz")).json()["open_mode"] is False
    await service.keys.revoke(secret.split("_")[1])
    assert (await client.get("/readyz")).json()["open_mode"] is False
    assert not await app.log_access()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "everybody on this machine may do everything" in caplog.text


async def test_keys_can_be_left_out_of_account(service: Service) -> None:
    await made(service)
    async with in_memory(http_app(service, authenticator=OpenMode())) as client:
        assert (await client.get("/v1/tasks")).status_code == 200
        assert (await client.get("/readyz")).json()["open_mode"] is True
        assert (await client.get("/v1/tasks", headers={"host": "evil.example"})).status_code == 421


async def test_who_decides_differently_is_not_open(service: Service) -> None:
    async def decide(request: Request, operation: Operation, credentials: str | None) -> Principal:
        return Principal("ada", "Ada", ())

    app = http_app(service, authenticator=decide)
    assert not await app.is_open()
    async with in_memory(app) as client:
        assert (await client.get("/readyz")).json()["open_mode"] is False


@pytest.mark.parametrize("has_keys", [False, True])
async def test_a_process_lives_though_its_store_can_not_be_asked(
    has_keys: bool, service: Service, timer: Timer
) -> None:
    secret = await made(service) if has_keys else "x"
    async with in_memory(http_app(service)) as client:
        await client.get("/healthz")
        await service.store.close()
        timer.ahead += OPEN_FOR
        for headers in ({}, shows(secret)):
            assert (await client.get("/healthz", headers=headers)).status_code == 200
            timer.ahead += OPEN_FOR
            ready = await client.get("/readyz", headers=headers)
            assert (ready.status_code, ready.json()["open_mode"]) == (503, False)
        assert (await client.get("/v1/tasks", headers=shows(secret))).status_code == 500


class Asked:
    """A dialect that words refusals for whoever asks."""

    name = title = "asked"
    security = BEARER

    def operations(self) -> Sequence[Operation]:
        return [Operation("GET", "/asked", self.refuse), Operation("GET", "/open", self.tell, public=True)]

    async def refuse(self, call: Call[NoQuery, None]) -> Response:
        raise NotFound("No.")

    async def tell(self, call: Call[NoQuery, None]) -> Response:
        return PlainTextResponse(call.principal.name)

    def credentials(self, request: Request) -> str | None:
        return bearer(request)

    def problem(self, error: ServiceError, request: Request) -> Response:
        user = request.scope.get("user")
        return JSONResponse([error.code, user and [user.name, user.profile]])


async def test_a_dialect_knows_who_is_refused_from_the_query_on(service: Service) -> None:
    async with in_memory(http_app(service, Asked())) as client:
        assert json.loads((await client.get("/asked")).content) == ["not-found", ["local", None]]
        _, secret = await service.keys.add("ada", ["acme:user"], profile="python")
        assert (await client.get("/asked?x=1", headers=shows(secret))).json() == ["invalid-request", ["ada", "python"]]
        assert (await client.get("/asked", headers=shows(secret))).json() == ["not-found", ["ada", "python"]]
        assert (await client.get("/asked")).json() == ["unauthenticated", None]
        assert (await client.get("/open")).text == ""
        assert (await client.get("/open", headers=shows(secret))).text == "ada"


async def test_tasks_are_their_starter_s_by_the_name_of_the_key(client: httpx2.AsyncClient, service: Service) -> None:
    secret, second = await made(service), await made(service)
    started = await client.post("/v1/tasks", json={"type": "export"}, headers=shows(secret))
    assert (started.json()["owner"], started.json()["tenant"]) == ("ada", "acme")
    assert (await client.get(started.headers["location"], headers=shows(second))).status_code == 200
    forbidden = await client.post("/v1/tasks", json={"type": "export", "tenant": "other"}, headers=shows(secret))
    assert forbidden.status_code == 403
