"""A task reads as the published page has it, and as the packages want it, in every state."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from milepost import lifecycle
from milepost.access.keyring import PROFILES, Profile
from milepost.access.principal import LOCAL, Principal
from milepost.http.dialects.aparavi_answers import LONGEST_LINE, TRACE, percent
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import LOG_PAGE_BYTES
from milepost.task import Counts, Entry, Failure, FileResult, State, Task
from milepost.times import DAY, HOUR
from milepost.update import Update
from tests.http.conftest import Clock, Tasks
from tests.http.dialects.aparavi_wire import speaking, token
from tests.http.dialects.wire import raw

PUBLISHED: dict[str, Any] = {
    "data": {
        "id": "task_1234567890abcdef",
        "status": "Running",
        "created_at": "2024-01-15T10:30:00Z",
        "updated_at": "2024-01-15T10:35:00Z",
        "progress": 45,
        "files_processed": 150,
        "total_files": 300,
        "error": None,
        "metadata": {"source_path": "/data/source", "destination_url": "https://webhook.com/upload"},
    },
    "message": "Task status retrieved successfully",
}
"""The page's sample."""

CAPTURED: dict[str, Any] = {
    "completed": bool,
    "startTime": float,
    "endTime": float,
    "status": str,
    "warnings": list,
    "errors": list,
    "currentObject": str,
    "currentSize": int,
    "notes": list,
    "totalSize": int,
    "totalCount": int,
    "completedSize": int,
    "completedCount": int,
    "failedSize": int,
    "failedCount": int,
    "wordsSize": int,
    "wordsCount": int,
    "rateSize": int,
    "rateCount": int,
    "serviceUp": int,
    "exitCode": int,
    "exitMsg": str,
    "trace": list,
    "firstRunDownloadStatus": list,
    "metrics": dict,
}
"""The fields of a real answer, with their types."""


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with speaking(service) as client:
        yield client


async def read(service: Service, task: Task, profile: Profile = "page") -> dict[str, Any]:
    """What a client of this generation is told."""
    async with speaking(service, profile=profile) as client:
        response = await client.get("/task", params=await token(service, task))
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    assert body["status"] == "OK"
    data = body["data"]
    assert {name: type(data[name]) for name in CAPTURED} == CAPTURED
    assert all(isinstance(text, str) for name in ("errors", "warnings", "notes", "trace") for text in data[name])
    return dict(data)


async def test_the_published_sample(client: httpx2.AsyncClient, service: Service, tasks: Tasks, clock: Clock) -> None:
    """Field by field, as the page has them."""
    clock.stand_at("2024-01-15T10:30:00Z")
    task = await tasks.running(metadata=PUBLISHED["data"]["metadata"])
    clock.stand_at("2024-01-15T10:35:00Z")
    await tasks.apply(task, lifecycle.report, report=lifecycle.Report(progress=0.45, counts=Counts(150, 300)))
    body = (await client.get("/task", params=await token(service, task))).json()
    assert body["message"] == PUBLISHED["message"]
    identity = body["data"]["id"]
    assert identity == f"task_{task.id.replace('-', '')}"
    assert re.fullmatch("task_[0-9a-f]+", PUBLISHED["data"]["id"])
    assert {name: body["data"][name] for name in PUBLISHED["data"]} == PUBLISHED["data"] | {"id": identity}
    assert list(body["data"])[: len(PUBLISHED["data"])] == list(PUBLISHED["data"])


async def test_the_captured_answer(service: Service, tasks: Tasks, clock: Clock) -> None:
    clock.stand_at("2024-01-15T10:30:00.5Z")
    task = await tasks.running()
    clock.stand_at("2024-01-15T10:35:00.5Z")
    counts = Counts(150, 300, failed=30, skipped=20)
    await tasks.report(task, "page read", progress=0.45, counts=counts, message="a.pdf")
    data = await read(service, task)
    assert {name: data[name] for name in CAPTURED} == {
        "completed": False,
        "startTime": 1705314600.5,
        "endTime": 0,
        "status": "Running",
        "warnings": [],
        "errors": [],
        "currentObject": "a.pdf",
        "currentSize": 0,
        "notes": [],
        "totalSize": 0,
        "totalCount": 300,
        "completedSize": 0,
        "completedCount": 120,
        "failedSize": 0,
        "failedCount": 30,
        "wordsSize": 0,
        "wordsCount": 0,
        "rateSize": 0,
        "rateCount": 0,
        "serviceUp": 1,
        "exitCode": 0,
        "exitMsg": "",
        "trace": ["Created", "Created -> Running", "page read"],
        "firstRunDownloadStatus": [],
        "metrics": {"cpu": 0, "output": 0, "requests": 150, "total_time": 300},
    }


async def in_state(state: State, service: Service, tasks: Tasks) -> Task:
    """A task in a state."""
    match state:
        case State.SCHEDULED:
            return await tasks.start(run_at=service.clock() + HOUR)
        case State.BLOCKED:
            return await tasks.start(depends_on=((await tasks.start()).id,))
        case State.QUEUED:
            return await tasks.start()
        case State.PAUSED:
            return await service.pause(LOCAL, (await tasks.start()).id)
        case State.CANCELLED:
            return await service.cancel(LOCAL, (await tasks.start()).id)
    task = await tasks.running()
    match state:
        case State.SUCCEEDED:
            return await tasks.succeed(task)
        case State.FAILED:
            return await tasks.apply(task, lifecycle.fail, failure=Failure("broken", "It broke."))
    return task


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("state", list(State))
async def test_every_state(service: Service, tasks: Tasks, state: State, profile: Profile) -> None:
    task = await in_state(state, service, tasks)
    data = await read(service, task, profile)
    ended = state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)
    words = {
        State.RUNNING: "Running",
        State.PAUSED: "Paused",
        State.SUCCEEDED: "Completed",
        State.FAILED: "Failed" if profile == "page" else "Completed",
        State.CANCELLED: "Cancelled" if profile == "page" else "Completed",
    }
    assert data["status"] == words.get(state, "Created")
    assert data["completed"] is ended
    assert (data["endTime"] > 0) is ended
    assert (data["startTime"] > 0) is (state in (State.RUNNING, State.SUCCEEDED, State.FAILED))
    assert data["error"] == ("It broke." if state is State.FAILED else None)
    assert data["progress"] == (100 if state is State.SUCCEEDED else 0)
    assert (data["exitCode"], data["exitMsg"]) == ((1, "It broke.") if state is State.FAILED else (0, ""))
    cancelled = ["The task was cancelled."] if state is State.CANCELLED and profile != "page" else []
    assert data["errors"] == (["It broke."] if state is State.FAILED else cancelled)


@pytest.mark.parametrize(
    "result", [raw(None), raw(1), raw([1]), raw({"a": 1}), raw("text"), raw("x" * (100 << 10)), None]
)
async def test_a_result_of_any_kind_reads_the_same(service: Service, tasks: Tasks, result: Any) -> None:
    """The contract shows none: what a pipeline found is the answer to a delivery."""
    data = await read(service, await tasks.succeeded(result))
    assert (data["status"], data["completed"], data["errors"], data["error"]) == ("Completed", True, [], None)


async def test_a_file_as_result_reads_the_same(service: Service, tasks: Tasks) -> None:
    task = await tasks.with_file(b"content")
    assert isinstance(task.result, FileResult)
    assert (await read(service, task))["status"] == "Completed"


async def test_p5_what_is_only_requested_is_noted(service: Service, tasks: Tasks) -> None:
    task = await tasks.running()
    await service.pause(LOCAL, task.id)
    await service.cancel(LOCAL, task.id)
    data = await read(service, task)
    assert (data["status"], data["notes"]) == ("Running", ["It is asked to stop.", "It is asked to pause."])


async def test_what_a_task_waits_for_is_noted(service: Service, tasks: Tasks) -> None:
    first = await tasks.start()
    blocked = await tasks.start(depends_on=(first.id,))
    assert (await read(service, blocked))["notes"] == [blocked.blocked_reason]
    running = await tasks.running(priority=1)
    await tasks.report(running, message="page 7")
    await service.pause(LOCAL, running.id)
    paused = await tasks.apply(running, lifecycle.park)
    data = await read(service, paused)
    assert (data["status"], data["currentObject"], data["notes"]) == ("Paused", "", ["page 7"])


async def test_the_newest_lines_of_the_log_are_shown(service: Service, tasks: Tasks) -> None:
    task = await tasks.running()
    await tasks.report(task, *(f"line {number}" for number in range(TRACE)))
    data = await read(service, task)
    assert data["trace"] == [f"line {number}" for number in range(TRACE)]
    await tasks.report(task, "x" * (LONGEST_LINE + 1))
    data = await read(service, task)
    assert data["trace"][-1] == "x" * LONGEST_LINE + " …"
    assert len(data["trace"]) == TRACE


async def test_the_newest_lines_are_shown_however_large(service: Service, tasks: Tasks) -> None:
    task = await tasks.running()
    await tasks.report(task, *(f"{number:02}" + "x" * (LOG_PAGE_BYTES // 10) for number in range(TRACE)))
    data = await read(service, task)
    assert [text[:2] for text in data["trace"]] == [f"{number:02}" for number in range(TRACE)]


async def test_warnings_are_those_of_the_log(service: Service, tasks: Tasks) -> None:
    task = await tasks.running()
    line = Entry(service.clock(), "log", 1, "warning", "a.pdf can't be read", {"file": "a.pdf"})
    await tasks.apply(task, lifecycle.report, report=lifecycle.Report(entries=(line,)))
    data = await read(service, task)
    assert data["warnings"] == ["a.pdf can't be read"]
    assert data["trace"][-1] == 'a.pdf can\'t be read {"file":"a.pdf"}'
    assert data["errors"] == []


@pytest.mark.parametrize(
    ("progress", "shown"), [(0.0, 0), (0.29, 29), (0.45, 45), (0.999, 99), (1.0, 99), (0.57, 57), (0.004, 0)]
)
def test_progress_is_a_whole_number_and_100_only_at_the_end(progress: float, shown: int) -> None:
    task = Task("", "", "", "", 0, 0, progress=progress)
    assert percent(task) == shown


async def test_a_task_of_any_origin_can_be_asked_after_by_its_id(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    task = await tasks.start(title="T")
    by_token = await client.get("/task", params=await token(service, task))
    for shown in (by_token.json()["data"]["id"], f"task_{task.id}"):
        by_id = await client.get("/task", params={"token": shown})
        assert (by_id.json(), by_id.headers) == (by_token.json(), by_token.headers)


async def test_head_and_etag(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    task = await tasks.running()
    query = await token(service, task)
    first = await client.get("/task", params=query)
    assert first.headers["etag"] == f'"{task.version}-aparavi-profile=page"'
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["retry-after"] == "1"
    head = await client.head("/task", params=query)
    assert (head.status_code, head.content, head.headers) == (200, b"", first.headers)
    seen = {"if-none-match": first.headers["etag"]}
    assert (await client.get("/task", params=query, headers=seen)).status_code == 304
    async with speaking(service, profile="node") as other:
        assert (await other.get("/task", params=query, headers=seen)).status_code == 200, "it reads another body"
    await tasks.succeed(task)
    ended = await client.get("/task", params=query, headers=seen)
    assert ended.status_code == 200
    assert "retry-after" not in ended.headers


async def test_p4_what_is_written_meanwhile_belongs_to_a_later_version(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    """A body and its ETag are of one moment, although the log is read after the record."""
    task = await tasks.running()
    get = service.get

    async def then_more(principal: Principal, task_id: str) -> Task:
        found = await get(principal, task_id)
        await tasks.report(task, "too late")
        return found

    service.get = then_more  # type: ignore[method-assign]
    response = await client.get("/task", params=await token(service, task))
    assert response.headers["etag"].startswith(f'"{task.version}-')
    assert response.json()["data"]["trace"] == ["Created", "Created -> Running"]


async def test_p6_p7_unknown_and_expired_tasks_look_alike(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks, clock: Clock
) -> None:
    expired = await token(service, await tasks.succeeded())
    clock.ahead = 31 * DAY
    unknown = {"token": "00000000-0000-0000-0000-000000000000", "type": "cpu"}
    for method in ("GET", "DELETE", "HEAD"):
        answers = [
            await client.request(method, "/task", params=query)
            for query in (unknown, expired, {"token": "nonsense"}, {"token": "task_nonsense"}, {"token": ""})
        ]
        assert {(answer.status_code, answer.text, str(answer.headers)) for answer in answers} == {
            (404, answers[0].text, str(answers[0].headers))
        }
    published = {"error": "Task not found", "message": "The specified task does not exist or has been deleted"}
    assert (await client.get("/task", params=unknown)).json() == {"status": "Error"} | published


async def test_who_reads_it_from_the_body_is_told_with_status_200(service: Service, tasks: Tasks) -> None:
    for profile, status in (("node", 404), ("python", 200)):
        async with speaking(service, profile=profile) as client:
            for method in ("GET", "DELETE"):
                response = await client.request(method, "/task", params={"token": "nonsense", "type": "cpu"})
                assert response.status_code == status
                assert response.json()["status"] == "Error"
                assert "not found" in str(response.json()["error"]).lower()


async def test_a_token_is_needed(client: httpx2.AsyncClient) -> None:
    for method, path in (("GET", "/task"), ("DELETE", "/task"), ("PUT", "/webhook")):
        response = await client.request(method, path)
        assert response.status_code == 422
        assert response.json()["detail"] == [{"loc": ["query", "token"], "msg": "This is required.", "type": "missing"}]


async def test_a_refusal_repeats_no_token(client: httpx2.AsyncClient) -> None:
    for query in ("token=s3cret&token=s3cret", "token=s3cret%FF", "token=s3cret", "token=s3cret%00"):
        response = await client.get(f"/task?{query}")
        assert response.status_code in (400, 404, 422)
        assert "s3cret" not in response.text


async def test_deleting_a_finished_task_leaves_it_as_it_is(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    task = await tasks.succeeded()
    query = await token(service, task)
    before = await client.get("/task", params=query)
    for _ in range(2):
        response = await client.delete("/task", params=query)
        assert response.status_code == 200
        assert response.json() == {
            "status": "OK",
            "data": {"cancelled": False, "token": query["token"]},
            "message": "Task deleted successfully",
        }
    assert (await client.get("/task", params=query)).json() == before.json()


async def test_deleting_any_other_cancels_it(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    running = await tasks.running()
    queued = await tasks.start()
    external = (
        await service.start(LOCAL, Start(type="agent", runner="external", state=State.RUNNING), origin="quant")
    ).task
    for task, status in ((queued, "Cancelled"), (running, "Running"), (external, "Running")):
        query = await token(service, task)
        for _ in range(2):
            response = await client.delete("/task", params=query)
            assert (response.status_code, response.json()["data"]["cancelled"]) == (200, True)
        assert (await client.get("/task", params=query)).json()["data"]["status"] == status
    await service.update(LOCAL, external.id, Update(state=State.CANCELLED))
    assert (await read(service, external))["status"] == "Cancelled"
