"""Who takes more than its share is refused, in the words of its dialect, and everybody else is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from milepost.access.limits import Limits
from milepost.access.principal import ANONYMOUS, LOCAL, Grant, Principal, Role
from milepost.errors import TooMany
from milepost.http.app import HttpApp
from milepost.http.dialects.known import NAMES, dialects
from milepost.http.throttle import Throttle
from milepost.service import Service
from milepost.store.protocol import TypeInfo
from milepost.times import SECOND

from .conftest import EXPORT, Tasks, Watched, http_app, in_memory, served
from .dialects.addresses import TENANT, paths

ADA = Principal("ada", "Ada", (Grant("acme", Role.USER),))
KEY = "mp_0123456789abcdef_" + "5" * 64
OTHER = "mp_fedcba9876543210_" + "5" * 64


def still() -> int:
    return 0


def test_a_key_is_counted_and_not_its_holder() -> None:
    throttle = Throttle(Limits(requests=1, burst=1), still)
    throttle.share(ADA, KEY)
    throttle.share(ADA, OTHER)
    with pytest.raises(TooMany, match="This key may make 1 requests a second"):
        throttle.share(ADA, KEY)


def test_who_is_known_in_another_way_is_counted_by_name() -> None:
    throttle = Throttle(Limits(requests=1, burst=1), still)
    for credentials in (None, "a token", "another token"):
        if credentials is None:
            throttle.share(ADA, credentials)
        else:
            with pytest.raises(TooMany):
                throttle.share(ADA, credentials)
    throttle.share(LOCAL, None)


def test_nobody_in_particular_is_not_refused() -> None:
    throttle = Throttle(Limits(requests=1, burst=1), still)
    for _ in range(10):
        throttle.share(ANONYMOUS, KEY)


async def test_who_asks_too_often_is_told_when_to_come_back(service: Service) -> None:
    _, ada = await service.keys.add("ada", ["acme:user"])
    _, bob = await service.keys.add("bob", ["acme:user"])
    async with in_memory(http_app(service, limits=Limits(requests=1, burst=3))) as client:
        headers = {"authorization": f"Bearer {ada}"}
        for _ in range(3):
            assert (await client.get("/v1/tasks", headers=headers)).status_code == 200
        answer = await client.get("/v1/tasks", headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.json() == {
            "type": "/problems/too-many-requests",
            "title": "Too much at once",
            "status": 429,
            "detail": "This key may make 1 requests a second; wait a little.",
        }
        assert (await client.get("/v1/tasks", headers={"authorization": f"Bearer {bob}"})).status_code == 200
        for shown in ({}, headers, headers):
            assert (await client.get("/healthz", headers=shown)).status_code == 200


@pytest.mark.parametrize("caller", [None, "coins@wallets"])
@pytest.mark.parametrize("name", NAMES)
async def test_where_no_key_is_asked_for_none_has_a_share_of_its_own(
    name: str, caller: str | None, service: Service, tasks: Tasks
) -> None:
    """Whatever is shown there may be made up."""
    task = await tasks.start(tenant=TENANT)
    path = (await paths(service, task))[name]
    limits = Limits(requests=1, burst=2)
    async with in_memory(http_app(service, *dialects(caller=caller), limits=limits)) as client:
        shown = [{"authorization": f"Bearer {key}"} for key in (KEY, OTHER)]
        statuses = [(await client.get(path, headers=headers)).status_code for headers in (*shown, {}, *shown)]
        assert [status == 429 for status in statuses] == [False, False, True, True, True]


WORDS: dict[str, Any] = {
    "native": lambda body: body["detail"],
    "metavault": lambda body: (body["title"], body["type"], body["detail"]),
    "services": lambda body: (body["error"]["code"], body["error"]["name"], body["error"]["description"]),
    "aparavi": lambda body: (body["status"], body["error"], body["message"]),
    "cloudcoin": lambda body: (body["status"], body["payload"]["status"], body["payload"]["message"]),
    "quant": lambda body: (body["error"], body["message"]),
}
TOLD = "This key may make 1 requests a second; wait a little."
REFUSALS: dict[str, Any] = {
    "native": TOLD,
    "metavault": ("Too Many Requests", "https://tools.ietf.org/html/rfc6585#section-4", TOLD),
    "services": (17, "too_many_requests", TOLD),
    "aparavi": ("Error", "Too much at once", TOLD),
    "cloudcoin": ("error", "running", TOLD),
    "quant": ("TOO_MANY_REQUESTS", TOLD),
}


@pytest.mark.parametrize("name", NAMES)
async def test_each_dialect_has_its_words_for_it(name: str, service: Service, tasks: Tasks) -> None:
    task = await tasks.start(tenant=TENANT)
    path = (await paths(service, task))[name]
    async with in_memory(http_app(service, *dialects(), limits=Limits(requests=1, burst=1))) as client:
        assert (await client.get(path)).status_code == 200
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert WORDS[name](answer.json()) == REFUSALS[name]


async def test_a_command_that_is_refused_is_over_to_cloudcoin_s_pollers(service: Service) -> None:
    async with in_memory(http_app(service, *dialects(["cloudcoin"]), limits=Limits(requests=1, burst=1))) as client:
        started = await client.post("/api/v1/export", json={})
        assert started.json()["payload"]["status"] == "running"
        answer = await client.post("/api/v1/export", json={})
        assert answer.json()["payload"]["status"] == "error"
        assert answer.headers["retry-after"] == "1"


STARTS: dict[str, tuple[str, str, Any]] = {
    "native": ("POST", "/v1/tasks", {"type": "export", "tenant": TENANT}),
    "services": (
        "POST",
        "/tasks",
        {"chain": int(TENANT), "desc": "x", "target": {"action": "export"}, "trigger": {}},
    ),
    "aparavi": ("PUT", "/task", {"pipeline": {"components": [{"provider": "webhook", "config": {}}]}}),
    "cloudcoin": ("POST", "/api/v1/export", {}),
    "quant": ("POST", f"/api/v3/organizations/{TENANT}/ai/tasks", {"title": "x"}),
}


@pytest.mark.parametrize("name", STARTS)
async def test_a_full_tenant_is_told_so_in_every_dialect(name: str, service: Service, tasks: Tasks) -> None:
    async def admit(tenant: str) -> None:
        raise TooMany(f"The tenant {tenant!r} is full.", retry_after=5)

    await tasks.store.publish_types([TypeInfo("pipeline", "loop", {"type": "object"}), EXPORT])
    service.starts._quota.admit = admit  # type: ignore[method-assign]
    async with in_memory(http_app(service, *dialects())) as client:
        method, path, body = STARTS[name]
        answer = await client.request(method, path, json=body)
        assert answer.status_code == 429, answer.text
        assert answer.headers["retry-after"] == "5"


AGAIN: dict[str, tuple[str, str, Any]] = {
    "native": ("POST", "/v1/tasks/{id}/retry", None),
    "services": ("POST", f"/tasks/{{number}}/execute?chain={TENANT}", None),
    "quant": ("PUT", f"/api/v3/organizations/{TENANT}/ai/tasks/{{id}}", {"status": "pending"}),
}


@pytest.mark.parametrize("name", AGAIN)
async def test_so_is_who_lets_a_task_of_it_begin_again(name: str, service: Service, tasks: Tasks) -> None:
    async def admit(tenant: str) -> None:
        raise TooMany(f"The tenant {tenant!r} is full.", retry_after=5)

    task = await tasks.start(tenant=TENANT)
    await service.cancel(LOCAL, task.id)
    service.starts._quota.admit = admit  # type: ignore[method-assign]
    async with in_memory(http_app(service, *dialects())) as client:
        method, path, body = AGAIN[name]
        answer = await client.request(method, path.format(id=task.id, number=task.number), json=body)
        assert answer.status_code == 429, answer.text
        assert answer.headers["retry-after"] == "5"
        assert "is full" in answer.text


@asynccontextmanager
async def waiting(client: httpx2.AsyncClient, service: Watched, path: str) -> AsyncIterator[None]:
    """While a request waits."""
    request = asyncio.create_task(client.get(path))
    async with asyncio.timeout(20):
        await service.begun.acquire()
    try:
        yield
    finally:
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)


async def test_so_many_wait_at_once(service: Watched, tasks: Tasks) -> None:
    task = await tasks.start()
    path = f"/v1/tasks/{task.id}?wait=50"
    app = http_app(service, limits=Limits(open_per_key=2))
    async with in_memory(app) as client:
        async with waiting(client, service, path):
            async with waiting(client, service, path):
                for refused in (path, f"/v1/tasks/{task.id}/logs?wait=50&after=99", f"/v1/tasks/{task.id}/events"):
                    answer = await client.get(refused)
                    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5"), refused
                assert (await client.get(f"/v1/tasks/{task.id}")).status_code == 200
            async with waiting(client, service, path):
                pass
        assert app._throttle._places.open == 0


async def test_so_many_streams_are_open_at_once(service: Watched, tasks: Tasks) -> None:
    task = await tasks.start()
    path = f"/v1/tasks/{task.id}/events"
    app = HttpApp(lambda: service, dialects(["native"]), limits=Limits(open=1))
    async with served(app, app.stop) as url, httpx2.AsyncClient(base_url=url, timeout=10) as client:
        async with client.stream("GET", path) as stream:
            pieces = stream.aiter_raw()
            assert await anext(pieces)
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (
                429,
                "This server has as many waits and streams open as it may.",
            )
            assert (await client.post("/v1/tasks:batch", content=b"", headers=NDJSON)).status_code == 429
            assert (await client.head(path)).status_code == 429
        await tasks.service.cancel(LOCAL, task.id)
        async with asyncio.timeout(20):
            while app._throttle._places.open:  # until the server has heard that the client left
                await asyncio.sleep(0)
        assert (await client.get(path)).status_code == 200
        assert (await client.head(path)).status_code == 200
        assert app._throttle._places.open == 0


NDJSON = {"content-type": "application/x-ndjson"}


@pytest.mark.parametrize("path", ["?wait=50", "/logs?after=99&wait=50"])
async def test_nobody_waits_longer_than_the_server_lets_it(path: str, service: Watched, tasks: Tasks) -> None:
    service.limits = Limits(wait=1)
    asked: list[int] = []
    wait = service.store.wait

    async def noted(id: str, *, version: int, timeout: int) -> None:
        asked.append(timeout)
        await wait(id, version=version, timeout=timeout)

    service.store.wait = noted  # type: ignore[method-assign]
    task = await tasks.start()
    async with in_memory(http_app(service)) as client:
        assert (await client.get(f"/v1/tasks/{task.id}{path}")).status_code == 200
    assert 0 < sum(asked) < 2 * SECOND, "one wait, and what its rounding leaves"


async def test_a_page_has_so_many_tasks(service: Service, tasks: Tasks) -> None:
    service.limits = Limits(page=2)
    ids = [(await tasks.start(tenant=TENANT)).id for _ in range(5)]
    async with in_memory(http_app(service, *dialects())) as client:
        first = (await client.get("/v1/tasks?limit=200")).json()
        assert [task["id"] for task in first["tasks"]] == ids[:2:-1]
        rest = (await client.get(f"/v1/tasks?limit=200&after={first['next']}")).json()
        assert [task["id"] for task in rest["tasks"]] == ids[2:0:-1]
        listed = (await client.get(f"/api/v3/organizations/{TENANT}/ai/tasks?limit=100")).json()
        assert listed["count"] == 5
        assert len((await client.get(f"/tasks?chain={TENANT}&limit=100")).json()) == 5


async def test_bodies_are_as_large_and_as_deep_as_they_may(service: Service) -> None:
    async with in_memory(http_app(service, *dialects(), limits=Limits(body=100, depth=5))) as client:
        large = await client.post("/v1/tasks", json={"type": "export", "title": "x" * 100})
        assert (large.status_code, large.json()["detail"]) == (413, "The body may have up to 100 bytes.")
        deep = await client.post("/v1/tasks", json={"type": "export", "metadata": {"a": [[[[]]]]}})
        assert (deep.status_code, deep.json()["detail"]) == (400, "The body is nested more than 5 deep.")
        lines = b'{"type": "export"}\n{"type": "export", "title": "' + b"x" * 100 + b'"}\n'
        told = (await client.post("/v1/tasks:batch", content=lines, headers=NDJSON)).text.splitlines()
        assert ['"status":413' in line for line in told] == [False, True]
        for method, path in (
            ("POST", "/tasks"),
            ("PUT", "/task"),
            ("POST", "/api/v1/export"),
            ("POST", f"/api/v3/organizations/{TENANT}/ai/tasks"),
        ):
            answer = await client.request(method, path, json={"x": "x" * 100})
            assert answer.status_code == 413, path
            assert "The body may have up to 100 bytes." in answer.text


@pytest.mark.parametrize("name", NAMES)
async def test_every_dialect_slows_down_who_polls_what_takes_long(
    name: str, service: Service, tasks: Tasks, clock: Any
) -> None:
    task = await tasks.running(tenant=TENANT)
    path = (await paths(service, task))[name]
    async with in_memory(http_app(service, *dialects())) as client:
        for age, expected in ((0, "1"), (15, "1"), (45, "4"), (600, "10")):
            clock.ahead = age * SECOND
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (200, expected)
            unchanged = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
            assert (unchanged.status_code, unchanged.headers["retry-after"]) == (304, expected)
