"""Lists of tasks, of a log's entries, of types."""

import asyncio
from typing import Any

import httpx2
import pytest

from milepost.access.principal import LOCAL
from milepost.service import Service
from milepost.store.protocol import TypeInfo
from tests.http.conftest import Tasks, Watched

from .wire import MICROSECONDS


async def test_tasks_are_listed_newest_first_page_by_page(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    ids = [(await tasks.start()).id for _ in range(5)]
    seen: list[str] = []
    page: dict[str, Any] = {}
    after = ""
    for expected in (2, 2, 1):
        page = (await client.get(f"/v1/tasks?limit=2{after}")).json()
        assert len(page["tasks"]) == expected
        seen += [task["id"] for task in page["tasks"]]
        after = f"&after={page['next']}"
    assert page["next"] is None
    assert seen == ids[::-1]


async def test_lists_are_filtered(client: httpx2.AsyncClient, tasks: Tasks, service: Service) -> None:
    parent = await tasks.start(tenant="a", owner="ann", list_id="L")
    child = await tasks.start("agent-work", runner="external", parent=parent.id, tenant="a", assignee="bob")
    done = await service.cancel(LOCAL, (await tasks.start()).id)
    queries = {
        "tenant=a": [child, parent],
        "tenant=default": [done],
        "owner=ann": [parent],
        "list=L": [parent],
        "type=agent-work": [child],
        "assignee=bob": [child],
        f"parent={parent.id.replace('-', '')}": [child],
        "state=cancelled": [done],
        "state=cancelled,queued&limit=200": [done, child, parent],
        "state=cancelled&state=queued": [done, child, parent],
        "state=failed": [],
        "type=export&state=queued": [parent],
        "": [done, child, parent],
    }
    for query, expected in queries.items():
        page = (await client.get(f"/v1/tasks?{query}")).json()
        assert [task["id"] for task in page["tasks"]] == [task.id for task in expected], query


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("after=nonsense", "after"),
        ("state=done", "state"),
        ("parent=x", "parent"),
        ("page=2", "page"),
    ],
)
async def test_a_wrong_parameter_of_a_list_is_named(query: str, parameter: str, client: httpx2.AsyncClient) -> None:
    response = await client.get(f"/v1/tasks?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == parameter


async def test_a_log_is_read_by_cursor(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.running()
    await tasks.report(running, "one", "two", "three")
    url = f"/v1/tasks/{running.id}/logs"
    log = (await client.get(url)).json()
    assert [entry["seq"] for entry in log["entries"]] == [1, 2, 3, 4, 5]
    first, second, *_ = log["entries"]
    assert (first["kind"], first["from"], first["to"]) == ("state", None, "queued")
    assert (second["from"], second["to"], second["attempt"]) == ("queued", "running", 1)
    assert MICROSECONDS.fullmatch(first["time"])
    assert log["entries"][2]["message"] == "one"
    assert log["next"] == 5
    page = (await client.get(f"{url}?after=2&limit=2")).json()
    assert [entry["message"] for entry in page["entries"]] == ["one", "two"]
    assert page["next"] == 4
    assert (await client.get(f"{url}?after=9")).json() == {"entries": [], "next": 9}


async def test_a_log_can_be_waited_for(remote: httpx2.AsyncClient, tasks: Tasks, service: Watched) -> None:
    running = await tasks.running()
    url = f"/v1/tasks/{running.id}/logs?after=2&wait=30"
    waiting = asyncio.create_task(remote.get(url))
    await service.begun.acquire()
    await tasks.report(running, progress=0.5)
    await service.begun.acquire()
    await tasks.report(running, "at last")
    assert [entry["message"] for entry in (await waiting).json()["entries"]] == ["at last"]
    done = await tasks.succeed(running)
    end = f"/v1/tasks/{running.id}/logs?after={done.log_seq}&wait=60"
    assert (await remote.get(end)).json() == {"entries": [], "next": done.log_seq}, "nothing more will come"
    fresh = await tasks.start()
    assert (await remote.get(f"/v1/tasks/{fresh.id}/logs?after=1&wait=0.05")).json()["entries"] == []


async def test_types_are_listed_with_their_schema_and_options(client: httpx2.AsyncClient, service: Service) -> None:
    await service.store.publish_types([TypeInfo("backup", "process", {"type": "object"}, concurrency=2)])
    backup, export = (await client.get("/v1/types")).json()["types"]
    assert export["name"] == "export"
    assert export["description"] == "Writes an index as a file."
    assert export["schema"]["properties"]["rows"] == {"type": "integer"}
    assert (export["runner"], export["max_attempts"], export["timeout"]) == ("loop", 2, 1800)
    assert (backup["concurrency"], backup["timeout"], backup["keep_result"]) == (2, None, None)
