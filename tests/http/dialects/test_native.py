import asyncio
import re
import subprocess
import sys
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost import lifecycle, times
from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.service import Service
from milepost.store.protocol import TypeInfo
from milepost.task import Counts, Failure, JsonResult, Task
from milepost.times import DAY, HOUR, MINUTE, SECOND
from milepost.trigger import Trigger
from tests.http.conftest import Clock, Tasks, Watched, in_memory

MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
INSIDE = {
    *("epoch", "worker", "lease_seconds", "leased_until", "continues", "held", "has_succeeded"),
    *("keep_result", "keep_record", "log_seq", "log_bytes", "log_dropped"),
}


async def post(client: httpx2.AsyncClient, body: Any, **headers: str) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/tasks", json=body, headers=sent)


def raw(value: Any) -> JsonResult:
    encoded = msgspec.json.encode(value)
    return JsonResult(len(encoded), msgspec.Raw(encoded))


# Starting.


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


# Reading.


async def test_every_field_but_those_inside_and_the_cold_ones_is_always_there(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    record = (await client.get(f"/v1/tasks/{(await tasks.start()).id}")).json()
    assert record.keys() == {*Task.__struct_fields__} - INSIDE | {"result_is_link"}


@pytest.mark.parametrize("form", [str.upper, str.lower, lambda text: text.replace("-", "")])
async def test_an_id_is_read_in_every_published_form(form: Any, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    assert (await client.get(f"/v1/tasks/{form(task.id)}")).json()["id"] == task.id


@pytest.mark.parametrize("task_id", ["0" * 32, "x", "1", "%20", "0" * 5000])
async def test_an_unknown_task_is_not_found(task_id: str, client: httpx2.AsyncClient) -> None:
    for method, path in [("GET", ""), ("GET", "/logs"), ("GET", "/result"), ("POST", "/cancel"), ("DELETE", "")]:
        response = await client.request(method, f"/v1/tasks/{task_id}{path}")
        assert response.status_code == 404
        assert response.json()["type"] == "/problems/not-found"


async def test_times_have_microseconds(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded(raw(1))
    record = (await client.get(f"/v1/tasks/{task.id}")).json()
    for name in ("created_at", "updated_at", "started_at", "finished_at", "result_expires_at", "expires_at"):
        assert times.from_rfc3339(record[name]) == getattr(task, name)
        assert MICROSECONDS.fullmatch(record[name])


async def test_p4_an_etag_names_the_version(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.running()
    first = await client.get(f"/v1/tasks/{running.id}")
    same = await client.get(f"/v1/tasks/{running.id}", headers={"if-none-match": first.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    await tasks.report(running, progress=0.5)
    changed = await client.get(f"/v1/tasks/{running.id}", headers={"if-none-match": first.headers["etag"]})
    assert (changed.status_code, changed.headers["etag"]) == (200, f'"{running.version + 1}-native"')


async def test_the_cold_parts_are_shown_when_asked_for(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.running(input={"rows": 5})
    running = await tasks.apply(running, lifecycle.report, report=lifecycle.Report(checkpoint=b'{"row": 7}'))
    failed = await tasks.apply(running, lifecycle.fail, failure=Failure("c", "m"), traceback="Traceback …")
    response = await client.get(f"/v1/tasks/{failed.id}?include=input,checkpoint&include=traceback")
    record = response.json()
    assert (record["input"], record["checkpoint"], record["traceback"]) == ({"rows": 5}, {"row": 7}, "Traceback …")
    assert record["failure"] == {"code": "c", "message": "m"}
    assert response.headers["etag"] == f'"{failed.version}-native-include=checkpoint,input,traceback"'
    assert (await client.get(f"/v1/tasks/{failed.id}?include=everything")).status_code == 422
    fresh = await tasks.start()
    assert (await client.get(f"/v1/tasks/{fresh.id}?include=checkpoint")).json()["checkpoint"] is None


@pytest.mark.parametrize(
    ("age", "hint"), [(0, "1"), (19 * SECOND, "1"), (30 * SECOND, "3"), (MINUTE, "6"), (HOUR, "10")]
)
async def test_asking_again_makes_sense_the_later_the_longer_it_runs(
    age: int, hint: str, client: httpx2.AsyncClient, tasks: Tasks, clock: Clock
) -> None:
    running = await tasks.running()
    clock.ahead = age
    response = await client.get(f"/v1/tasks/{running.id}")
    assert response.headers["retry-after"] == hint
    clock.ahead = 0
    await tasks.succeed(running)
    assert "retry-after" not in (await client.get(f"/v1/tasks/{running.id}")).headers


# Waiting.


async def test_a_wait_ends_with_the_next_change(remote: httpx2.AsyncClient, tasks: Tasks, service: Watched) -> None:
    running = await tasks.running()
    url = f"/v1/tasks/{running.id}?wait=30&version={running.version}"
    waiting = asyncio.create_task(remote.get(url))
    await service.begun.acquire()
    reported = await tasks.report(running, progress=0.5)
    assert (await waiting).json()["progress"] == 0.5
    assert (await remote.get(url)).json()["version"] == reported.version, "what has changed already is told at once"


async def test_a_wait_ends_with_its_time(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    response = await client.get(f"/v1/tasks/{task.id}?wait=0.05", headers={"if-none-match": '"1-native"'})
    assert response.status_code == 304


async def test_nobody_waits_for_a_finished_task(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded()
    assert (await client.get(f"/v1/tasks/{task.id}?wait=60")).json()["state"] == "succeeded"


@pytest.mark.parametrize(
    "query",
    ["wait=61", "wait=-1", "wait=x", "wait=nan", "wait=inf", "version=99999999999999999999", "version=-1", "version=x"],
)
async def test_a_wait_has_bounds(query: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    response = await client.get(f"/v1/tasks/{(await tasks.start()).id}?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == query.partition("=")[0]


CANCEL = """
import asyncio, sys
from pathlib import Path
from milepost.access.principal import LOCAL
from milepost.files.folder import FolderFiles
from milepost.service import Service
from milepost.store.sqlite.store import SqliteStore

async def main(folder, task_id):
    store = SqliteStore(folder / "milepost.db")
    await store.open()
    files = FolderFiles(folder / "files")
    service = Service(store, files)
    print("ready", flush=True)
    sys.stdin.readline()
    await service.cancel(LOCAL, task_id)
    await store.close()
    await files.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_a_wait_ends_with_what_another_process_changes(
    remote: httpx2.AsyncClient, tasks: Tasks, service: Watched, tmp_path: Any
) -> None:
    task = await tasks.start()
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CANCEL, str(tmp_path), task.id, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    async with asyncio.timeout(30):
        assert await other.stdout.readline() == b"ready\n"
        waiting = asyncio.create_task(remote.get(f"/v1/tasks/{task.id}?wait=60&version=1", timeout=30))
        await service.begun.acquire()
        other.stdin.write(b"\n")
        record = (await waiting).json()
        assert (record["state"], record["version"]) == ("cancelled", 2)
        assert await other.wait() == 0


# Results.


@pytest.mark.parametrize("value", [{"rows": 1}, [], None, "text", 1.5, False, "x" * (64 * 1024 - 2)])
async def test_a_result_stands_in_the_record(value: Any, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded(raw(value))
    record = (await client.get(f"/v1/tasks/{task.id}")).json()
    assert (record["result"], record["result_is_link"]) == (value, False)
    assert (await client.get(f"/v1/tasks/{task.id}/result")).json() == value


async def test_a_large_result_is_a_link(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    value = "x" * (64 * 1024 - 1)
    task = await tasks.succeeded(raw(value))
    record = (await client.get(f"/v1/tasks/{task.id}")).json()
    assert record["result_is_link"]
    assert record["result"] == {
        "name": None,
        "media_type": "application/json",
        "size": 64 * 1024 + 1,
        "sha256": None,
        "url": f"/v1/tasks/{task.id}/result",
    }
    assert (await client.get(record["result"]["url"])).json() == value


async def test_a_file_is_a_link(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a,b\n", "report.csv")
    record = (await client.get(f"/v1/tasks/{task.id}")).json()
    assert record["result_is_link"]
    assert record["result"]["name"] == "report.csv"
    assert "key" not in record["result"]
    assert (await client.get(record["result"]["url"])).content == b"a,b\n"


async def test_a_result_is_not_there_before_the_end(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    response = await client.get(f"/v1/tasks/{(await tasks.running()).id}/result")
    assert (response.status_code, response.headers["retry-after"]) == (409, "2")
    assert response.json()["type"] == "/problems/not-ready"


async def test_a_task_without_a_result_has_none(client: httpx2.AsyncClient, tasks: Tasks, service: Service) -> None:
    assert (await client.get(f"/v1/tasks/{(await tasks.succeeded()).id}/result")).status_code == 404
    cancelled = await service.cancel(LOCAL, (await tasks.start()).id)
    response = await client.get(f"/v1/tasks/{cancelled.id}/result")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/conflict")


async def test_p7_a_result_past_its_retention_is_gone_and_a_record_unknown(
    client: httpx2.AsyncClient, tasks: Tasks, clock: Clock
) -> None:
    task = await tasks.with_file(b"content")
    url = f"/v1/tasks/{task.id}"
    clock.ahead = 7 * DAY - MINUTE
    assert (await client.get(f"{url}/result")).status_code == 200
    clock.ahead = 7 * DAY
    gone = await client.get(f"{url}/result")
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/gone")
    record = (await client.get(url)).json()
    assert (record["result"], record["version"]) == (None, task.version + 1)
    clock.ahead = 30 * DAY
    assert (await client.get(url)).status_code == 404


# Acting.


async def test_p5_a_cancel_is_shown_as_requested_until_the_work_has_stopped(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    running = await tasks.running()
    asked = await client.post(f"/v1/tasks/{running.id}/cancel")
    assert (asked.status_code, asked.json()["state"], asked.json()["cancel_requested"]) == (202, "running", True)
    assert asked.headers["etag"] == f'"{running.version + 1}-native"'
    again = await client.post(f"/v1/tasks/{running.id}/cancel")
    assert (again.status_code, again.json()["version"]) == (202, running.version + 1)
    await tasks.apply(running, lifecycle.park)
    done = await client.post(f"/v1/tasks/{running.id}/cancel")
    assert (done.status_code, done.json()["state"]) == (200, "cancelled")


async def test_p5_a_pause_is_shown_as_requested_until_the_work_has_stopped(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    running = await tasks.running()
    asked = await client.post(f"/v1/tasks/{running.id}/pause")
    assert (asked.status_code, asked.json()["pause_requested"]) == (202, True)
    taken_back = await client.post(f"/v1/tasks/{running.id}/resume")
    assert (taken_back.status_code, taken_back.json()["pause_requested"]) == (200, False)
    await client.post(f"/v1/tasks/{running.id}/pause")
    await tasks.apply(running, lifecycle.park)
    assert (await client.post(f"/v1/tasks/{running.id}/pause")).json()["state"] == "paused"
    resumed = await client.post(f"/v1/tasks/{running.id}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (200, "queued")


async def test_a_cancelled_task_can_be_tried_again(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    cancelled = await client.post(f"/v1/tasks/{task.id}/cancel", headers={"content-type": "application/json"})
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    retried = await client.post(f"/v1/tasks/{task.id}/retry")
    assert (retried.status_code, retried.json()["state"]) == (200, "queued")
    refused = await client.post(f"/v1/tasks/{task.id}/retry")
    assert refused.status_code == 409
    assert refused.json()["state"] == "queued"


async def test_a_retry_can_leave_those_alone_that_failed_because_of_it(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    root = await tasks.start()
    task = (await client.post("/v1/tasks", json={"type": "export", "depends_on": [root.id]})).json()
    await client.post(f"/v1/tasks/{root.id}/cancel")
    await client.post(f"/v1/tasks/{root.id}/retry", params={"revive": "false"})
    assert (await client.get(f"/v1/tasks/{task['id']}")).json()["state"] == "failed"
    await client.post(f"/v1/tasks/{root.id}/cancel")
    await client.post(f"/v1/tasks/{root.id}/retry")
    assert (await client.get(f"/v1/tasks/{task['id']}")).json()["state"] == "blocked"


async def test_a_finished_task_can_be_deleted(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded()
    deleted = await client.delete(f"/v1/tasks/{task.id}")
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": [task.id]})
    assert (await client.get(f"/v1/tasks/{task.id}")).status_code == 404


async def test_a_task_that_others_depend_on_is_deleted_with_them_or_not_at_all(
    client: httpx2.AsyncClient, tasks: Tasks, service: Service
) -> None:
    first = await tasks.start()
    second = await tasks.start(depends_on=(first.id,))
    assert (await client.delete(f"/v1/tasks/{first.id}")).status_code == 409
    await service.cancel(LOCAL, second.id)
    await service.cancel(LOCAL, first.id)
    refused = await client.delete(f"/v1/tasks/{first.id}")
    assert (refused.status_code, refused.json()["dependents"]) == (409, [second.id])
    deleted = await client.delete(f"/v1/tasks/{first.id}?cascade=true")
    assert set(deleted.json()["deleted"]) == {first.id, second.id}


# Changing.


async def test_labels_change_and_null_clears_them(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start(title="T", description="D", metadata={"a": 1})
    url = f"/v1/tasks/{task.id}"
    body = {"title": "New", "description": None, "list_id": "L", "assignee": "ann"}
    response = await client.patch(url, json=body)
    assert response.status_code == 200
    record = response.json()
    assert {name: record[name] for name in body} == body
    assert record["metadata"] == {"a": 1}
    assert response.headers["etag"] == f'"{record["version"]}-native"'
    merge = await client.patch(
        url, content=b'{"metadata": null}', headers={"content-type": "application/merge-patch+json"}
    )
    assert merge.json()["metadata"] is None


async def test_a_change_is_refused_when_the_record_has_changed_since(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    url = f"/v1/tasks/{task.id}"
    first = await client.patch(url, json={"title": "A"}, headers={"if-match": '"1-native"'})
    assert first.status_code == 200
    late = await client.patch(url, json={"title": "B"}, headers={"if-match": '"1-native"'})
    assert (late.status_code, late.json()["type"]) == (412, "/problems/version-mismatch")
    tag = first.headers["etag"]
    assert (await client.patch(url, json={"title": "C"}, headers={"if-match": f'"0-x", {tag}'})).status_code == 200
    unknown = await client.patch(f"/v1/tasks/{'0' * 32}", json={"title": "C"}, headers={"if-match": '"nonsense"'})
    assert unknown.status_code == 404


async def test_a_client_drives_its_external_task(client: httpx2.AsyncClient) -> None:
    started = await post(client, {"type": "agent-work", "runner": "external", "lease_seconds": 60})
    url = started.headers["location"]
    running = await client.patch(
        url, json={"state": "running", "progress": 0.5, "message": "half", "counts": {"done": 1, "total": 2}}
    )
    record = running.json()
    assert (record["state"], record["progress"], record["message"]) == ("running", 0.5, "half")
    assert record["counts"] == {"done": 1, "total": 2, "failed": 0, "skipped": 0}
    done = await client.patch(url, json={"state": "succeeded", "result": {"found": [1, None]}})
    assert (done.json()["state"], done.json()["result"]) == ("succeeded", {"found": [1, None]})
    assert (await client.get(f"{url}/result")).json() == {"found": [1, None]}


async def test_an_external_task_may_begin_as_running(client: httpx2.AsyncClient) -> None:
    started = (await post(client, {"type": "agent-work", "runner": "external", "state": "running"})).json()
    assert (started["state"], started["attempt"], started["started_at"]) == ("running", 1, started["created_at"])


async def test_an_external_task_fails_as_its_client_says(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start("agent-work", runner="external")
    await client.patch(f"/v1/tasks/{task.id}", json={"state": "running", "lease_seconds": None})
    failed = await client.patch(
        f"/v1/tasks/{task.id}", json={"state": "failed", "failure": {"code": "lost", "message": "Lost."}}
    )
    assert failed.json()["failure"] == {"code": "lost", "message": "Lost."}


async def test_a_waiting_task_is_held_and_freed(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    other = await tasks.start()
    url = f"/v1/tasks/{task.id}"
    held = (await client.patch(url, json={"state": "blocked", "blocked_reason": "Not yet."})).json()
    assert (held["state"], held["blocked_reason"]) == ("blocked", "Not yet.")
    assert (await client.patch(url, json={"state": "queued"})).json()["state"] == "queued"
    waits = (await client.patch(url, json={"depends_on": [other.id.replace("-", "")]})).json()
    assert (waits["state"], waits["blocked_by"]) == ("blocked", [other.id])
    assert (await client.patch(url, json={"depends_on": []})).json()["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"state": "running"}, 409),
        ({"progress": 0.5}, 409),
        ({"result": 1}, 409),
        ({"progress": 2}, 422),
        ({"state": "done"}, 422),
        ({"owner": "me"}, 422),
        ({"counts": {"done": -1}}, 422),
        ({"depends_on": ["x"]}, 422),
        ({"depends_on": None}, 422),
        ({"lease_seconds": 0}, 422),
        ({"lease_seconds": 10**18}, 422),
        ({"counts": {"done": 10**30}}, 422),
        ({"title": "x" * 10_001}, 422),
        ([], 422),
    ],
)
async def test_what_a_client_may_not_change_is_refused(
    body: Any, status: int, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    task = await tasks.start()
    assert (await client.patch(f"/v1/tasks/{task.id}", json=body)).status_code == status
    assert (await client.get(f"/v1/tasks/{task.id}")).json()["version"] == 1


async def test_a_change_says_what_it_is(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    response = await client.patch(f"/v1/tasks/{task.id}", content=b"{}", headers={"content-type": "text/json"})
    assert response.status_code == 415
    assert "application/merge-patch+json" in response.headers["accept"]


# Lists, logs, types.


async def test_tasks_are_listed_newest_first_page_by_page(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    ids = [(await tasks.start()).id for _ in range(5)]
    seen: list[str] = []
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
    child = await tasks.start("agent-work", runner="external", parent=parent.id, assignee="bob")
    done = await service.cancel(LOCAL, (await tasks.start()).id)
    queries = {
        "tenant=a": [parent],
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


async def test_a_repeating_task_shows_its_next_run(client: httpx2.AsyncClient, tasks: Tasks, service: Service) -> None:
    task = await tasks.start(trigger=Trigger(every=HOUR))
    await service.store.enqueue_due(now=service.clock() + 2 * HOUR, limit=1)
    running = (await tasks.claim()).task
    await tasks.report(running, counts=Counts(3, 5, 1, 1))
    await tasks.succeed(running)
    record = (await client.get(f"/v1/tasks/{task.id}")).json()
    assert record["state"] == "succeeded"
    assert MICROSECONDS.fullmatch(record["next_run_at"])
    assert record["expires_at"] is None
    assert record["counts"] == {"done": 3, "total": 5, "failed": 1, "skipped": 1}
