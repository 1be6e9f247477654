import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialect import Call, NoQuery, Operation
from milepost.http.dialects.native import Native
from milepost.http.events import event_stream
from milepost.service import News, Service
from milepost.task import JsonResult, Task
from milepost.times import MILLISECOND, SECOND
from milepost.trigger import Trigger

from .conftest import Tasks, http_app, in_memory, served

PATIENCE = 10


class Event(msgspec.Struct):
    """One event as it was sent; a comment has no name."""

    name: str
    data: Any = None
    id: str | None = None

    @property
    def seq(self) -> int:
        """A log event's number."""
        return int(self.data["seq"])


async def events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """The events of a stream, as the standard reads them."""
    said: dict[str, str] = {}
    async for line in lines:
        if line.startswith(":"):
            yield Event("")
        elif line:
            name, _, value = line.partition(": ")
            said[name] = value
        elif "data" in said:
            yield Event(said["event"], msgspec.json.decode(said["data"]), said.get("id"))
            said = {}
        else:
            said = {}


class Stream:
    """A stream that a test reads event by event."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._events = events(response.aiter_lines())

    async def next(self) -> Event:
        """The next event, comments left out."""
        async with asyncio.timeout(PATIENCE):
            while not (event := await anext(self._events)).name:
                pass
            return event

    async def until(self, name: str, version: int) -> list[Event]:
        """All events up to that of a version."""
        read: list[Event] = []
        while not (read and read[-1].name == name and read[-1].data["version"] >= version):
            read.append(await self.next())
        return read

    async def rest(self) -> list[Event]:
        """All events up to the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            return [event async for event in self._events]


@asynccontextmanager
async def following(remote: httpx2.AsyncClient, task: Task, **headers: str) -> AsyncIterator[Stream]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with remote.stream("GET", f"/v1/tasks/{task.id}/events", headers=sent) as response:
        yield Stream(response)


async def test_the_whole_life_of_a_task_is_told(remote: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    async with following(remote, task) as stream:
        assert stream.response.headers["content-type"] == "text/event-stream"
        assert stream.response.headers["x-accel-buffering"] == "no"
        assert stream.response.headers["cache-control"] == "no-store"
        first = await stream.next()
        assert (first.name, first.id, first.data["to"]) == ("log", None, "queued")
        assert (await stream.next()).id == "1"
        running = (await tasks.claim()).task
        assert [event.name for event in await stream.until("task", running.version)] == ["log", "task"]
        await tasks.report(running, "one", "two", progress=0.5)
        told = await stream.until("task", running.version + 1)
        assert [event.data.get("message") for event in told] == ["one", "two", None]
        assert told[-1].data["progress"] == 0.5
        done = await tasks.succeed(running)
        end = await stream.rest()
        assert [event.name for event in end] == ["log", "log", "task"]
        assert end[-1].data["state"] == "succeeded"
        assert end[-1].id == str(done.version)


async def test_p4_versions_and_numbers_only_rise(remote: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    async with following(remote, task) as stream:
        running = (await tasks.claim()).task
        for step in range(20):
            running = await tasks.report(running, f"line {step}", progress=step / 20)
        await tasks.succeed(running)
        told = await stream.rest()
    versions = [event.data["version"] for event in told if event.name == "task"]
    assert versions == sorted(set(versions))
    assert [event.seq for event in told if event.name == "log"] == list(range(1, 25))


async def test_p8_a_stream_cut_off_anywhere_is_resumed_without_loss(remote: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    running = (await tasks.claim()).task
    for step in range(5):
        running = await tasks.report(running, f"line {step}", f"line {step} again")
    done = await tasks.succeed(running)
    async with following(remote, task) as stream:
        whole = await stream.rest()
    entries = {event.seq: event.data for event in whole if event.name == "log"}
    assert sorted(entries) == list(range(1, done.log_seq + 1))
    for cut in range(len(whole)):
        async with following(remote, task) as stream:
            seen = [await stream.next() for _ in range(cut)]
        last_id = next((event.id for event in reversed(seen) if event.id), "0")
        async with following(remote, task, last_event_id=last_id) as stream:
            if stream.response.status_code == 204:
                rest = []
            else:
                rest = await stream.rest()
        told = {event.seq: event.data for event in [*seen, *rest] if event.name == "log"}
        assert told == entries, f"cut off after {cut} events"
        assert [event for event in [*seen, *rest] if event.name == "task"][-1].id == str(done.version)


async def test_p8_what_happened_while_away_is_told(remote: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.running()
    async with following(remote, running) as stream:
        await stream.until("task", running.version)
    running = await tasks.report(running, "while away", progress=0.25)
    async with following(remote, running, last_event_id=str(running.version - 1)) as stream:
        [missed, record] = await stream.until("task", running.version)
    assert missed.data["message"] == "while away"
    assert record.data["progress"] == 0.25


async def test_p8_a_finished_task_tells_an_event_source_to_stop(remote: httpx2.AsyncClient, tasks: Tasks) -> None:
    done = await tasks.succeeded()
    async with following(remote, done) as stream:
        assert (await stream.rest())[-1].id == str(done.version)
    async with following(remote, done, last_event_id=str(done.version)) as stream:
        assert stream.response.status_code == 204
        assert await stream.response.aread() == b""
    answer = await remote.get(f"/v1/tasks/{done.id}/events?last_event_id={done.version}")
    assert answer.status_code == 204
    async with following(remote, done, last_event_id=str(done.version - 1)) as stream:
        assert (await stream.rest())[-1].id == str(done.version)


async def test_a_repeating_task_is_followed_from_run_to_run(
    remote: httpx2.AsyncClient, tasks: Tasks, service: Service
) -> None:
    task = await tasks.start(trigger=Trigger(every=3600 * SECOND))
    await service.store.enqueue_due(now=service.clock() + 2 * 3600 * SECOND, limit=10)
    async with following(remote, task) as stream:
        done = await tasks.succeed((await tasks.claim()).task)
        assert done.next_run_at is not None
        await stream.until("task", done.version)
        await service.store.enqueue_due(now=done.next_run_at, limit=10)
        assert [event.data.get("to") for event in await stream.until("task", done.version + 1)] == ["queued", None]
    async with following(remote, task, last_event_id=str(done.version)) as stream:
        assert stream.response.status_code == 200


async def test_a_long_log_arrives_whole(remote: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.running()
    for _ in range(3):
        running = await tasks.report(running, *(f"line {number}" for number in range(700)))
    await tasks.succeed(running)
    async with following(remote, running) as stream:
        told = await stream.rest()
    assert [event.seq for event in told if event.name == "log"] == list(range(1, 2105))


async def test_a_task_that_is_deleted_meanwhile_ends_its_stream(tasks: Tasks, service: Service) -> None:
    class Gone(Service):
        """Deletes the task once the stream has been let in."""

        async def follow(self, *args: Any, **options: Any) -> AsyncGenerator[News, None]:
            await service.cancel(LOCAL, task.id)
            await service.delete(LOCAL, task.id)
            async for news in service.follow(*args, **options):
                yield news

    task = await tasks.start()
    gone = Gone(service.store, service.files)
    async with in_memory(http_app(gone)) as client:
        response = await client.get(f"/v1/tasks/{task.id}/events")
    assert (response.status_code, response.text) == (200, "retry: 1000\n\n")


async def test_silence_is_filled_with_comments(service: Service, tasks: Tasks) -> None:
    class Lively(Native):
        """Sends comments more often than one would wait for in a test."""

        def operations(self) -> list[Operation]:
            return [Operation("GET", "/lively/{id}", self.lively)]

        async def lively(self, call: Call[NoQuery, None]) -> Any:
            def render(value: Any) -> bytes:
                return msgspec.json.encode(value)

            return await event_stream(
                call,
                call.path["id"],
                since_version=None,
                render_task=render,
                render_entry=render,
                heartbeat=MILLISECOND,
            )

    task = await tasks.start()
    app = http_app(service, Lively())
    async with (
        served(app, app.stop) as url,
        httpx2.AsyncClient(base_url=url) as client,
        client.stream("GET", f"/lively/{task.id}") as response,
        asyncio.timeout(PATIENCE),
    ):
        stream = events(response.aiter_lines())
        names = [(await anext(stream)).name for _ in range(5)]
    assert names == ["log", "task", "", "", ""]


async def test_a_server_that_stops_ends_its_streams_at_once(app: HttpApp, tasks: Tasks) -> None:
    task = await tasks.start()
    async with httpx2.AsyncClient() as client:
        async with served(app, app.stop) as url:
            response = await client.send(client.build_request("GET", f"{url}/v1/tasks/{task.id}/events"), stream=True)
            stream = Stream(response)
            await stream.until("task", 1)
        assert await stream.rest() == [], "it ended as if it were complete, for the client to come back"
        await response.aclose()


async def test_a_client_that_leaves_ends_its_stream_at_once(
    remote: httpx2.AsyncClient, tasks: Tasks, service: Service
) -> None:
    task = await tasks.start()
    before = asyncio.all_tasks()
    async with following(remote, task) as stream:
        await stream.until("task", 1)
        serving = asyncio.all_tasks() - before
        assert serving
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(serving)


@pytest.mark.parametrize("last_id", ["x", "-1", "1.5", "٣", "9" * 40])
async def test_an_id_that_no_stream_gave_is_refused(last_id: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    headers = [(b"last-event-id", last_id.encode())]
    response = await client.get(f"/v1/tasks/{task.id}/events", headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Last-Event-ID"


async def test_an_unknown_task_has_no_stream(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"/v1/tasks/{'0' * 32}/events")).status_code == 404


async def test_head_does_not_follow(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    async with asyncio.timeout(PATIENCE):
        response = await client.head(f"/v1/tasks/{task.id}/events")
    assert response.headers["content-type"] == "text/event-stream"


async def test_a_result_of_several_lines_is_told_on_one(remote: httpx2.AsyncClient, tasks: Tasks) -> None:
    value = b'{\n  "a": "\\n",\r\n\r\n  "b": 1\r}'
    done = await tasks.succeeded(JsonResult(len(value), msgspec.Raw(value)))
    async with following(remote, done) as stream:
        assert (await stream.rest())[-1].data["result"] == {"a": "\n", "b": 1}


async def test_a_cancel_is_told_as_a_request_first(remote: httpx2.AsyncClient, tasks: Tasks, service: Service) -> None:
    running = await tasks.running()
    async with following(remote, running, last_event_id=str(running.version)) as stream:
        await service.cancel(LOCAL, running.id)
        [asked] = await stream.until("task", running.version + 1)
        assert (asked.data["state"], asked.data["cancel_requested"]) == ("running", True)
        await tasks.apply(running, lifecycle.park)
        assert (await stream.rest())[-1].data["state"] == "cancelled"
