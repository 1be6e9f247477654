"""Execution, and what can be downloaded, in the Services API."""

import asyncio
from typing import Any

import httpx2
import msgspec
import pytest

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.http.dialects.services import Services
from milepost.service import Service
from milepost.task import Failure, State
from milepost.times import DAY, HOUR, MINUTE
from milepost.trigger import Trigger
from milepost.update import Update
from tests.http.conftest import Tasks, Watched, http_app, in_memory

from .services_wire import SetClock, created, description
from .wire import raw


@pytest.fixture
def clock() -> SetClock:
    return SetClock("2026-05-26T11:59:00Z")


@pytest.fixture
def app(service: Service) -> HttpApp:
    return http_app(service, Native(), Services())


# Execute.


async def executed(client: httpx2.AsyncClient, service: Watched, tasks: Tasks, *, fails: bool = False) -> Any:
    """The answer to an execution, which a worker brings to its end."""
    waiting = asyncio.create_task(client.post("/tasks/1/execute"))
    async with asyncio.timeout(30):
        await service.begun.acquire()
        running = (await tasks.claim()).task
        if fails:
            await tasks.apply(running, lifecycle.fail, failure=Failure("broken", "It broke."))
        else:
            await tasks.succeed(running)
        response = await waiting
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("fails", [False, True])
async def test_an_execution_answers_with_the_state_at_the_end(
    fails: bool, client: httpx2.AsyncClient, service: Watched, tasks: Tasks, clock: SetClock
) -> None:
    made = await created(client, trigger={"once": "2126-01-01T00:00:00Z"})
    assert made["state"]["code"] == "READY"
    clock.set("2026-05-26T12:00:00Z")
    response = await executed(client, service, tasks, fails=fails)
    assert response.json() == {
        "code": "ERROR" if fails else "DONE",
        "last_run_date": "2026-05-26T12:00:00Z",
        "last_modified": "2026-05-26T12:00:00Z",
        "created_date": "2026-05-26T11:59:00Z",
    }
    assert response.headers["etag"] == '"4-services-state"'
    seen = (await client.get("/tasks/1")).json()
    assert (seen["state"], seen["trigger"]) == (response.json(), made["trigger"])


async def test_a_task_that_has_ended_is_executed_once_more(
    client: httpx2.AsyncClient, service: Watched, tasks: Tasks, clock: SetClock
) -> None:
    await tasks.succeeded()
    clock.set("2026-05-26T12:00:00Z")
    assert (await executed(client, service, tasks, fails=True)).json()["code"] == "ERROR"
    clock.set("2026-05-26T13:00:00Z")
    again = (await executed(client, service, tasks)).json()
    assert (again["code"], again["last_run_date"]) == ("DONE", "2026-05-26T13:00:00Z")


async def test_a_repeating_task_keeps_its_times(
    client: httpx2.AsyncClient, service: Watched, tasks: Tasks, clock: SetClock
) -> None:
    task = await tasks.start(trigger=Trigger(repeat="daily"), run_at=clock() + HOUR)
    await executed(client, service, tasks)
    assert (await service.get(LOCAL, task.id)).next_run_at == clock() + HOUR


async def test_a_task_that_runs_is_waited_for(client: httpx2.AsyncClient, service: Watched, tasks: Tasks) -> None:
    running = await tasks.running()
    waiting = asyncio.create_task(client.post("/tasks/1/execute"))
    async with asyncio.timeout(30):
        await service.begun.acquire()
        await tasks.succeed(running)
        assert (await waiting).json()["code"] == "DONE"


async def test_a_task_that_is_paused_or_blocked_is_not_executed(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    paused, blocked = await tasks.start(), await tasks.start()
    await service.pause(LOCAL, paused.id)
    await service.update(LOCAL, blocked.id, Update(state=State.BLOCKED))
    for number, why in ((1, "A task that is paused can't run now."), (2, "The task is blocked:")):
        response = await client.post(f"/tasks/{number}/execute")
        assert (response.status_code, response.json()["error"]["name"]) == (409, "invalid_task_state")
        assert description(response).startswith(why)


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED])
async def test_what_its_client_carries_out_is_not_executed(
    state: State, client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    task = await tasks.start("agent-task", runner="external", state=state)
    response = await client.post("/tasks/1/execute")
    assert response.status_code == 409
    assert description(response) == "Its client carries this task out; nobody here can run it."
    assert await service.get(LOCAL, task.id) == task


async def test_an_execution_that_takes_too_long_answers_with_the_present_state(service: Service, tasks: Tasks) -> None:
    async with in_memory(http_app(service, Services(execute_wait=0.01))) as client:
        await tasks.start()
        response = await client.post("/tasks/1/execute")
    assert response.json()["code"] == "READY"
    assert response.json()["last_run_date"] is None
    assert response.headers["retry-after"] == "1"


async def test_an_execution_ends_when_the_server_stops(
    app: HttpApp, remote: httpx2.AsyncClient, service: Watched, tasks: Tasks
) -> None:
    await tasks.start()
    waiting = asyncio.create_task(remote.post("/tasks/1/execute"))
    async with asyncio.timeout(30):
        await service.begun.acquire()
        app.stop()
        assert (await waiting).json()["code"] == "READY"


async def test_nobody_waits_for_a_client_that_has_left(
    remote: httpx2.AsyncClient, service: Watched, tasks: Tasks
) -> None:
    task = await tasks.start()
    waiting = asyncio.create_task(remote.post("/tasks/1/execute"))
    async with asyncio.timeout(30):
        await service.begun.acquire()
        waiting.cancel()
        await service.ended.acquire()
    assert (await service.get(LOCAL, task.id)).state is State.QUEUED, "it runs all the same"


async def test_an_execution_may_come_with_a_body(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    async with in_memory(http_app(service, Services(execute_wait=0))) as client:
        await tasks.start()
        for content in (b"", b"{}", b"[]", b"null"):
            headers = {"content-type": "application/json"}
            assert (await client.post("/tasks/1/execute", content=content, headers=headers)).status_code == 200


# Download.


async def test_the_file_of_an_export_has_a_url_without_credentials_for_an_hour(
    client: httpx2.AsyncClient, app: HttpApp, tasks: Tasks, clock: SetClock
) -> None:
    clock.set("2026-05-26T11:59:59Z")
    await tasks.with_file(b"a,b\r\n1,2\r\n", "Wallet_Export-1.csv")
    response = await client.get("/tasks/1/download_url", headers={"authorization": "Bearer id:secret"})
    assert response.status_code == 200
    assert response.json().keys() == {"url"}
    url = response.json()["url"]
    assert url.startswith("http://127.0.0.1:8006/results/")
    unchanged = await client.get("/tasks/1/download_url", headers={"if-none-match": response.headers["etag"]})
    assert unchanged.status_code == 304
    async with in_memory(app) as stranger:
        for ahead, there in ((0, True), (HOUR - 1, True), (HOUR + MINUTE, False)):
            clock.set("2026-05-26T11:59:59Z")
            clock.now += ahead
            file = await stranger.get(url)
            assert file.status_code == (200 if there else 404)
            assert (file.content == b"a,b\r\n1,2\r\n") is there
            if there:
                assert file.headers["content-disposition"] == 'attachment; filename="Wallet_Export-1.csv"'
        later = await client.get("/tasks/1/download_url", headers={"if-none-match": response.headers["etag"]})
        assert later.status_code == 200, "another minute, another URL"
        assert (await stranger.get(later.json()["url"])).content == b"a,b\r\n1,2\r\n"


async def test_p7_a_file_past_its_retention_has_no_url(
    client: httpx2.AsyncClient, tasks: Tasks, clock: SetClock
) -> None:
    await tasks.with_file(b"x")
    clock.now += 7 * DAY - 1
    url = (await client.get("/tasks/1/download_url")).json()["url"]
    clock.now += 1
    assert (await client.get(url)).status_code == 404
    response = await client.get("/tasks/1/download_url")
    assert (response.status_code, response.json()["error"]["name"]) == (410, "result_expired")


async def test_a_file_has_a_url_only_once_its_export_is_done(
    client: httpx2.AsyncClient, tasks: Tasks, service: Service
) -> None:
    await tasks.start()
    early = await client.get("/tasks/1/download_url")
    assert (early.status_code, early.json()["error"]["name"], early.headers["retry-after"]) == (
        409,
        "no_result_yet",
        "2",
    )
    await tasks.claim()
    assert (await client.get("/tasks/1/download_url")).json()["error"]["name"] == "no_result_yet"
    failed = await tasks.start()
    await service.cancel(LOCAL, failed.id)
    late = await client.get("/tasks/2/download_url")
    assert (late.status_code, description(late)) == (409, "The task ended with state ERROR, and has no file.")


@pytest.mark.parametrize("value", [None, {"a": 1}, "x" * (64 << 10)])
async def test_what_is_no_file_has_no_url(value: Any, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.succeeded(raw(value))
    await tasks.succeeded()
    for number in (1, 2):
        response = await client.get(f"/tasks/{number}/download_url")
        assert (response.status_code, description(response)) == (409, "The task made no file.")


async def test_only_what_is_to_be_downloaded_has_a_url(service: Service, tasks: Tasks) -> None:
    await tasks.with_file(b"x")
    (info,) = await service.types()
    await service.store.publish_types([msgspec.structs.replace(info, name="bulk-report")])
    for downloadable, status in ((("report",), 409), (("bulk report", "export"), 200), ((), 409)):
        async with in_memory(http_app(service, Services(downloadable=downloadable))) as client:
            assert (await client.get("/tasks/1/download_url")).status_code == status
