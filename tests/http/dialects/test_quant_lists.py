"""What does Quant list, which graph does it draw, and what does it delete?"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, validate

from milepost.access.principal import LOCAL
from milepost.http.admission import NO_KEY
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.service import Service
from milepost.times import HOUR
from tests.http.conftest import Clock, Tasks, in_memory
from tests.http.dialects.quant_wire import Agent, keys

UNKNOWN = "00000000-0000-7000-8000-000000000000"
ITEM = [
    *("taskId", "orgId", "taskListId", "title", "description", "status", "assignedAgentId", "progress"),
    *("blockedReason", "blockedByTaskIds", "createdAt", "updatedAt"),
]


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_memory(HttpApp(lambda: service, [Native(), Quant()])) as client:
        yield client


@pytest.fixture
def agent(client: httpx2.AsyncClient) -> Agent:
    return Agent(client)


@pytest.fixture
async def known(client: httpx2.AsyncClient, service: Service) -> Callable[..., Agent]:
    """Agents by an organisation and by who shows its key, of an application that asks for keys."""
    made = await keys(service)
    return lambda organisation, name: Agent(client, organisation, made.get(name))


def ids(listed: Any) -> list[str]:
    return [task["taskId"] for task in listed["tasks"]]


async def test_a_list_is_of_the_organisation_s_tasks_newest_first(agent: Agent, client: httpx2.AsyncClient) -> None:
    assert await agent.list() == {"tasks": [], "count": 0}
    made = [await agent.create(f"T{n}") for n in range(3)]
    await Agent(client, "other").create()
    listed = await agent.list()
    assert (list(listed), listed["count"], ids(listed)) == (["tasks", "count"], 3, made[::-1])
    details = await agent.get(made[-1])
    assert listed["tasks"][0] == {name: details[name] for name in ITEM}
    assert list(listed["tasks"][0]) == ITEM


async def test_a_list_is_filtered(agent: Agent, tasks: Tasks, service: Service, clock: Clock) -> None:
    a = await agent.create(taskListId="world-1", assignedAgentId="x")
    b = await agent.create(taskListId="world-1", assignedAgentId="y", status="in_progress")
    c = await agent.create(taskListId="world-2", assignedAgentId="y", status="completed")
    scheduled = (await tasks.start(run_at=clock() + HOUR)).id
    paused = (await service.pause(LOCAL, (await tasks.start()).id)).id
    for query, found in (
        ({"taskListId": "world-1"}, [b, a]),
        ({"assignedAgentId": "y"}, [c, b]),
        ({"taskListId": "world-1", "assignedAgentId": "y"}, [b]),
        ({"status": "pending"}, [scheduled, a]),
        ({"status": "in_progress"}, [paused, b]),
        ({"status": "completed", "taskListId": "world-2"}, [c]),
        ({"status": "failed"}, []),
        ({"limit": 2}, [paused, scheduled]),
        ({"sort": "up", "limit": 1}, [paused]),
    ):
        listed = await agent.list(**query)
        assert (ids(listed), listed["count"]) == (found, len(found)), query


async def test_a_list_has_50_tasks_unless_more_are_asked_for(agent: Agent) -> None:
    for number in range(60):
        await agent.create(f"T{number}")
    assert (await agent.list())["count"] == 50
    assert (await agent.list(limit=100))["count"] == 60


async def test_a_list_is_as_long_as_was_asked_for_however_large_its_tasks_are(agent: Agent) -> None:
    for number in range(7):
        await agent.create(f"T{number}", metadata={"text": "x" * 1_000_000})
    assert (await agent.list(limit=6))["count"] == 6


async def test_what_depends_on_a_task_is_listed_by_its_ids(agent: Agent) -> None:
    first = await agent.create()
    second = await agent.create(dependsOn=[first])
    third = await agent.create(dependsOn=[first, second])
    assert await agent.list(dependsOn=first.upper()) == {"taskIds": [third, second], "count": 2, "dependsOn": first}
    listed = await agent.list(dependsOn=first, includeDetails="true", limit=1)
    assert list(listed) == ["taskIds", "tasks", "count", "dependsOn"]
    assert (listed["taskIds"], ids(listed), listed["count"]) == ([third], [third], 1)
    assert await agent.list(dependsOn=third, includeDetails=False) == {"taskIds": [], "count": 0, "dependsOn": third}
    assert "tasks" not in await agent.list(dependsOn=third)
    assert ids(await agent.list(includeDetails="true", limit=1)) == [third]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit: Expected a whole number from 1 to 100."),
        ("limit=101", "limit: Expected a whole number from 1 to 100."),
        ("status=done", "status: Invalid enum value 'done'."),
        ("dependsOn=x", "dependsOn: Not a task id."),
        ("includeDetails=perhaps", "includeDetails: Expected bool, got str."),
        ("taskListId=%00", "taskListId: The character NUL can't be kept."),
    ],
)
async def test_a_query_that_is_wrong_is_refused_by_name(agent: Agent, query: str, message: str) -> None:
    answer = await agent.client.get(f"{agent.path}?{query}")
    assert (answer.status_code, answer.json()) == (400, {"error": "INVALID_REQUEST", "message": message})


# Graphs.


async def test_a_graph_has_the_tasks_of_a_list_with_their_edges(agent: Agent) -> None:
    outside = await agent.create("Outside")
    root = await agent.create("Root", taskListId="world/1", dependsOn=[outside])
    left = await agent.create("Left", taskListId="world/1", dependsOn=[root])
    right = await agent.create("Right", taskListId="world/1", dependsOn=[root], status="in_progress")
    leaf = await agent.create("Leaf", taskListId="world/1", dependsOn=[left, right])
    alone = await agent.create("Alone", taskListId="world/1")
    told = await agent.graph("world%2F1")
    assert list(told) == ["taskListId", "taskCount", "roots", "leaves", "graph"]
    assert (told["taskListId"], told["taskCount"]) == ("world/1", 5)
    assert (told["roots"], told["leaves"]) == ([root, alone], [leaf, alone])
    assert list(told["graph"]) == [root, left, right, leaf, alone]
    assert told["graph"][root] == {
        "taskId": root,
        "title": "Root",
        "status": "blocked",
        "dependsOn": [],
        "dependents": [left, right],
    }
    assert told["graph"][leaf]["dependsOn"] == [left, right]
    assert told["graph"][right]["status"] == "in_progress"


async def test_an_unknown_list_s_graph_is_empty(agent: Agent) -> None:
    assert await agent.graph("none") == {"taskListId": "none", "taskCount": 0, "roots": [], "leaves": [], "graph": {}}


async def test_a_graph_shows_the_newest_tasks_up_to_its_limit(service: Service) -> None:
    async with in_memory(HttpApp(lambda: service, [Quant(graph_limit=2)])) as client:
        agent = Agent(client)
        first = await agent.create(taskListId="l")
        second = await agent.create(taskListId="l", dependsOn=[first])
        third = await agent.create(taskListId="l", dependsOn=[second])
        told = await agent.graph("l")
    assert (told["taskCount"], told["roots"], told["leaves"]) == (2, [second], [third])


# Deleting.


async def test_deleting_says_what_is_gone(agent: Agent) -> None:
    task_id = await agent.create(status="completed")
    answer = await agent.delete(task_id.upper())
    assert (answer.status_code, answer.json()) == (
        200,
        {"deleted": True, "deletedCount": 1, "deletedTaskIds": [task_id]},
    )
    assert (await agent.delete(task_id)).status_code == 404


async def test_a_task_with_dependents_is_kept_unless_they_go_too(agent: Agent) -> None:
    first = await agent.create()
    others = [await agent.create(dependsOn=[first]) for _ in range(3)]
    last = await agent.create(dependsOn=[others[0]])
    answer = await agent.delete(first)
    assert (answer.status_code, answer.json()) == (
        409,
        {
            "error": "TASK_HAS_DEPENDENTS",
            "message": "Cannot delete task with 3 dependent task(s). Use cascade=true to delete all.",
            "dependentTaskIds": others,
        },
    )
    assert (await agent.get(first))["status"] == "pending"
    told = (await agent.delete(first, cascade="true")).json()
    assert (told["deletedCount"], set(told["deletedTaskIds"])) == (5, {first, *others, last})
    assert await agent.list() == {"tasks": [], "count": 0}


async def test_what_is_not_finished_can_be_deleted_unless_a_worker_is_at_it(agent: Agent, tasks: Tasks) -> None:
    for status in ("pending", "in_progress", "blocked"):
        assert (await agent.delete(await agent.create(status=status))).status_code == 200
    assert (await agent.delete((await tasks.start()).id)).status_code == 200
    running = await tasks.running()
    answer = await agent.delete(running.id)
    assert (answer.status_code, answer.json()) == (
        409,
        {"error": "CONFLICT", "message": f"Task {running.id} is not finished."},
    )


async def test_a_cascade_that_a_worker_stands_in_the_way_of_deletes_nothing(agent: Agent, tasks: Tasks) -> None:
    first = await agent.create(status="completed")
    second = await agent.create(dependsOn=[first])
    running = await tasks.running(depends_on=(first,))
    assert (await agent.delete(first, cascade="true")).status_code == 409
    assert [(await agent.get(each))["status"] for each in (first, second, running.id)] == [
        "completed",
        "pending",
        "in_progress",
    ]


# Who may.


async def test_p6_nobody_sees_another_organisation(known: Callable[..., Agent]) -> None:
    task_id = await known("acme", "root").create(taskListId="l")
    child = await known("acme", "root").create(taskListId="l", dependsOn=[task_id])
    for eve in (known("acme", "eve"), known("other", "eve")):
        assert (await eve.read(task_id)).json() == (await eve.read(UNKNOWN)).json()
        assert (await eve.put(task_id, {"title": "U"})).status_code == 404
        assert (await eve.delete(task_id, cascade="true")).status_code == 404
        assert await eve.list() == {"tasks": [], "count": 0}
        assert await eve.list(dependsOn=task_id) == {"taskIds": [], "count": 0, "dependsOn": task_id}
        assert (await eve.graph("l"))["taskCount"] == 0
    answer = await known("acme", "eve").post({"title": "T"})
    assert (answer.status_code, list(answer.json())) == (403, ["error", "message"])
    answer = await known("other", "eve").post({"title": "T", "dependsOn": [child]})
    assert answer.json()["message"] == "dependsOn[0]: No such task."
    # A service may enter every organisation, by the name of each.
    assert (await known("acme", "sue").get(task_id))["orgId"] == "acme"
    assert (await known("other", "sue").read(task_id)).status_code == 404


async def test_p6_a_user_sees_its_own_tasks_and_those_assigned_to_it(known: Callable[..., Agent]) -> None:
    mia, ada, bob = (known("acme", name) for name in ("mia", "ada", "bob"))
    first = await ada.create(taskListId="l")
    second = await mia.create(taskListId="l", dependsOn=[first], assignedAgentId="bob")
    assert ids(await bob.list()) == [second]
    assert await bob.list(dependsOn=first) == {"taskIds": [], "count": 0, "dependsOn": first}
    assert await ada.list(dependsOn=first) == {"taskIds": [], "count": 0, "dependsOn": first}
    assert (await mia.list(dependsOn=first))["taskIds"] == [second]
    told = await bob.graph("l")
    assert (told["taskCount"], told["roots"], told["graph"][second]["dependsOn"]) == (1, [second], [])
    told = await ada.graph("l")
    assert (told["leaves"], told["graph"][first]["dependents"]) == ([first], [])
    assert (await bob.update(second, status="in_progress"))["status"] == "in_progress"
    assert (await bob.read(first)).status_code == 404


async def test_only_admins_delete(known: Callable[..., Agent]) -> None:
    task_id = await known("acme", "mia").create()
    answer = await known("acme", "mia").delete(task_id)
    assert (answer.status_code, answer.json()) == (
        403,
        {"error": "FORBIDDEN", "message": "Only an admin of the tenant may delete tasks."},
    )
    assert (await known("acme", "root").delete(task_id)).status_code == 200


@pytest.mark.parametrize("key", [None, "nobody"])
async def test_who_shows_no_key_is_told_so(client: httpx2.AsyncClient, service: Service, key: str | None) -> None:
    await keys(service)
    nobody = Agent(client, "acme", key)
    for answer in (await nobody.post({"title": "T"}), await nobody.read(UNKNOWN), await nobody.delete(UNKNOWN)):
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json() == {"error": "UNAUTHENTICATED", "message": NO_KEY}


# Its document.


async def test_its_documents_are_valid_and_true(client: httpx2.AsyncClient) -> None:
    newer = (await client.get("/openapi/quant.json")).json()
    older = (await client.get("/openapi/quant-3.0.json")).json()
    validate(newer)
    validate(older, cls=OpenAPIV30SpecValidator)
    base = "/api/v3/organizations/{organisation}/ai/tasks"
    assert {path: sorted(item) for path, item in older["paths"].items()} == {
        base: ["get", "post"],
        base + "/{taskId}": ["delete", "get", "put"],
        base + "/{taskListId}/dependency-graph": ["get"],
    }


def test_every_operation_is_described() -> None:
    for operation in Quant().operations():
        assert operation.summary
        assert operation.answers
        assert operation.handler.__doc__
