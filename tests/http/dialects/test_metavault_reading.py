"""Does a task read in Metavault's dialect as its page shows it, and does its result come as it is?"""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost import times
from milepost.access.principal import LOCAL
from milepost.http.dialects.metavault import Metavault
from milepost.http.dialects.metavault_shapes import date
from milepost.http.dialects.native import Native
from milepost.service import Service
from milepost.store.protocol import TypeInfo
from milepost.task import State, Task
from milepost.times import DAY, HOUR, from_rfc3339
from milepost.update import Update
from tests.http.conftest import Clock, Tasks, http_app, in_memory

from .states import in_state
from .wire import raw

SAMPLE = {
    "id": "6151702ebe4d47ca8e4293638eafeab2",
    "status": "Waiting",
    "type": "Info",
    "creationDate": "2026-04-17T14:30:02.3313845Z",
    "lastUpdateDate": "2026-04-17T14:30:02.3313846Z",
    "userName": "Bob Marley",
}
"""The page's."""
STATUSES = {
    State.SCHEDULED: "Waiting",
    State.BLOCKED: "Waiting",
    State.QUEUED: "Waiting",
    State.RUNNING: "Running",
    State.PAUSED: "Running",
    State.SUCCEEDED: "Success",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
}
TASKS = "/api/projects/default/tasks"
PREFIXES = ("", "/metavault")


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the native dialect and this one."""
    async with in_memory(http_app(service, Native(), Metavault())) as client:
        yield client


def path_of(task: Task, prefix: str = "") -> str:
    return f"{prefix}/api/projects/{task.tenant}/tasks/{task.id.replace('-', '')}"


async def test_a_waiting_task_is_the_sample(service: Service, clock: Clock) -> None:
    """But for its last digit: a record's times are microseconds, and the product's a tenth of them."""
    service.starts.new_id = lambda: "6151702e-be4d-47ca-8e42-93638eafeab2"
    clock.stand_at(SAMPLE["creationDate"])
    await service.store.publish_types([TypeInfo("info", "loop", {})])
    await Tasks(service).start("info", owner="Bob Marley")
    async with in_memory(http_app(service, Metavault(types={"info": "Info"}))) as client:
        answer = await client.get(f"{TASKS}/{SAMPLE['id']}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    expected = SAMPLE | {
        "creationDate": "2026-04-17T14:30:02.3313840Z",
        "lastUpdateDate": "2026-04-17T14:30:02.3313840Z",
    }
    assert answer.json() == expected
    assert list(answer.json()) == list(SAMPLE)


@pytest.mark.parametrize("state", State)
async def test_every_state_has_a_status(client: httpx2.AsyncClient, tasks: Tasks, state: State) -> None:
    task = await in_state(tasks, state)
    answer = await client.get(path_of(task))
    read = answer.json()
    assert read["status"] == STATUSES[state]
    assert read["type"] == "export"
    assert ("error" in read) is (state is State.FAILED)
    assert read.keys() - {"error"} == SAMPLE.keys()
    for name, time in (("creationDate", task.created_at), ("lastUpdateDate", task.updated_at)):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", read[name])
        assert from_rfc3339(read[name]) == time
    assert ("retry-after" in answer.headers) is not state.terminal


@given(st.integers(times.EARLIEST, times.LATEST))
def test_a_date_is_the_moment_in_ticks(us: int) -> None:
    written = date(us)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}0Z", written)
    assert from_rfc3339(written) == us


async def test_a_failed_task_says_why(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    failed = await in_state(tasks, State.FAILED)
    assert (await client.get(path_of(failed))).json()["error"] == "It is broken."


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("write", [str, str.upper, lambda text: text.replace("-", "")])
async def test_every_form_of_an_id_leads_to_the_task(
    client: httpx2.AsyncClient, tasks: Tasks, prefix: str, write: Any
) -> None:
    task = await tasks.start()
    answer = await client.get(f"{prefix}{TASKS}/{write(task.id)}")
    assert answer.json()["id"] == task.id.replace("-", "")


async def test_the_user_s_name_is_for_people(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    mine, bob_s = await tasks.start(), await tasks.start(owner="bob")
    assert (await client.get(path_of(mine))).json()["userName"] == "Local"
    assert (await client.get(path_of(bob_s))).json()["userName"] == "bob"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_links_are_there_while_there_is_a_result(
    client: httpx2.AsyncClient, tasks: Tasks, clock: Clock, prefix: str
) -> None:
    task = await tasks.succeeded(raw({"a": 1}))
    path = path_of(task, prefix)
    read = (await client.get(path)).json()
    assert read["_links"] == {"result": f"{path}/result"}
    assert read["self"] == path
    assert list(read)[-2:] == ["_links", "self"]
    assert (await client.get(read["_links"]["result"])).json() == {"a": 1}
    assert (await client.get(read["self"])).json() == read
    clock.ahead = 8 * DAY
    assert (await client.get(path)).json().keys() == SAMPLE.keys()


@pytest.mark.parametrize(
    "result", [None, 7, "text", [1, "ü"], {"a": {"b": None}}, "x" * 70_000, list(range(20_000))], ids=str
)
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_value_is_json(client: httpx2.AsyncClient, tasks: Tasks, prefix: str, result: Any) -> None:
    task = await tasks.succeeded(raw(result))
    answer = await client.get(f"{path_of(task, prefix)}/result")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == result


async def test_each_type_gives_its_own_results(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    for kind, result in (("info", {"entities": 3}), ("columns", ["a", "b"])):
        task = await tasks.start(kind, runner="external", state=State.RUNNING)
        done = Update(state=State.SUCCEEDED, result=msgspec.Raw(msgspec.json.encode(result)))
        await service.update(LOCAL, task.id, done)
        assert (await client.get(path_of(task))).json()["type"] == kind
        assert (await client.get(f"{path_of(task)}/result")).json() == result


async def test_a_file_comes_as_it_is_with_its_own_media_type(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"\x89PNG\0", "map.png", "image/png")
    path = f"{path_of(task)}/result"
    answer = await client.get(path)
    assert (answer.content, answer.headers["content-type"]) == (b"\x89PNG\0", "image/png")
    assert answer.headers["content-disposition"] == 'attachment; filename="map.png"'
    part = await client.get(path, headers={"range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    same = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    head = await client.head(path)
    assert (head.content, head.headers["content-length"]) == (b"", "5")


async def test_who_has_this_version_is_told_so(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    tag = (await client.get(path_of(task))).headers["etag"]
    assert tag.startswith(f'"{task.version}-metavault-user=')
    again = await client.get(path_of(task), headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    await tasks.service.cancel(LOCAL, task.id)
    changed = await client.get(path_of(task), headers={"if-none-match": tag})
    assert changed.json()["status"] == "Cancelled"
    head = await client.head(path_of(task))
    assert (head.status_code, head.content, head.headers) == (200, b"", (await client.get(path_of(task))).headers)


@pytest.mark.parametrize("is_mounted", [True, False])
async def test_it_works_beneath_a_prefix(service: Service, tasks: Tasks, is_mounted: bool) -> None:
    task = await tasks.succeeded(raw(1), tenant="ü b")
    app = http_app(service, Metavault())
    outer = Starlette(routes=[Mount("/x", app)]) if is_mounted else app
    async with in_memory(outer, root_path="" if is_mounted else "/x") as client:
        read = (await client.get(f"/x/metavault/api/projects/ü b/tasks/{task.id}")).json()
        path = f"/x/metavault/api/projects/%C3%BC%20b/tasks/{task.id.replace('-', '')}"
        assert (read["self"], read["_links"]["result"]) == (path, f"{path}/result")
        assert (await client.get(read["_links"]["result"])).content == b"1"
        assert (await client.get("/x/api")).json()["self"] == "/x/api"
        begun = await client.post("/x/metavault/api/projects/p/export")
        assert begun.headers["location"].startswith("/x/metavault/api/projects/p/tasks/")


async def test_a_task_of_any_dialect_reads_here(client: httpx2.AsyncClient) -> None:
    started = (await client.post("/v1/tasks", json={"type": "export", "tenant": "p"})).json()
    read = (await client.get(f"/api/projects/p/tasks/{started['id']}?expand=all")).json()
    assert read["id"] == started["id"].replace("-", "")


async def test_results_of_an_hour_are_those_of_tasks_begun_here(
    client: httpx2.AsyncClient, tasks: Tasks, clock: Clock
) -> None:
    begun = (await client.post("/api/projects/default/export")).json()["taskId"]
    task = await tasks.succeed((await tasks.claim()).task, raw({"a": 1}))
    assert task.id.replace("-", "") == begun
    assert task.result_expires_at == task.finished_at + HOUR  # type: ignore[operator]
    clock.ahead = HOUR - DAY // 1440
    assert (await client.get(f"{TASKS}/{begun}/result")).status_code == 200
    clock.ahead = HOUR + DAY // 1440
    assert (await client.get(f"{TASKS}/{begun}/result")).status_code == 404
    read = (await client.get(f"{TASKS}/{begun}")).json()
    assert (read["status"], "_links" in read) == ("Success", False)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_root_says_what_serves(client: httpx2.AsyncClient, prefix: str) -> None:
    read = (await client.get(f"{prefix}/api")).json()
    assert read.keys() == {
        "environment",
        "frameworkVersion",
        "version",
        "informationalVersion",
        "clientId",
        "authority",
        "requireHttps",
        "scope",
        "disableAuthentication",
        "self",
    }
    assert read["disableAuthentication"] is True
    assert read["self"] == f"{prefix}/api"


async def test_its_documents_are_valid_and_say_what_is_answered(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    document = (await client.get("/openapi/metavault.json")).json()
    validate(document)
    validate((await client.get("/openapi/metavault-3.0.json")).json())

    def check(name: str, answer: httpx2.Response) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(answer.json())

    for task in (await tasks.with_file(b"a"), await tasks.start(), await in_state(tasks, State.CANCELLED)):
        check("BackgroundTask", await client.get(path_of(task)))
    check("ApiRoot", await client.get("/api"))
    check("ProblemDetails", await client.get(f"{TASKS}/unknown"))
    check("ProblemDetails", await client.post("/api/projects/p/export", json={"rows": "x"}))


def test_every_operation_is_described() -> None:
    for operation in Metavault(calls={"PUT /api/a": "export"}).operations():
        assert operation.summary
        assert operation.group
        assert operation.answers
        assert operation.handler.__doc__
