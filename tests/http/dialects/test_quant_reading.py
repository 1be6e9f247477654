"""Does a task read in Quant as its page shows, whatever state it is in and wherever it was started?"""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.service import Service
from milepost.task import Failure, State, Task
from milepost.times import DAY, HOUR, SECOND
from milepost.update import Update
from tests.http.conftest import Clock, Tasks, in_memory
from tests.http.dialects.quant_wire import Agent
from tests.http.dialects.wire import raw

SAMPLE: dict[str, Any] = {
    "taskId": "550e8400-e29b-41d4-a716-446655440000",
    "orgId": "quant",
    "taskListId": "world-1",
    "title": "Process document and create summary",
    "description": "Extract text from PDF, analyze content",
    "status": "pending",
    "assignedAgentId": "agent-123",
    "createdByAgentId": "agent-coordinator",
    "metadata": {"priority": "high"},
    "progress": 0.5,
    "progressMessage": "Extracted text, analyzing content...",
    "retryCount": 0,
    "maxRetries": 3,
    "createdAt": 1735689600000,
    "updatedAt": 1735689700000,
}
"""The page's example."""

PAGE: dict[str, tuple[type, ...]] = {
    "taskId": (str,),
    "orgId": (str,),
    "taskListId": (str, type(None)),
    "title": (str,),
    "description": (str,),
    "status": (str,),
    "assignedAgentId": (str, type(None)),
    "createdByAgentId": (str, type(None)),
    "dependsOn": (list,),
    "metadata": (dict,),
    "progress": (float,),
    "progressMessage": (str,),
    "result": (dict,),
    "error": (str, type(None)),
    "retryCount": (int,),
    "maxRetries": (int,),
    "createdAt": (int,),
    "updatedAt": (int,),
    "startedAt": (int, type(None)),
    "completedAt": (int, type(None)),
    "expiresAt": (int, type(None)),
    "blockedReason": (str, type(None)),
    "blockedByTaskIds": (list, type(None)),
    "blockedAt": (int, type(None)),
}
"""The page's properties with their types, null where it says nullable."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNKNOWN = "2489E9AD-2EE2-8E00-8EC9-32D5F69181C0"


def check(told: Any) -> None:
    """Every property of the page is there with a type that it may have, and no other; a result only if there is one."""
    assert PAGE.keys() - {"result"} <= told.keys() <= PAGE.keys()
    for name, value in told.items():
        assert type(value) in PAGE[name], (name, value)
    assert UUID.fullmatch(told["taskId"])
    assert ("result" in told) <= (told["status"] == "completed")
    assert (told["error"] is not None) <= (told["status"] == "failed")
    ended = told["status"] in ("completed", "failed", "cancelled")
    assert (told["completedAt"] is not None) is (told["expiresAt"] is not None) is ended
    assert (told["blockedAt"] is not None) is (told["blockedReason"] is not None) is (told["status"] == "blocked")


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_memory(HttpApp(lambda: service, [Native(), Quant()])) as client:
        yield client


@pytest.fixture
def agent(client: httpx2.AsyncClient) -> Agent:
    return Agent(client)


async def test_the_page_s_example_is_read_as_it_stands(service: Service) -> None:
    now = SAMPLE["createdAt"] * 1000
    service = Service(service.store, service.files, clock=lambda: now, new_id=lambda: SAMPLE["taskId"])
    async with in_memory(HttpApp(lambda: service, [Quant()])) as client:
        agent = Agent(client, "quant")
        names = ("title", "description", "taskListId", "assignedAgentId", "createdByAgentId", "metadata")
        created = await agent.post({name: SAMPLE[name] for name in names})
        assert created.json() == {name: SAMPLE[name] for name in ("taskId", "orgId", "title", "status", "createdAt")}
        now += 100 * SECOND
        updated = await agent.put(SAMPLE["taskId"], {name: SAMPLE[name] for name in ("progress", "progressMessage")})
        assert updated.json() == {name: SAMPLE[name] for name in ("taskId", "status", "updatedAt")}
        told = await agent.get(SAMPLE["taskId"].upper())
    check(told)
    assert {name: told[name] for name in SAMPLE} == SAMPLE
    # What the example leaves out has no value.
    assert {name: value for name, value in told.items() if name not in SAMPLE and value is not None} == {
        "dependsOn": []
    }


async def test_every_state_has_its_status(agent: Agent, service: Service, tasks: Tasks) -> None:
    async def told(task: Task, status: str) -> Any:
        read = await agent.get(task.id)
        check(read)
        assert read["status"] == status
        return read

    scheduled = await tasks.start(run_at=service.clock() + HOUR)
    assert (await told(scheduled, "pending"))["startedAt"] is None
    blocked = await tasks.start(depends_on=(scheduled.id,))
    assert (await told(blocked, "blocked"))["blockedByTaskIds"] == [scheduled.id]
    running = await tasks.running()
    assert (await told(running, "in_progress"))["startedAt"] == (running.started_at or 0) // 1000
    ended = await tasks.succeed(running)
    assert (await told(ended, "completed"))["progress"] == 1.0
    failed = await tasks.apply(await tasks.running(), lifecycle.fail, failure=Failure("broken", "It broke."))
    assert (await told(failed, "failed"))["error"] == "It broke."
    cancelled = await service.cancel(LOCAL, (await tasks.start()).id)
    assert (await told(cancelled, "cancelled"))["startedAt"] is None
    paused = await service.pause(LOCAL, (await tasks.start()).id)
    assert (await told(paused, "in_progress"))["error"] is None
    await told(await tasks.start(), "pending")


async def test_a_cancel_that_is_asked_for_is_in_progress_until_the_work_has_stopped(agent: Agent, tasks: Tasks) -> None:
    running = await tasks.running()
    answer = await agent.put(running.id, {"status": "cancelled"})
    assert (answer.status_code, answer.json()["status"]) == (200, "in_progress")
    await tasks.apply(running, lifecycle.park)
    assert (await agent.get(running.id))["status"] == "cancelled"


async def test_what_another_dialect_did_not_say_is_said_by_what_there_is(agent: Agent, tasks: Tasks) -> None:
    told = await agent.get((await tasks.start()).id)
    assert (told["title"], told["description"], told["progressMessage"], told["metadata"]) == ("export", "", "", {})
    assert (told["taskListId"], told["assignedAgentId"], told["createdByAgentId"]) == (None, None, None)
    assert (told["maxRetries"], told["orgId"]) == (1, "default")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"rows": 3}, {"rows": 3}),
        ({}, {}),
        (None, {"value": None}),
        (7, {"value": 7}),
        ("text", {"value": "text"}),
        ([{"a": 1}], {"value": [{"a": 1}]}),
        ({"text": "x" * 100_000}, {"text": "x" * 100_000}),
        ("x" * 100_000, {"value": "x" * 100_000}),
    ],
)
async def test_a_result_is_an_object_whatever_it_is(agent: Agent, tasks: Tasks, value: Any, told: Any) -> None:
    task = await tasks.succeeded(raw(value))
    read = await agent.get(task.id)
    check(read)
    assert read["result"] == told


async def test_a_file_is_a_link_that_needs_no_credentials(agent: Agent, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a;b\n1;2\n")
    answer = await agent.read(task.id)
    check(answer.json())
    file = answer.json()["result"]["file"]
    url = file.pop("url")
    assert file == {
        "name": "report.csv",
        "media_type": "text/csv",
        "size": 8,
        "sha256": task.result.sha256,  # type: ignore[union-attr]
    }
    assert (await agent.client.get(url)).content == b"a;b\n1;2\n"
    again = await agent.read(task.id, If_None_Match=answer.headers["etag"])
    assert again.status_code == 304


async def test_a_file_s_etag_changes_with_its_link(agent: Agent, tasks: Tasks, clock: Clock) -> None:
    task = await tasks.with_file(b"a")
    tag = (await agent.read(task.id)).headers["etag"]
    clock.ahead += HOUR
    assert (await agent.read(task.id, If_None_Match=tag)).status_code == 200


async def test_a_result_that_has_expired_is_left_out(agent: Agent, tasks: Tasks, clock: Clock) -> None:
    task = await tasks.succeeded(raw({"a": 1}), keep_result=HOUR)
    clock.ahead = 2 * HOUR
    read = await agent.get(task.id)
    check(read)
    assert (read["status"], "result" in read) == ("completed", False)


async def test_a_task_ends_with_its_id_unknown_after_30_days(agent: Agent, clock: Clock) -> None:
    task_id = await agent.create()
    done = await agent.update(task_id, status="completed", result={"a": 1})
    assert done["expiresAt"] == done["completedAt"] + 30 * 24 * 3600 * 1000
    clock.ahead = 29 * DAY
    assert (await agent.get(task_id))["result"] == {"a": 1}
    clock.ahead = 31 * DAY
    assert (await agent.read(task_id)).status_code == 404


async def test_p6_unknown_foreign_expired_and_impossible_ids_look_alike(
    agent: Agent, client: httpx2.AsyncClient, clock: Clock
) -> None:
    foreign = await Agent(client, "other").create()
    expired = await agent.create(status="cancelled")
    clock.ahead = 31 * DAY
    for task_id in (UNKNOWN, foreign, expired, "7", "%00"):
        answers = [
            await agent.read(task_id),
            await agent.put(task_id, {"status": "completed"}),
            await agent.delete(task_id),
            await agent.delete(task_id, cascade=True),
        ]
        for answer in answers:
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/json"
            assert answer.json() == {"error": "NOT_FOUND", "message": "There is no such task."}
    assert (await Agent(client, "other").get(foreign))["orgId"] == "other"


async def test_an_etag_is_answered_with_304_until_something_changes(agent: Agent) -> None:
    task_id = await agent.create()
    first = await agent.read(task_id)
    assert first.headers["etag"] == '"1-quant"'
    assert first.headers["retry-after"] == "1"
    assert (await agent.read(task_id, If_None_Match='"1-quant"')).status_code == 304
    await agent.update(task_id, progress=0.1)
    assert (await agent.read(task_id, If_None_Match='"1-quant"')).headers["etag"] == '"2-quant"'


async def test_head_is_a_get_without_its_body(agent: Agent, client: httpx2.AsyncClient) -> None:
    task_id = await agent.create()
    for path in ("", f"/{task_id}", "/l/dependency-graph"):
        got, head = await client.get(agent.path + path), await client.head(agent.path + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]


async def test_it_is_the_same_under_a_prefix(service: Service, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a")
    app = HttpApp(lambda: service, [Quant()])
    for mounted, options, prefix in ((app, {"root_path": "/x"}, ""), (Starlette(routes=[Mount("/x", app)]), {}, "/x")):
        async with in_memory(mounted, **options) as client:
            read = (await client.get(f"{prefix}/api/v3/organizations/default/ai/tasks/{task.id}")).json()
            url = read["result"]["file"]["url"]
            assert url.startswith("http://127.0.0.1:8006/x/results/")
            assert (await client.get(url)).content == b"a"


async def test_free_text_is_told_as_it_was_said(agent: Agent) -> None:
    text = 'a "quote", a \\, a line\nand an 🐝'
    task_id = await agent.create(title=text, description=text, metadata={text: text})
    told = await agent.get(task_id)
    assert (told["title"], told["description"], told["metadata"]) == (text, text, {text: text})


async def test_p4_all_dialects_tell_of_the_same_moment(
    agent: Agent, service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await agent.create(metadata={"a": 1})
    await service.update(LOCAL, task_id, Update(state=State.RUNNING, progress=0.25, message="A quarter"))
    told = await agent.get(task_id)
    native = (await client.get(f"/v1/tasks/{task_id}")).json()
    assert (told["status"], told["progress"], told["progressMessage"]) == ("in_progress", 0.25, "A quarter")
    assert (native["state"], native["progress"], native["origin"]) == ("running", 0.25, "quant")
    assert native["version"] == 2


async def test_what_goes_wrong_in_the_server_is_told_as_that() -> None:
    def broken() -> Service:
        raise OSError("The disk is gone.")

    async with in_memory(HttpApp(broken, [Quant()])) as client:
        answer = await Agent(client).read(UNKNOWN)
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "INTERNAL_ERROR", "message": "The server could not carry this out. Its log says why."},
    )
