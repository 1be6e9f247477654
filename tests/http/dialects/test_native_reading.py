"""One record as it is read: what it shows, how to wait for what comes next, its result."""

import asyncio
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from milepost import lifecycle, times
from milepost.access.principal import LOCAL
from milepost.service import Service
from milepost.task import Counts, Failure, Task
from milepost.times import DAY, HOUR, MINUTE, SECOND
from milepost.trigger import Trigger
from tests.http.conftest import Clock, Tasks, Watched

from .wire import MICROSECONDS, raw

INSIDE = {
    *(
        "epoch",
        "worker",
        "lease_seconds",
        "leased_until",
        "continues",
        "apart",
        "own_losses",
        "roles",
        "held",
        "has_succeeded",
    ),
    *("keep_result", "keep_record", "log_seq", "log_bytes", "log_dropped", "callback"),
}


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
