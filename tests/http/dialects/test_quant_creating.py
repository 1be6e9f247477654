"""How does Quant create tasks: with any status, for an agent or for the engine?"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialects.quant import Quant
from milepost.service import Service
from milepost.times import DAY
from tests.http.conftest import Clock, Tasks, in_memory
from tests.http.dialects.quant_wire import Agent


@pytest.fixture
async def agent(service: Service) -> AsyncIterator[Agent]:
    async with in_memory(HttpApp(lambda: service, [Quant()])) as client:
        yield Agent(client)


async def test_a_creation_answers_with_five_fields(agent: Agent, clock: Clock) -> None:
    answer = await agent.post({"title": "T"})
    assert answer.status_code == 201
    told = answer.json()
    assert list(told) == ["taskId", "orgId", "title", "status", "createdAt"]
    assert (told["orgId"], told["title"], told["status"]) == ("default", "T", "pending")
    assert 0 <= clock() // 1000 - told["createdAt"] < 60_000


@pytest.mark.parametrize("status", ["pending", "in_progress", "completed", "failed", "cancelled", "blocked"])
@pytest.mark.parametrize("assignee", ["agent-7", "export"])
async def test_a_task_is_created_with_any_status(agent: Agent, status: str, assignee: str) -> None:
    answer = await agent.post({"title": "T", "status": status, "assignedAgentId": assignee})
    assert answer.json()["status"] == status
    told = await agent.get(answer.json()["taskId"])
    assert (told["status"], told["assignedAgentId"]) == (status, assignee)
    assert (told["startedAt"] is not None) is (status == "in_progress")
    assert (told["completedAt"] is not None) is (status in ("completed", "failed", "cancelled"))
    assert (told["blockedAt"] is not None) is (status == "blocked")


async def test_what_is_said_is_kept(agent: Agent) -> None:
    other = await agent.create()
    said: dict[str, Any] = {
        "title": "T",
        "description": "D",
        "taskListId": "list/1",
        "status": "blocked",
        "assignedAgentId": "a",
        "createdByAgentId": "b",
        "dependsOn": [other],
        "metadata": {"n": [1, 2.5, None]},
        "maxRetries": 0,
        "blockedReason": "Needs a look",
        "blockedByTaskIds": [other],
    }
    told = await agent.get(await agent.create(**said))
    assert {name: told[name] for name in said} == said


async def test_what_is_not_known_is_passed_over(agent: Agent) -> None:
    await agent.create(priority="high")


async def test_an_agent_that_is_a_task_type_is_run_by_the_engine(agent: Agent, tasks: Tasks, service: Service) -> None:
    metadata = {"export_index": "wallet", "rows": 3}
    task_id = await agent.create(assignedAgentId="export", metadata=metadata)
    claimed = await tasks.claim()
    assert (claimed.task.id, claimed.task.type, claimed.task.metadata) == (task_id, "export", metadata)
    assert (await service.cold(LOCAL, task_id)).input == b'{"export_index":"wallet","rows":3}'
    told = await agent.get(task_id)
    assert (told["status"], told["maxRetries"], told["retryCount"]) == ("in_progress", 1, 0)


async def test_another_agent_s_task_is_its_own(agent: Agent, service: Service) -> None:
    task = await service.get(LOCAL, await agent.create(assignedAgentId="agent-7", metadata={"a": 1}))
    assert (task.type, task.runner, task.assignee, task.max_attempts) == ("agent-task", "external", "agent-7", 4)
    assert (await service.cold(LOCAL, task.id)).input == b"{}"
    assert (task.keep_record, task.keep_result) == (30 * DAY, 30 * DAY)


async def test_a_blocked_task_of_the_engine_s_is_held_until_it_is_pending(agent: Agent, tasks: Tasks) -> None:
    task_id = await agent.create(assignedAgentId="export", status="blocked", blockedReason="Needs a look")
    assert (await agent.get(task_id))["blockedReason"] == "Needs a look"
    await agent.update(task_id, status="pending")
    assert (await tasks.claim()).task.id == task_id


async def test_who_says_that_he_is_at_it_is(agent: Agent, service: Service) -> None:
    """The engine does not run what its client has begun, although there is such a type."""
    task = await service.get(LOCAL, await agent.create(assignedAgentId="export", status="in_progress"))
    assert (task.type, task.runner, task.state) == ("export", "external", "running")
    assert (await agent.update(task.id, status="completed", result={"rows": 1}))["result"] == {"rows": 1}


async def test_one_that_depends_on_others_is_blocked_until_they_are_completed(agent: Agent) -> None:
    first, second = await agent.create(), await agent.create()
    third = await agent.create(dependsOn=[first.upper(), second.replace("-", "")])
    told = await agent.get(third)
    assert (told["status"], told["dependsOn"], told["blockedByTaskIds"]) == (
        "blocked",
        [first, second],
        [first, second],
    )
    await agent.update(first, status="completed")
    assert (await agent.get(third))["blockedByTaskIds"] == [second]
    await agent.update(second, status="completed")
    told = await agent.get(third)
    assert (told["status"], told["blockedByTaskIds"], told["blockedReason"]) == ("pending", None, None)


async def test_it_fails_with_what_it_depends_on_and_begins_again_with_it(agent: Agent) -> None:
    first = await agent.create()
    second = await agent.create(dependsOn=[first])
    await agent.update(first, status="failed", error="It broke.")
    told = await agent.get(second)
    assert (told["status"], first in told["error"]) == ("failed", True)
    await agent.update(first, status="pending")
    assert (await agent.get(second))["status"] == "blocked"


@pytest.mark.parametrize("status", ["in_progress", "completed"])
async def test_who_is_at_it_does_not_wait(agent: Agent, status: str) -> None:
    first = await agent.create()
    assert (await agent.get(await agent.create(dependsOn=[first], status=status)))["status"] == status


async def test_names_and_retention_are_settings(service: Service) -> None:
    async with in_memory(HttpApp(lambda: service, [Quant(agent_type="agent", keep=DAY)])) as client:
        task = await service.get(LOCAL, await Agent(client).create())
    assert (task.type, task.keep_record, task.keep_result) == ("agent", DAY, DAY)


UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "title: This is required."),
        ({"title": None}, "title: Expected str, got null."),
        ({"title": "x" * 10_001}, "title: At most 10000 characters."),
        ({"title": "T\0"}, "title: The character NUL can't be kept."),
        ({"title": "T", "description": 7}, "description: Expected str | null, got int."),
        ({"title": "T", "status": "done"}, "status: Invalid enum value 'done'."),
        ({"title": "T", "maxRetries": 11}, "maxRetries: Expected a whole number from 0 to 10."),
        ({"title": "T", "maxRetries": -1}, "maxRetries: Expected a whole number from 0 to 10."),
        ({"title": "T", "metadata": []}, "metadata: Expected object | null, got array."),
        ({"title": "T", "dependsOn": ["x"]}, "dependsOn[0]: Not a task id."),
        ({"title": "T", "dependsOn": [UNKNOWN]}, "dependsOn[0]: No such task."),
        ({"title": "T", "dependsOn": ["x"] * 1001}, "dependsOn: At most 1000 tasks."),
        ({"title": "T", "dependsOn": [7]}, "dependsOn[0]: Expected str, got int."),
        ({"title": "T", "taskListId": "\0"}, "taskListId: The character NUL can't be kept."),
        ({"title": "T", "assignedAgentId": "\0"}, "assignedAgentId: The character NUL can't be kept."),
        ({"title": "T", "createdByAgentId": "\0"}, "createdByAgentId: The character NUL can't be kept."),
        ({"title": "T", "blockedReason": "\0"}, "blockedReason: The character NUL can't be kept."),
        ({"title": "T", "status": "blocked", "blockedByTaskIds": ["x"]}, "blockedByTaskIds[0]: Not a task id."),
        (
            {"title": "T", "blockedByTaskIds": [UNKNOWN]},
            "blockedByTaskIds: It says what blocks a task, which this one is not to be.",
        ),
        (
            {"title": "T", "assignedAgentId": "export", "metadata": {"rows": "x"}},
            'metadata.rows: "x" is not of type "integer".',
        ),
        (
            {"title": "T", "assignedAgentId": "export", "metadata": {"a/b": "x"}},
            "metadata.a/b: There is no such argument here.",
        ),
        ([], "Expected object, got array."),
    ],
)
async def test_what_is_wrong_is_refused_by_name(agent: Agent, body: Any, message: str) -> None:
    answer = await agent.post(body)
    assert answer.status_code == 400
    told = answer.json()
    assert list(told) == ["error", "message"]
    assert told["error"] == "INVALID_REQUEST"
    assert message in told["message"]


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "MALFORMED_REQUEST"),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"content": b"x" * (2 << 20), "headers": {"content-type": "application/json"}}, 413, "TOO_LARGE"),
    ],
)
async def test_what_is_no_json_is_refused(agent: Agent, sent: Any, status: int, error: str) -> None:
    answer = await agent.client.post(agent.path, **sent)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_other_methods_and_paths_are_refused_in_its_words(agent: Agent) -> None:
    answer = await agent.client.patch(agent.path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, HEAD")
    assert answer.json()["error"] == "METHOD_NOT_ALLOWED"
    answer = await agent.client.get(f"{agent.path}/a/b")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "NOT_FOUND", "message": "There is nothing at this path."},
    )


async def test_an_organisation_s_name_has_its_bounds(agent: Agent, service: Service) -> None:
    answer = await Agent(agent.client, "x" * 201).post({"title": "T"})
    assert (answer.status_code, answer.json()["message"]) == (400, "organisation: From 1 to 200 characters.")
