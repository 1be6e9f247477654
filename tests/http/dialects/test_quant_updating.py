"""How does an agent drive its task with Quant's PUT, and what may it do with one that the engine runs?"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialects.quant import Quant
from milepost.http.dialects.quant_parse import STATES, STATUSES, change
from milepost.http.dialects.quant_shapes import UpdateTaskRequest
from milepost.service import Service
from milepost.task import Failure, State
from milepost.times import HOUR, SECOND
from tests.http.conftest import Clock, Tasks, in_memory
from tests.http.dialects.quant_wire import Agent

UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def agent(service: Service) -> AsyncIterator[Agent]:
    async with in_memory(HttpApp(lambda: service, [Quant()])) as client:
        yield Agent(client)


async def test_an_agent_drives_its_task_from_pending_to_completed(agent: Agent, clock: Clock) -> None:
    task_id = await agent.create()
    pending = await agent.get(task_id)
    clock.ahead += SECOND
    at_it = await agent.update(task_id, status="in_progress")
    assert (at_it["status"], at_it["startedAt"], at_it["completedAt"]) == ("in_progress", at_it["updatedAt"], None)
    assert at_it["startedAt"] >= pending["createdAt"] + 1000
    told = await agent.update(task_id, progress=0.5, progressMessage="Half")
    assert (told["progress"], told["progressMessage"], told["status"]) == (0.5, "Half", "in_progress")
    clock.ahead += SECOND
    done = await agent.update(task_id, status="completed", result={"summary": "S"})
    assert (done["status"], done["result"], done["progress"]) == ("completed", {"summary": "S"}, 1.0)
    assert (done["completedAt"], done["startedAt"]) == (done["updatedAt"], at_it["startedAt"])
    assert done["expiresAt"] == done["completedAt"] + 30 * 24 * 3600 * 1000


async def test_an_update_answers_with_three_fields(agent: Agent) -> None:
    task_id = await agent.create()
    answer = await agent.put(task_id, {"status": "in_progress"})
    told = await agent.get(task_id)
    assert answer.json() == {name: told[name] for name in ("taskId", "status", "updatedAt")}
    assert answer.headers["etag"] == '"2-quant"'


@pytest.mark.parametrize("status", ["failed", "cancelled", "completed"])
async def test_each_end_has_its_time(agent: Agent, status: str) -> None:
    told = await agent.update(await agent.create(), status=status)
    assert (told["status"], told["completedAt"], told["startedAt"]) == (status, told["updatedAt"], None)


async def test_a_failed_task_says_why(agent: Agent) -> None:
    task_id = await agent.create(status="in_progress")
    assert (await agent.update(task_id, status="failed", error="It broke."))["error"] == "It broke."


async def test_a_blocked_task_says_why_until_it_is_not(agent: Agent, clock: Clock) -> None:
    other = await agent.create()
    task_id = await agent.create(status="in_progress")
    clock.ahead += SECOND
    blocked = await agent.update(
        task_id, status="blocked", blockedReason="Needs a key", blockedByTaskIds=[other.upper(), UNKNOWN]
    )
    assert (blocked["status"], blocked["blockedReason"]) == ("blocked", "Needs a key")
    assert (blocked["blockedByTaskIds"], blocked["blockedAt"]) == ([other, UNKNOWN], blocked["updatedAt"])
    told = await agent.update(task_id, progressMessage="Asked for it")
    assert {n: told[n] for n in blocked if n not in ("progressMessage", "updatedAt")} == {
        n: blocked[n] for n in blocked if n not in ("progressMessage", "updatedAt")
    }
    for status in ("in_progress", "pending"):
        told = await agent.update(task_id, status=status)
        assert (told["status"], told["blockedReason"]) == (status, None)
        assert (told["blockedByTaskIds"], told["blockedAt"]) == (None, None)
        await agent.update(task_id, status="blocked", blockedByTaskIds=[other])


async def test_what_blocks_it_stays_named_when_what_it_depends_on_is_completed(agent: Agent) -> None:
    first, other = await agent.create(), await agent.create()
    task_id = await agent.create(dependsOn=[first])
    told = await agent.update(task_id, blockedByTaskIds=[other])
    assert told["blockedByTaskIds"] == [first, other]
    await agent.update(first, status="completed")
    told = await agent.get(task_id)
    assert (told["status"], told["blockedByTaskIds"]) == ("blocked", [other])
    assert (await agent.update(task_id, status="pending"))["status"] == "pending"


async def test_null_clears(agent: Agent) -> None:
    task_id = await agent.create(
        description="D",
        taskListId="l",
        assignedAgentId="a",
        metadata={"a": 1},
        status="blocked",
        blockedReason="R",
        blockedByTaskIds=[UNKNOWN],
    )
    fields = ("description", "taskListId", "assignedAgentId", "metadata", "error", "result")
    told = await agent.update(task_id, **dict.fromkeys((*fields, "blockedReason", "blockedByTaskIds")))
    assert (told["description"], told["metadata"]) == ("", {})
    assert (told["taskListId"], told["assignedAgentId"], told["error"]) == (None, None, None)
    # A blocked task always says why: in the words of the record where its client does not.
    assert (told["blockedReason"], told["blockedByTaskIds"]) == ("Waits until somebody frees it.", None)


async def test_null_of_what_is_not_there_changes_nothing(agent: Agent, tasks: Tasks) -> None:
    for task_id in (await agent.create(), (await tasks.running()).id, (await tasks.succeeded()).id):
        before = await agent.get(task_id)
        said = dict.fromkeys(("error", "blockedReason", "blockedByTaskIds", "result"))
        assert await agent.update(task_id, **said) == before


async def test_metadata_is_replaced(agent: Agent) -> None:
    task_id = await agent.create(metadata={"a": 1, "b": 2})
    assert (await agent.update(task_id, metadata={"b": 3}))["metadata"] == {"b": 3}


async def test_what_is_not_given_stays(agent: Agent) -> None:
    task_id = await agent.create(description="D", taskListId="l", metadata={"a": 1}, maxRetries=5)
    before = await agent.get(task_id)
    after = await agent.update(task_id, title="Another")
    assert {name for name in before if before[name] != after[name]} <= {"title", "updatedAt"}
    assert await agent.update(task_id) == after


async def test_completed_back_to_pending_is_a_retry(agent: Agent) -> None:
    task_id = await agent.create()
    await agent.update(task_id, status="in_progress")
    await agent.update(task_id, status="completed", result={"a": 1})
    again = await agent.update(task_id, status="pending", result=None, error=None)
    assert (again["status"], again["progress"], "result" in again) == ("pending", 0.0, False)
    assert (again["startedAt"], again["completedAt"], again["expiresAt"]) == (None, None, None)
    assert (await agent.update(task_id, status="in_progress"))["startedAt"] is not None


async def test_a_retry_count_is_the_same_once_it_starts(agent: Agent) -> None:
    task_id = await agent.create(maxRetries=5, status="in_progress")
    assert (await agent.update(task_id, status="failed", error="E"))["retryCount"] == 0
    assert (await agent.update(task_id, status="pending", retryCount=1))["retryCount"] == 1
    for said, count in (({"status": "in_progress"}, 1), ({"retryCount": 4}, 4), ({"status": "blocked"}, 4)):
        assert (await agent.update(task_id, **said))["retryCount"] == count
    assert (await agent.update(task_id, status="in_progress"))["retryCount"] == 4
    told = await agent.update(task_id, status="failed", retryCount=5)
    assert (told["retryCount"], told["maxRetries"]) == (5, 5)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_a_retry_count_outlives_the_end(agent: Agent, end: str) -> None:
    task_id = await agent.create()
    assert (await agent.update(task_id, retryCount=2))["retryCount"] == 2
    assert (await agent.update(task_id, status=end))["retryCount"] == 2
    assert (await agent.update(task_id, status="pending"))["retryCount"] == 3, "one more came before the next"
    assert (await agent.update(task_id, status="in_progress"))["retryCount"] == 3
    assert (await agent.update(await agent.create(), status=end))["retryCount"] == 0


async def test_only_a_blocked_task_says_why(agent: Agent) -> None:
    task_id = await agent.create()
    for said in ({"blockedReason": "because"}, {"status": "in_progress", "blockedReason": "because"}):
        answer = await agent.put(task_id, said)
        assert (answer.status_code, answer.json()["error"]) == (409, "CONFLICT")
        assert "why a task is blocked" in answer.json()["message"]
    assert (await agent.put(task_id, {"blockedReason": None})).status_code == 200
    refused = await agent.post({"title": "T", "blockedReason": "because"})
    assert (refused.status_code, refused.json()["message"]) == (
        400,
        "blockedReason: It says why a task is blocked, which this one is not to be.",
    )


async def test_retries_may_be_limited_anew(agent: Agent) -> None:
    assert (await agent.update(await agent.create(), maxRetries=0))["maxRetries"] == 0


async def test_giving_it_back_counts_as_a_retry(agent: Agent) -> None:
    task_id = await agent.create(status="in_progress")
    assert (await agent.update(task_id, status="pending"))["retryCount"] == 1
    assert (await agent.update(task_id, status="in_progress"))["retryCount"] == 1


async def test_what_it_depends_on_may_change(agent: Agent) -> None:
    first, second = await agent.create(), await agent.create()
    told = await agent.update(second, dependsOn=[first])
    assert (told["status"], told["dependsOn"], told["blockedByTaskIds"]) == ("blocked", [first], [first])
    assert (await agent.update(second, dependsOn=[]))["status"] == "pending"
    await agent.update(second, dependsOn=[first])
    await agent.update(first, status="completed")
    assert (await agent.get(second))["status"] == "pending"


async def test_saying_the_end_twice_changes_nothing(agent: Agent) -> None:
    task_id = await agent.create()
    done = await agent.update(task_id, status="completed", result={"a": 1})
    said: dict[str, Any] = {"status": "completed", "result": {"a": 1}, "progress": 0.5}
    for again in ({"status": "completed"}, said, {"title": done["title"]} | said):
        told = await agent.update(task_id, **again)
        assert told | {"updatedAt": 0} == done | {"updatedAt": 0}
    failed = await agent.create()
    done = await agent.update(failed, status="failed", error="E", progressMessage="m")
    assert await agent.update(failed, status="failed", error="E", progressMessage="m") == done
    for other in ({"result": {"a": 2}}, {"error": "E"}):
        assert (await agent.put(task_id, {"status": "completed"} | other)).status_code == 409


async def test_p3_an_ended_task_takes_labels_only(agent: Agent) -> None:
    task_id = await agent.create()
    done = await agent.update(task_id, status="completed", result={"a": 1})
    for said in ({"result": {"a": 2}}, {"result": None}, {"progress": 0.5}, {"status": "in_progress"}):
        answer = await agent.put(task_id, said)
        assert (answer.status_code, answer.json()["error"]) == (409, "CONFLICT")
    assert await agent.get(task_id) == done
    told = await agent.update(task_id, title="U", taskListId="l", assignedAgentId="a", metadata={"b": 1})
    assert (told["title"], told["completedAt"], told["result"]) == ("U", done["completedAt"], {"a": 1})


async def test_if_match_keeps_updates_from_being_lost(agent: Agent) -> None:
    task_id = await agent.create()
    tag = (await agent.read(task_id)).headers["etag"]
    assert (await agent.put(task_id, {"progress": 0.1}, If_Match=tag)).status_code == 200
    answer = await agent.put(task_id, {"progress": 0.2}, If_Match=tag)
    assert (answer.status_code, answer.json()["error"]) == (412, "VERSION_MISMATCH")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"status": "in_progress", "result": {}}, "The result goes with the status completed, not in_progress."),
        ({"error": "E"}, "The error goes with the status failed, not pending."),
        ({"blockedByTaskIds": [UNKNOWN]}, "It says what blocks a task, which this one is not to be."),
    ],
)
async def test_what_does_not_fit_together_is_refused_in_its_words(agent: Agent, said: Any, message: str) -> None:
    answer = await agent.put(await agent.create(), said)
    assert (answer.status_code, answer.json()) == (409, {"error": "CONFLICT", "message": message})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"status": "done"}, "status: Invalid enum value 'done'."),
        ({"status": None}, "status: "),
        ({"title": None}, "title: "),
        ({"progress": 1.5}, "progress: Expected float <= 1.0."),
        ({"progress": "half"}, "progress: Expected float, got str."),
        ({"progressMessage": None}, "progressMessage: "),
        ({"retryCount": -1}, "retryCount: Expected a whole number from 0 to 999."),
        ({"maxRetries": 11}, "maxRetries: Expected a whole number from 0 to 10."),
        ({"result": [1]}, "result: Expected object | null, got array."),
        ({"error": "E\0", "status": "failed"}, "error: The character NUL can't be kept."),
        ({"dependsOn": ["x"]}, "dependsOn[0]: Not a task id."),
        ({"dependsOn": [UNKNOWN]}, "dependsOn[0]: No such task."),
        ({"blockedByTaskIds": ["x"], "status": "blocked"}, "blockedByTaskIds[0]: Not a task id."),
        ({"progressMessage": "\0"}, "progressMessage: The character NUL can't be kept."),
    ],
)
async def test_what_is_wrong_is_refused_by_name(agent: Agent, said: Any, message: str) -> None:
    answer = await agent.put(await agent.create(), said)
    assert answer.status_code == 400
    assert answer.json()["error"] == "INVALID_REQUEST"
    assert answer.json()["message"].startswith(message)


async def test_a_circle_is_refused(agent: Agent) -> None:
    first = await agent.create()
    second = await agent.create(dependsOn=[first])
    answer = await agent.put(first, {"dependsOn": [second]})
    assert (answer.status_code, answer.json()["message"]) == (400, "dependsOn[0]: The task would wait for itself.")


# What the engine runs.


async def test_of_a_task_of_the_engine_s_a_client_asks_for_its_end(agent: Agent, tasks: Tasks) -> None:
    waiting = await agent.create(assignedAgentId="export")
    assert (await agent.update(waiting, status="cancelled", title="U"))["title"] == "U"
    assert (await agent.get(waiting))["status"] == "cancelled"
    assert (await agent.update(waiting, status="cancelled"))["status"] == "cancelled"
    running = await tasks.running()
    assert (await agent.update(running.id, status="cancelled"))["status"] == "in_progress"
    assert (await agent.update(running.id, status="cancelled", title="U"))["title"] == "U"
    assert (await tasks.apply(running, lifecycle.park)).state is State.CANCELLED


async def test_of_a_task_of_the_engine_s_a_client_asks_for_a_retry(agent: Agent, tasks: Tasks) -> None:
    failed = await tasks.apply(await tasks.running(), lifecycle.fail, failure=Failure("broken", "It broke."))
    child = await agent.create(dependsOn=[failed.id])
    assert (await agent.get(child))["status"] == "failed"
    told = await agent.update(failed.id, status="pending", error=None)
    assert (told["status"], told["error"], told["retryCount"]) == ("pending", None, 0)
    assert (await agent.get(child))["status"] == "blocked"


async def test_a_paused_task_of_the_engine_s_goes_on_when_it_is_to_be_pending(
    agent: Agent, tasks: Tasks, service: Service
) -> None:
    paused = await service.pause(LOCAL, (await tasks.start()).id)
    assert (await agent.get(paused.id))["status"] == "in_progress"
    assert (await agent.update(paused.id, status="pending"))["status"] == "pending"


async def test_a_waiting_task_of_the_engine_s_is_held_and_freed(agent: Agent, tasks: Tasks, service: Service) -> None:
    task_id = await agent.create(assignedAgentId="export")
    held = await agent.update(task_id, status="blocked", blockedReason="R", blockedByTaskIds=[UNKNOWN])
    assert (held["blockedReason"], held["blockedByTaskIds"]) == ("R", [UNKNOWN])
    assert (await agent.update(task_id, blockedByTaskIds=None))["blockedByTaskIds"] is None
    assert (await agent.update(task_id, status="pending"))["blockedReason"] is None
    assert (await tasks.claim()).task.id == task_id


async def test_a_try_that_follows_a_failed_one_is_a_retry(agent: Agent, tasks: Tasks, clock: Clock) -> None:
    task = await tasks.running()
    await tasks.apply(task, lifecycle.fail, failure=Failure("broken", "It broke."), retry_in=HOUR)
    told = await agent.get(task.id)
    assert (told["status"], told["retryCount"], told["maxRetries"]) == ("pending", 1, 1)
    clock.ahead = HOUR
    await tasks.store.enqueue_due(now=clock(), limit=10)
    await tasks.claim()
    assert (await agent.get(task.id))["retryCount"] == 1


@pytest.mark.parametrize(
    "said",
    [
        {"progress": 0.5},
        {"progressMessage": "m"},
        {"status": "completed"},
        {"status": "in_progress"},
        {"status": "cancelled", "progress": 0.5},
        {"status": "cancelled", "blockedReason": "R"},
        {"retryCount": 1},
        {"maxRetries": 1},
        {"blockedByTaskIds": [UNKNOWN]},
    ],
)
async def test_the_engine_says_how_far_its_tasks_are(agent: Agent, said: Any) -> None:
    task_id = await agent.create(assignedAgentId="export")
    answer = await agent.put(task_id, said)
    assert (answer.status_code, answer.json()["error"]) == (409, "CONFLICT")
    assert (await agent.get(task_id))["status"] == "pending"


async def test_what_the_engine_runs_is_told_in_its_words(agent: Agent, tasks: Tasks) -> None:
    answer = await agent.put((await tasks.succeeded()).id, {"status": "pending"})
    assert answer.json()["message"] == "Only a failed or cancelled task can be retried; this one is completed."
    answer = await agent.put((await tasks.start()).id, {"retryCount": 1, "progressMessage": "m"})
    assert answer.json()["message"] == "The engine runs this task; progressMessage, retryCount can't be set."


def test_every_state_has_a_status_and_every_status_a_state() -> None:
    assert STATUSES.keys() == set(State)
    assert sorted(state for states in STATES.values() for state in states) == sorted(State)
    for status, states in STATES.items():
        assert change(UpdateTaskRequest(status=status)).state in states


@settings(max_examples=50)
@given(st.text(), st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_whatever_is_said_reaches_the_service(text: str, free: dict[str, Any]) -> None:
    update = change(UpdateTaskRequest(title=text, metadata=free, error=text, progress_message=text))
    assert (update.title, update.metadata, update.message) == (text, free, text)
    assert isinstance(update.failure, Failure)
    assert update.failure.message == text
