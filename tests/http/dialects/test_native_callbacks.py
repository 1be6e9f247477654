"""Callbacks in the native API: how they are asked for, what is shown of them, what they say."""

from typing import Any

import httpx2
import msgspec
import pytest

from milepost import times
from milepost.calling import callback_body
from milepost.store.callbacks import Tried
from milepost.times import SECOND
from tests.http.conftest import Tasks

URL = "https://hooks.test/ends?x=1"


async def shown(client: httpx2.AsyncClient, task_id: str) -> Any:
    response = await client.get(f"/v1/tasks/{task_id}/callbacks")
    assert response.status_code == 200
    return response.json()


async def test_a_start_names_who_is_told(client: httpx2.AsyncClient) -> None:
    task = (await client.post("/v1/tasks", json={"type": "export", "callback": URL})).json()
    assert await shown(client, task["id"]) == {"url": URL, "callbacks": []}
    assert URL not in (await client.get(f"/v1/tasks/{task['id']}")).text


async def test_so_does_each_line_of_many(client: httpx2.AsyncClient) -> None:
    line = msgspec.json.encode({"type": "export", "callback": URL})
    response = await client.post("/v1/tasks:batch", content=line, headers={"content-type": "application/x-ndjson"})
    assert (await shown(client, msgspec.json.decode(response.content)["task"]["id"]))["url"] == URL


async def test_another_callback_is_another_request(client: httpx2.AsyncClient) -> None:
    for callback, status in ((URL, 202), (URL, 202), (URL + "2", 422), (None, 422)):
        body = {"type": "export", "callback": callback}
        response = await client.post("/v1/tasks", json=body, headers={"idempotency-key": "k"})
        assert response.status_code == status


async def test_what_can_not_be_called_is_pointed_at(client: httpx2.AsyncClient) -> None:
    response = await client.post("/v1/tasks", json={"type": "export", "callback": "mailto:ada@example.org"})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/callback"]


async def test_each_end_is_shown_with_what_came_of_it(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded(callback=URL)
    (one,) = (await shown(client, task.id))["callbacks"]
    ended_at = times.to_rfc3339(task.finished_at or 0)
    assert one == {
        "id": f"{task.id}_{task.version}",
        "state": "pending",
        "ended_at": ended_at,
        "attempts": 0,
        "next_try_at": ended_at,
        "delivered_at": None,
        "status": None,
        "error": None,
    }
    now = tasks.service.clock()
    await tasks.store.callbacks.claim(now=now, until=now, limit=1)
    await tasks.store.callbacks.settle([Tried(one["id"], 1, 500, "Broken.", next_try_at=now + SECOND)])
    (later,) = (await shown(client, task.id))["callbacks"]
    more = {"attempts": 1, "next_try_at": times.to_rfc3339(now + SECOND), "status": 500, "error": "Broken."}
    assert later == one | more
    await tasks.store.callbacks.settle([Tried(one["id"], 1, 200, delivered_at=now)])
    (last,) = (await shown(client, task.id))["callbacks"]
    done = {
        "state": "delivered",
        "attempts": 1,
        "next_try_at": None,
        "status": 200,
        "delivered_at": times.to_rfc3339(now),
    }
    assert last == one | done


@pytest.mark.parametrize("task_id", ["0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40", "x"])
async def test_of_no_task_there_are_none(client: httpx2.AsyncClient, task_id: str) -> None:
    assert (await client.get(f"/v1/tasks/{task_id}/callbacks")).status_code == 404


async def test_what_is_told_is_the_record_as_it_is_read(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded(callback=URL, title="Nightly")
    assert msgspec.json.decode(callback_body(task)) == {
        "type": "task.succeeded",
        "timestamp": times.to_rfc3339(task.finished_at or 0),
        "data": (await client.get(f"/v1/tasks/{task.id}")).json(),
    }


@pytest.mark.parametrize(("public_url", "server"), [(None, ""), ("https://example.com/ops",) * 2])
async def test_its_url_is_one_that_the_receiver_can_ask(public_url: str | None, server: str, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a,b\n", callback=URL)
    record = msgspec.json.decode(callback_body(task, public_url))["data"]
    assert record["result"]["url"] == f"{server}/v1/tasks/{task.id}/result"
