"""What is sent to a standing pipeline is answered with what became of it, whatever that is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from milepost import lifecycle
from milepost.access.keyring import PROFILES
from milepost.access.limits import DEFAULT_LIMITS
from milepost.access.principal import LOCAL
from milepost.http.dialects import aparavi_outcome
from milepost.service import Filter
from milepost.task import Counts, Failure, FileResult, State, Task
from milepost.times import DAY
from tests.http.conftest import Clock, Tasks, Watched
from tests.http.dialects.aparavi_wire import PIPELINE, STANDING, speaking, started, token
from tests.http.dialects.wire import raw

TEXT = {"content-type": "text/plain"}
NAMED = {"content-type": "text/csv", "content-disposition": 'attachment; filename="a.csv"'}
TWO: Any = [("files", ("a.txt", b"one", "text/plain")), ("files", ("b.txt", b"two", "text/plain"))]
ONE_TEXT: dict[str, Any] = {"content": b"some text", "headers": TEXT}


class Standing:
    """A standing task, with a client that delivers and a worker that ends what was delivered."""

    def __init__(self, service: Watched, tasks: Tasks, task: Task, client: httpx2.AsyncClient) -> None:
        self.service = service
        self.tasks = tasks
        self.task = task
        self.client = client

    async def send(self, **sent: Any) -> httpx2.Response:
        return await self.client.put("/webhook", params=await token(self.service, self.task), **sent)

    async def report(self) -> FileResult:
        """A result that is a file."""

        async def pieces() -> AsyncIterator[bytes]:
            yield b"a report"

        stored = await self.service.files.put(pieces())
        return FileResult(stored.key, "report.csv", "text/csv", stored.size, stored.sha256)

    async def running(self, sending: "asyncio.Task[httpx2.Response]") -> Task:
        """What a delivery has started, once it is waited for."""
        async with asyncio.timeout(20):
            begun = asyncio.ensure_future(self.service.begun.acquire())
            await asyncio.wait([begun, sending], return_when=asyncio.FIRST_COMPLETED)
        assert not sending.done(), sending.result().text
        return (await self.tasks.claim()).task

    async def ended(self, result: Any, counts: Counts | None = None, **sent: Any) -> dict[str, Any]:
        """The answer to a delivery that succeeds with this result."""
        sending = asyncio.create_task(self.send(**(sent or ONE_TEXT)))
        child = await self.running(sending)
        await self.tasks.report(child, counts=counts)
        await self.tasks.succeed(child, result)
        response = await sending
        assert response.status_code == 200
        body: dict[str, Any] = response.json()
        assert body["data"].pop("id") == f"task_{child.id.replace('-', '')}"
        for key in body["data"]["objects"]:
            assert str(UUID(key)) == key
        return body


@pytest.fixture
async def standing(service: Watched, tasks: Tasks) -> AsyncIterator[Standing]:
    async with speaking(service) as client:
        yield Standing(service, tasks, await tasks.start(runner="external", state=State.RUNNING), client)


async def files(service: Watched) -> list[tuple[str, str, int]]:
    """What was delivered with the only child."""
    (child,) = [task for task in (await service.find(LOCAL, Filter())).tasks if task.parent is not None]
    delivered = (await service.cold(LOCAL, child.id)).files
    return [(file.name, file.media_type, file.size) for file in delivered]


async def test_a_file_is_answered_as_the_contract_has_it(standing: Standing) -> None:
    found = {"files": [{"name": "a.csv", "words": 2, "text": "some text"}], "totals": {"words": 2}}
    body = await standing.ended(raw(found), Counts(1, 1), content=b"some text", headers=NAMED)
    assert await files(standing.service) == [("a.csv", "text/csv", 9)]
    (one,) = body["data"].pop("objects").values()
    assert one == {
        "__types": {"text": "text"},
        "metadata": {"words": 2},
        "name": "a.csv",
        "path": "a.csv",
        "text": ["some text"],
    }
    metrics = body.pop("metrics")
    assert metrics.pop("total_time") >= 0
    assert metrics == {"cpu": 0, "output": 0, "requests": 1}
    assert body == {
        "status": "OK",
        "data": {"objectsRequested": 1, "objectsCompleted": 1, "types": {}, "errors": []},
    }


async def test_several_files_are_one_delivery(standing: Standing) -> None:
    found = {"files": [{"name": "a.txt", "text": "one"}, {"name": "b.txt", "text": "two"}]}
    body = await standing.ended(raw(found), files=TWO)
    assert await files(standing.service) == [("a.txt", "text/plain", 3), ("b.txt", "text/plain", 3)]
    assert (body["data"]["objectsRequested"], body["data"]["objectsCompleted"]) == (2, 2)
    assert [one["text"] for one in body["data"]["objects"].values()] == [["one"], ["two"]]


async def test_plain_text_is_a_file_with_a_name(standing: Standing) -> None:
    await standing.ended(raw(None))
    assert await files(standing.service) == [("text.txt", "text/plain", 9)]


async def test_what_could_not_be_read_is_told_apart(standing: Standing) -> None:
    found = {"files": [{"name": "a.txt", "text": "one"}, {"name": "b.txt", "error": "It is gone."}]}
    body = await standing.ended(raw(found), files=TWO)
    data = body["data"]
    assert (data["objectsRequested"], data["objectsCompleted"], data["errors"]) == (2, 1, ["b.txt: It is gone."])
    assert list(data["objects"].values())[1] == {
        "__types": {},
        "metadata": {"error": "It is gone."},
        "name": "b.txt",
        "path": "b.txt",
        "text": [],
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, []),
        (1.5, ["1.5"]),
        ([1, {"a": 2}], ['[1,{"a":2}]']),
        ({"a": 1}, ['{"a":1}']),
        ({"files": 3}, ['{"files":3}']),
        ({"files": [{"size": 1}]}, ['{"files":[{"size":1}]}']),
        ("a text", ["a text"]),
        ("", [""]),
        ("x" * (100 << 10), ["x" * (100 << 10)]),
    ],
)
async def test_a_result_of_any_kind_is_the_text_of_one_object(standing: Standing, value: Any, text: list[str]) -> None:
    body = await standing.ended(raw(value))
    assert list(body["data"]["objects"].values()) == [
        {
            "__types": {"text": "text"} if text else {},
            "metadata": {},
            "name": "text.txt",
            "path": "text.txt",
            "text": text,
        }
    ]


async def test_no_result_is_an_object_without_text(standing: Standing) -> None:
    body = await standing.ended(None, files=TWO)
    assert [(one["name"], one["text"]) for one in body["data"]["objects"].values()] == [("export", [])]
    assert body["data"]["objectsCompleted"] == 2


async def test_a_file_as_result_is_linked_to(standing: Standing) -> None:
    result = await standing.report()
    (one,) = (await standing.ended(result))["data"]["objects"].values()
    url = one["metadata"].pop("url")
    assert one == {
        "__types": {},
        "metadata": {"media_type": "text/csv", "size": 8},
        "name": "report.csv",
        "path": "report.csv",
        "text": [],
    }
    assert (await standing.client.get(url)).content == b"a report"


async def test_over_https_it_links_by_https(standing: Standing) -> None:
    standing.client.base_url = "https://localhost:8443"
    result = await standing.report()
    (one,) = (await standing.ended(result))["data"]["objects"].values()
    assert one["metadata"]["url"].startswith("https://localhost:8443/results/")


async def test_beneath_a_prefix_it_links_beneath_it(service: Watched, tasks: Tasks) -> None:
    async with speaking(service, "/x") as client:
        task = await tasks.start(runner="external", state=State.RUNNING)
        standing = Standing(service, tasks, task, client)
        (one,) = (await standing.ended(await standing.report()))["data"]["objects"].values()
        assert one["metadata"]["url"].startswith("http://127.0.0.1:8006/x/results/")
        assert (await client.get(one["metadata"]["url"])).content == b"a report"


async def test_what_is_very_large_is_linked_to(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aparavi_outcome, "LARGEST", 1000)
    (one,) = (await standing.ended(raw("x" * 1000)))["data"]["objects"].values()
    assert one["metadata"].items() >= {"media_type": "application/json", "size": 1002}.items()
    assert (await standing.client.get(one["metadata"]["url"])).json() == "x" * 1000


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
async def test_what_fails_is_told_in_the_words_of_the_client(
    service: Watched, tasks: Tasks, state: State, profile: Any
) -> None:
    task = await tasks.start(runner="external", state=State.RUNNING)
    async with speaking(service, profile=profile) as client:
        standing = Standing(service, tasks, task, client)
        sending = asyncio.create_task(standing.send(**ONE_TEXT))
        child = await standing.running(sending)
        if state is State.FAILED:
            await tasks.apply(child, lifecycle.fail, failure=Failure("broken", "It broke."))
        else:
            await service.cancel(LOCAL, child.id)
            await tasks.apply(child, lifecycle.park)
        response = await sending
    assert response.status_code == 200
    body = response.json()
    why, code = ("It broke.", "BROKEN") if state is State.FAILED else ("The delivery was cancelled.", "CANCELLED")
    packages = {"message": "The delivery failed", "code": code, "details": why}
    assert body == {
        "status": "Error",
        "error": "The delivery failed" if profile == "page" else packages,
        "message": why,
        "data": {
            "objectsRequested": 1,
            "objectsCompleted": 0,
            "types": {},
            "objects": {},
            "errors": [why],
            "id": f"task_{child.id.replace('-', '')}",
        },
    }
    assert (await service.get(LOCAL, task.id)).state is State.RUNNING, "it goes on"


async def test_what_takes_too_long_goes_on_and_can_be_asked_after(service: Watched, tasks: Tasks) -> None:
    task = await tasks.start(runner="external", state=State.RUNNING)
    async with speaking(service, patience=1) as client:
        response = await Standing(service, tasks, task, client).send(**ONE_TEXT)
        assert response.status_code == 202
        data = response.json()["data"]
        assert (data["objectsRequested"], data["objectsCompleted"], data["objects"]) == (1, 0, {})
        shown = await client.get("/task", params={"token": data["id"]})
        assert shown.json()["data"]["status"] == "Created"


async def test_a_standing_pipeline_runs_until_it_is_deleted(service: Watched) -> None:
    await service.store.publish_types([PIPELINE])
    async with speaking(service) as client:
        said = await started(client, STANDING)
        read = await client.get("/task", params=said)
        assert (read.json()["data"]["status"], read.json()["data"]["completed"]) == ("Running", False)
        sending = asyncio.create_task(client.put("/webhook", params=said, **ONE_TEXT))
        async with asyncio.timeout(20):
            await service.begun.acquire()
        ended = await client.delete("/task", params=said)
        assert ended.json()["data"] == {"cancelled": True, "token": said["token"]}
        cancelled = await sending
        assert (cancelled.json()["status"], cancelled.json()["message"]) == ("Error", "The delivery was cancelled.")
        read = await client.get("/task", params=said)
        assert (read.json()["data"]["status"], read.json()["data"]["completed"]) == ("Cancelled", True)
        refused = await client.put("/webhook", params=said, **ONE_TEXT)
        assert (refused.status_code, refused.json()["status"]) == (409, "Error")
        assert refused.json()["message"] == "The task is cancelled, and takes deliveries only while it is running."


async def test_one_that_does_not_stand_takes_nothing(standing: Standing, tasks: Tasks) -> None:
    standing.task = await tasks.start()
    refused = await standing.send(**ONE_TEXT)
    assert refused.status_code == 409
    assert refused.json()["message"].startswith("Only a standing task takes deliveries")


@pytest.mark.parametrize("profile", PROFILES)
async def test_p6_p7_what_is_out_of_sight_takes_nothing(
    service: Watched, tasks: Tasks, clock: Clock, profile: Any
) -> None:
    expired = await token(service, await tasks.succeeded())
    clock.ahead = 31 * DAY
    async with speaking(service, profile=profile) as client:
        answers = [
            await client.put("/webhook", params=query, **sent)
            for query in (expired, {"token": "0" * 32}, {"token": "nonsense"})
            for sent in (ONE_TEXT, {"files": TWO})
        ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    assert answers[0].json()["message"] == "The specified task does not exist or has been deleted"


@pytest.mark.parametrize(
    ("sent", "status", "loc"),
    [
        ({}, 422, ["body"]),
        ({"files": [("note", (None, b"no file"))]}, 422, ["body", "files"]),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, None),
        ({"content": b"x", "headers": TEXT | {"content-length": str(DEFAULT_LIMITS.delivery + 1)}}, 413, None),
        ({"content": b"x", "headers": TEXT | {"content-encoding": "gzip"}}, 415, None),
        (
            {"content": b"x", "headers": TEXT | {"content-disposition": "x" * 3000}},
            422,
            ["header", "Content-Disposition"],
        ),
    ],
)
async def test_what_is_no_payload_is_refused_and_starts_nothing(
    standing: Standing, sent: dict[str, Any], status: int, loc: list[Any] | None
) -> None:
    response = await standing.send(**sent)
    assert (response.status_code, response.json()["status"]) == (status, "Error")
    assert [fault["loc"] for fault in response.json().get("detail", [])] == ([] if loc is None else [loc])
    assert (await standing.service.get(LOCAL, standing.task.id)).counts == Counts()


FOREIGN = ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"})


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "text/csv"])
async def test_no_web_page_of_others_reaches_it(standing: Standing, headers: dict[str, str], content_type: str) -> None:
    response = await standing.send(content=b"x", headers=headers | {"content-type": content_type})
    assert (response.status_code, response.json()["status"]) == (403, "Error")
    assert (await standing.service.get(LOCAL, standing.task.id)).counts == Counts()


async def test_a_page_that_asks_first_is_told_nothing(standing: Standing) -> None:
    """A browser sends a PUT elsewhere only after asking, and forms only by GET and POST."""
    asked = await standing.client.options(
        "/webhook", headers={"origin": "http://evil.example", "access-control-request-method": "PUT"}
    )
    assert asked.status_code == 405
    assert not any(name.startswith("access-control") for name in asked.headers)
    posted = await standing.client.post("/webhook", params=await token(standing.service, standing.task), **ONE_TEXT)
    assert posted.status_code == 405


async def test_another_host_is_not_this_one(standing: Standing) -> None:
    response = await standing.send(content=b"x", headers=TEXT | {"host": "evil.example"})
    assert response.status_code == 421
