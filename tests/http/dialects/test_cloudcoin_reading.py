"""Does a task read in CloudCoin's dialect as its page shows it, in every state and with every result?"""

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

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import CloudCoin, data_of, percent
from milepost.http.dialects.native import Native
from milepost.service import Service
from milepost.task import Counts, State, Task
from milepost.times import DAY
from tests.http.conftest import Clock, Tasks, http_app, in_memory

from .states import in_state
from .wire import raw

IN_PROGRESS = {
    "status": "success",
    "payload": {
        "id": "bdc8e99d-dd8a-40e9-8840-f9f8eef16c71",
        "status": "running",
        "progress": 50,
        "message": "Processing...",
        "data": None,
    },
}
COMPLETED = {
    "status": "success",
    "payload": {
        "id": "bdc8e99d-dd8a-40e9-8840-f9f8eef16c71",
        "status": "completed",
        "progress": 100,
        "message": "Command Completed",
        "data": {
            "online": 25,
            "pownstring": "ppppppppppppppppppppppppp",
            "pownarray": [1] * 25,
            "latencies": [1104, 1417, 1407, 1397, 1416, 1405, 1412, 1397, 1407, 1406],
        },
    },
}
"""The page's samples."""

STATUSES = {
    State.SCHEDULED: ("running", "Command Started"),
    State.BLOCKED: ("running", "Command Started"),
    State.QUEUED: ("running", "Command Started"),
    State.RUNNING: ("running", "Command Started"),
    State.PAUSED: ("running", "Command Started"),
    State.SUCCEEDED: ("completed", "Command Completed"),
    State.FAILED: ("error", "It is broken."),
    State.CANCELLED: ("error", "The task was cancelled."),
}
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PATHS = ("/api/v1/tasks/", "/get-task-status/", "/api/v1/get-task-status/")


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the native dialect and this one."""
    async with in_memory(http_app(service, Native(), CloudCoin())) as client:
        yield client


@pytest.fixture
def sample(service: Service, tasks: Tasks) -> Tasks:
    """Tasks that all have the sample's id."""
    service.starts.new_id = lambda: str(IN_PROGRESS["payload"]["id"])  # type: ignore[index]
    return tasks


async def payload(client: httpx2.AsyncClient, task: Task) -> Any:
    answer = await client.get(f"/api/v1/tasks/{task.id}")
    assert answer.status_code == 200
    return answer.json()["payload"]


async def test_a_task_in_progress_is_the_sample(client: httpx2.AsyncClient, sample: Tasks) -> None:
    task = await sample.report(await sample.running(), progress=0.5)
    answer = await client.get(f"/api/v1/tasks/{task.id}")
    assert answer.json() == IN_PROGRESS
    assert list(answer.json()["payload"]) == list(IN_PROGRESS["payload"])
    assert answer.headers["content-type"] == "application/json"


async def test_a_completed_task_is_the_sample(client: httpx2.AsyncClient, sample: Tasks) -> None:
    task = await sample.succeeded(raw(COMPLETED["payload"]["data"]))  # type: ignore[index]
    assert (await client.get(f"/api/v1/tasks/{task.id}")).json() == COMPLETED


@pytest.mark.parametrize("state", State)
async def test_every_state_has_a_status_and_a_message(client: httpx2.AsyncClient, tasks: Tasks, state: State) -> None:
    task = await in_state(tasks, state)
    read = await payload(client, task)
    assert task.state is state
    assert (read["status"], read["message"]) == STATUSES[state]
    assert read["data"] is None
    answer = await client.get(f"/api/v1/tasks/{task.id}")
    assert answer.json()["status"] == "success", "the call has succeeded, whatever became of the task"
    assert ("retry-after" in answer.headers) is not task.state.terminal


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("write", [str, str.upper, lambda text: text.replace("-", "")])
async def test_aliases_and_every_form_of_an_id_lead_to_the_task(
    client: httpx2.AsyncClient, tasks: Tasks, path: str, write: Any
) -> None:
    task = await tasks.start()
    answer = await client.get(path + write(task.id))
    assert answer.status_code == 200
    assert answer.json() == (await client.get(f"/api/v1/tasks/{task.id}")).json()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.json()["payload"]["id"])


async def test_the_older_path_answers_flat(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded(raw("OK"))
    answer = await client.get(f"/api/v1/task/{task.id}")
    assert answer.json() == await payload(client, task)
    assert answer.json()["data"] == "OK"


@pytest.mark.parametrize(
    ("progress", "written"),
    [(0.0, b"0"), (0.29, b"29"), (0.999, b"99"), (1 / 3, b"33"), (1.0, b"100"), (0.005, b"0")],
)
async def test_progress_is_written_as_an_integer(
    client: httpx2.AsyncClient, tasks: Tasks, progress: float, written: bytes
) -> None:
    task = await tasks.report(await tasks.running(), progress=progress)
    assert b'"progress":%b,' % written in (await client.get(f"/api/v1/tasks/{task.id}")).content


@given(JSON)
def test_any_result_is_an_object_or_a_text_that_stands_for_it(value: Any) -> None:
    written = msgspec.json.encode(value)
    data = msgspec.json.decode(msgspec.json.encode(data_of(msgspec.Raw(written))), type=dict[str, Any] | str | None)
    if not isinstance(value, dict | str | None):
        assert isinstance(data, str)
        data = msgspec.json.decode(data)
    assert data == value


@given(st.integers(0, 100))
def test_a_whole_percent_is_never_rounded_down(whole: int) -> None:
    assert percent(whole / 100) == whole


@given(st.floats(0, 1), st.floats(0, 1))
def test_progress_never_goes_back_and_is_never_more_than_there_is(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert 0 <= percent(less) <= percent(more) <= 100
    assert percent(less) <= less * 100 + 1e-6


async def test_what_the_function_says_is_the_message(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.report(await tasks.running(), message="Sealing envelopes")
    assert (await payload(client, running))["message"] == "Sealing envelopes"
    assert (await payload(client, await tasks.succeed(running)))["message"] == "Sealing envelopes"


async def test_one_that_counts_is_processing(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.report(await tasks.running(), counts=Counts(done=3))
    assert (await payload(client, task))["message"] == "Processing..."


async def test_a_failure_keeps_the_progress_that_there_was(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.report(await tasks.running(), progress=0.4, message="Sealing envelopes")
    await tasks.service.cancel(LOCAL, running.id)
    ended = await tasks.apply(running, lifecycle.park)
    read = await payload(client, ended)
    assert (read["status"], read["progress"], read["message"]) == ("error", 40, "The task was cancelled.")


@pytest.mark.parametrize(
    ("result", "data"),
    [
        ({"a": [1, 2.5]}, {"a": [1, 2.5]}),
        ({}, {}),
        ("OK", "OK"),
        ("", ""),
        (None, None),
        (7, "7"),
        (2.5, "2.5"),
        (True, "true"),
        ([1, {"ü": None}], '[1,{"ü":null}]'),
        ("x" * 70_000, "x" * 70_000),
        ({"large": "x" * 70_000}, {"large": "x" * 70_000}),
        (list(range(20_000)), "[" + ",".join(map(str, range(20_000))) + "]"),
    ],
)
async def test_data_is_an_object_or_a_text(client: httpx2.AsyncClient, tasks: Tasks, result: Any, data: Any) -> None:
    task = await tasks.succeeded(raw(result))
    assert (await payload(client, task))["data"] == data


async def test_a_file_is_an_object_with_a_link_that_needs_no_key(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a,b\n", "report.csv", "text/csv")
    data = (await payload(client, task))["data"]
    url = data.pop("url")
    assert data == {
        "name": "report.csv",
        "media_type": "text/csv",
        "size": 4,
        "sha256": task.result.sha256,  # type: ignore[union-attr]
    }
    assert url.startswith("http://127.0.0.1:8006/results/")
    assert (await client.get(url)).content == b"a,b\n"
    assert f'cloudcoin-link={url[-8:]}"' in (await client.get(f"/api/v1/tasks/{task.id}")).headers["etag"]


@pytest.mark.parametrize("make", [lambda tasks: tasks.succeeded(raw({"a": 1})), lambda tasks: tasks.with_file(b"a")])
async def test_past_its_retention_the_result_is_null(
    client: httpx2.AsyncClient, tasks: Tasks, clock: Clock, make: Any
) -> None:
    task = await make(tasks)
    clock.ahead = 8 * DAY
    read = await payload(client, task)
    assert (read["status"], read["data"]) == ("completed", None)


async def test_who_has_this_version_is_told_so(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    path = f"/api/v1/tasks/{task.id}"
    tag = (await client.get(path)).headers["etag"]
    assert tag == f'"{task.version}-cloudcoin"'
    again = await client.get(path, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    await tasks.service.cancel(LOCAL, task.id)
    assert (await client.get(path, headers={"if-none-match": tag})).json()["payload"]["status"] == "error"


async def test_head_says_what_get_does_without_the_body(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    path = f"/api/v1/tasks/{(await tasks.start()).id}"
    read, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content, head.headers) == (200, b"", read.headers)


async def test_queries_are_let_pass(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    assert (await client.get(f"/api/v1/tasks/{task.id}?_=17&format=json")).status_code == 200


@pytest.mark.parametrize("mount", [lambda app: app, lambda app: Starlette(routes=[Mount("/x", app)])])
async def test_it_works_beneath_a_prefix(service: Service, tasks: Tasks, mount: Any) -> None:
    task = await tasks.with_file(b"a")
    app = http_app(service, CloudCoin())
    async with in_memory(mount(app), root_path="/x" if mount(app) is app else "") as client:
        read = await client.get(f"/x/api/v1/tasks/{task.id}")
        url = read.json()["payload"]["data"]["url"]
        assert url.startswith("http://127.0.0.1:8006/x/results/")
        assert (await client.get(url)).content == b"a"
        lost = await client.get("/x/api/v1/tasks/nothing")
        assert lost.json()["payload"]["id"] == "nothing"
        assert (await client.get("/x/api/v1/task/nothing")).json()["id"] == "nothing"


async def test_settings_follow_the_page_where_it_speaks_against_itself(service: Service, tasks: Tasks) -> None:
    running, done = await tasks.start(), await in_state(tasks, State.CANCELLED)
    dialect = CloudCoin(dashed=False, null_data=False, flat_task=False)
    async with in_memory(http_app(service, dialect)) as client:
        read = (await client.get(f"/api/v1/tasks/{running.id}")).json()["payload"]
        assert read["id"] == running.id.replace("-", "")
        assert "data" not in read
        completed = await tasks.claim()
        await tasks.succeed(completed.task, raw("OK"))
        read = (await client.get(f"/api/v1/tasks/{running.id}")).json()["payload"]
        assert (read["status"], read["data"]) == ("completed", "OK")
        assert (await client.get(f"/api/v1/task/{done.id}")).json()["payload"]["status"] == "error"
        lost = (await client.get("/api/v1/task/unknown")).json()
        assert lost["payload"].keys() == {"id", "status", "progress", "message"}


async def test_its_documents_are_valid_and_say_what_is_answered(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    document = (await client.get("/openapi/cloudcoin.json")).json()
    validate(document)
    validate((await client.get("/openapi/cloudcoin-3.0.json")).json())
    schema = {"$ref": "#/components/schemas/Envelope", "components": document["components"]}
    validator = jsonschema_rs.validator_for(schema)
    answers = [
        await client.get(f"/api/v1/tasks/{(await in_state(tasks, State.CANCELLED)).id}"),
        await client.get(f"/api/v1/tasks/{(await tasks.with_file(b'a')).id}"),
        await client.get(f"/api/v1/tasks/{(await tasks.succeeded(raw(7))).id}"),
        await client.get("/api/v1/tasks/unknown"),
    ]
    for answer in answers:
        validator.validate(answer.json())
    assert not validator.is_valid(answers[0].json() | {"payload": {}})


def test_every_operation_is_described() -> None:
    for operation in CloudCoin().operations():
        assert operation.summary
        assert operation.group
        assert operation.answers
        assert operation.handler.__doc__


async def test_a_task_of_any_dialect_reads_here(service: Service, client: httpx2.AsyncClient) -> None:
    body = {"type": "export", "input": {"rows": 3}, "title": "T"}
    started = (await client.post("/v1/tasks", json=body)).json()
    assert (await client.get(f"/api/v1/tasks/{started['id']}")).json()["payload"]["id"] == started["id"]


def test_a_dialect_keeps_nothing_of_the_other_names_that_it_was_given() -> None:
    names = {"save": "backup"}
    dialect = CloudCoin(other_names=names)
    names.clear()
    assert "/save" in [operation.path for operation in dialect.operations()]
