"""Starts, and where the task that was started is found."""

import asyncio
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost.http.app import HttpApp
from tests.http.conftest import Tasks, Watched, in_memory

from .wire import MICROSECONDS, post, raw


async def test_p1_a_started_task_is_readable_at_once(client: httpx2.AsyncClient) -> None:
    response = await post(client, {"type": "export", "input": {"export_index": "wallet-ledger"}})
    assert response.status_code == 202
    assert response.headers["retry-after"] == "1"
    started = response.json()
    assert response.headers["location"] == f"/v1/tasks/{started['id']}"
    read = await client.get(response.headers["location"])
    assert read.status_code == 200
    assert read.json() == started
    assert read.headers["etag"] == response.headers["etag"] == '"1-native"'


async def test_all_that_a_start_says_stands_in_the_record(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    other = await tasks.start(tenant="1764")
    body = {
        "type": "export",
        "input": {"rows": 5},
        "title": "T",
        "description": "D",
        "tenant": "1764",
        "owner": "bob",
        "list_id": "L",
        "assignee": "ann",
        "metadata": {"a": [1]},
        "run_at": "2126-01-01T02:00:00+02:00",
        "priority": -5,
        "timeout": "1m30s",
        "start_by": "2126-01-02T00:00:00Z",
        "depends_on": [other.id.replace("-", "").upper()],
        "on_dependency_failure": "run",
        "max_attempts": 3,
        "unique_key": "U",
        "runner": "process",
    }
    record = (await post(client, body, idempotency_key="k")).json()
    expected = body | {
        "run_at": "2126-01-01T00:00:00.000000Z",
        "start_by": "2126-01-02T00:00:00.000000Z",
        "timeout": 90,
        "depends_on": [other.id],
    }
    del expected["input"]
    assert {name: record[name] for name in expected} == expected
    assert record["blocked_by"] == [other.id]
    assert record["state"] == "blocked"


@pytest.mark.parametrize(
    ("trigger", "shown"),
    [
        ({"once": "2126-01-01T00:00:00Z"}, {"once": "2126-01-01T00:00:00.000000Z", "timezone": "UTC"}),
        ({"every": "1h30m"}, {"every": 5400, "timezone": "UTC"}),
        ({"every": 1.5}, {"every": 1.5, "timezone": "UTC"}),
        ({"repeat": "daily", "timezone": "Europe/Vienna"}, {"repeat": "daily", "timezone": "Europe/Vienna"}),
        ({"cron": "0 3 * * *"}, {"cron": "0 3 * * *", "timezone": "UTC"}),
    ],
)
async def test_a_trigger_is_shown_as_it_was_said(trigger: Any, shown: Any, client: httpx2.AsyncClient) -> None:
    record = (await post(client, {"type": "export", "trigger": trigger})).json()
    assert record["trigger"] == shown
    assert MICROSECONDS.fullmatch(record["run_at"])
    again = await post(client, {"type": "export", "trigger": record["trigger"]})
    assert again.status_code == 202, "what is shown can be said"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/type"]),
        ({"type": "nothing"}, ["/type"]),
        ({"type": "export", "color": "red"}, ["/color"]),
        ({"type": "export", "input": []}, ["/input"]),
        ({"type": "export", "input": {"export_index": 1, "rows": "x"}}, ["/input/export_index", "/input/rows"]),
        ({"type": "export", "input": {"a/b~c": 1}}, ["/input/a~1b~0c"]),
        ({"type": "export", "run_at": "tomorrow"}, ["/run_at"]),
        ({"type": "export", "timeout": "soon"}, ["/timeout"]),
        ({"type": "export", "timeout": -1}, ["/timeout"]),
        ({"type": "export", "priority": 1.5}, ["/priority"]),
        ({"type": "export", "depends_on": ["x"]}, ["/depends_on/0"]),
        ({"type": "export", "depends_on": ["0" * 32]}, ["/depends_on/0"]),
        ({"type": "export", "trigger": {}}, ["/trigger"]),
        ({"type": "export", "trigger": {"every": "1ms"}}, ["/trigger/every"]),
        ({"type": "export", "trigger": {"every": "x"}}, ["/trigger/every"]),
        ({"type": "export", "trigger": {"cron": "x"}}, ["/trigger/cron"]),
        ({"type": "export", "trigger": {"every": 60, "cron": "* * * * *"}}, ["/trigger"]),
        ({"type": "export", "trigger": {"cron": "* * * * *", "timezone": "Mars"}}, ["/trigger/timezone"]),
        ({"type": "export", "trigger": {"sometimes": 1}}, ["/trigger/sometimes"]),
        ({"type": "export", "runner": "loop", "lease_seconds": 5}, ["/lease_seconds"]),
        ({"type": "export", "state": "running"}, ["/state"]),
        ({"type": "export", "runner": "external", "state": "failed"}, ["/state"]),
        ({"type": "export", "runner": "external", "input": {"row": 1}}, ["/input/row"]),
    ],
)
async def test_all_that_is_wrong_with_a_start_is_pointed_at(
    body: Any, pointers: list[str], client: httpx2.AsyncClient
) -> None:
    response = await post(client, body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in response.json()["errors"]] == pointers


async def test_a_unique_key_is_refused_while_its_task_is_not_finished(client: httpx2.AsyncClient) -> None:
    first = (await post(client, {"type": "export", "unique_key": "U"})).json()
    second = await post(client, {"type": "export", "unique_key": "U"})
    assert second.status_code == 409
    assert second.json()["task"] == first["id"]


async def test_p9_a_key_stands_for_one_task(client: httpx2.AsyncClient) -> None:
    body = {"type": "export", "input": {"rows": 1, "export_index": "a"}}
    first = await post(client, body, idempotency_key="k1")
    again = await post(client, {"input": {"export_index": "a", "rows": 1}, "type": "export"}, idempotency_key="k1")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = await post(client, {"type": "export", "input": {"rows": 2}}, idempotency_key="k1")
    assert other.status_code == 422
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    assert (await post(client, body)).json()["id"] != first.json()["id"]
    assert (await client.get("/v1/tasks")).json()["tasks"][1]["id"] == first.json()["id"]


async def test_p9_a_key_whose_task_was_deleted_is_gone(client: httpx2.AsyncClient) -> None:
    task = (await post(client, {"type": "export"}, idempotency_key="k")).json()
    await client.post(f"/v1/tasks/{task['id']}/cancel")
    again = await post(client, {"type": "export"}, idempotency_key="k")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")
    await client.delete(f"/v1/tasks/{task['id']}")
    assert (await post(client, {"type": "export"}, idempotency_key="k")).status_code == 410


async def test_p9_calls_at_once_with_one_key_start_one_task(client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(post(client, {"type": "export"}, idempotency_key="k") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await client.get("/v1/tasks")).json()["tasks"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_a_length(key: str, client: httpx2.AsyncClient) -> None:
    response = await post(client, {"type": "export"}, idempotency_key=key)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"


async def test_a_start_can_wait_for_the_end(remote: httpx2.AsyncClient, tasks: Tasks, service: Watched) -> None:
    waiting = asyncio.create_task(post(remote, {"type": "export"}, prefer="wait=10"))
    async with asyncio.timeout(10):
        await service.begun.acquire()
    running = (await tasks.claim()).task
    await tasks.succeed(running, raw({"rows": 1}))
    response = await waiting
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=10"
    assert response.headers["location"] == f"/v1/tasks/{running.id}"
    assert response.json()["result"] == {"rows": 1}


async def test_a_start_that_has_waited_long_enough_answers_with_what_there_is(client: httpx2.AsyncClient) -> None:
    response = await post(client, {"type": "export"}, prefer="respond-async, wait=0")
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "wait=0"


# Where it is.


async def test_urls_lead_to_where_it_is_mounted(app: HttpApp, tasks: Tasks) -> None:
    done = await tasks.with_file(b"content")
    async with in_memory(Starlette(routes=[Mount("/operations", app)])) as client:
        started = await client.post("/operations/v1/tasks", json={"type": "export"})
        assert (await client.get(started.headers["location"])).json()["id"] == started.json()["id"]
        record = (await client.get(f"/operations/v1/tasks/{done.id}")).json()
        assert record["result"]["url"] == f"/operations/v1/tasks/{done.id}/result"
        assert (await client.get(record["result"]["url"])).content == b"content"


async def test_a_url_is_written_as_a_url(app: HttpApp, tasks: Tasks) -> None:
    async with in_memory(Starlette(routes=[Mount("/opérations de nuit", app)])) as client:
        started = await client.post("/opérations de nuit/v1/tasks", json={"type": "export"})
        assert started.headers["location"].startswith("/op%C3%A9rations%20de%20nuit/v1/tasks/")
        assert (await client.get(started.headers["location"])).status_code == 200
