"""Does whatever is refused end a poller, and does nobody learn of a task that is not theirs?"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from milepost.access.principal import Grant, Principal, Role
from milepost.errors import NotOpen, Unauthenticated
from milepost.http.app import HttpApp
from milepost.http.dialect import Dialect
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.metavault import Metavault
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.http.dialects.services import Services
from milepost.service import Service
from milepost.store.refusals import StoreBusy
from milepost.task import State
from milepost.times import DAY
from tests.http.conftest import Clock, Tasks, http_app, in_memory

from .states import in_state

UNKNOWN = "00000000-0000-7000-8000-000000000000"
USERS = {
    "ann": Principal("ann", "Ann", (Grant("default", Role.USER),)),
    "bob": Principal("bob", "Bob", (Grant("default", Role.USER),)),
    "eve": Principal("eve", "Eve", (Grant("elsewhere", Role.ADMIN),)),
}


async def by_name(request: Request, operation: object, credentials: str | None) -> Principal:
    """Whoever names one of the users."""
    if credentials not in USERS:
        raise Unauthenticated("This needs a key that is valid here.")
    return USERS[credentials]


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client in open mode, of this dialect beside the native one."""
    async with in_memory(http_app(service, Native(), CloudCoin())) as client:
        yield client


@pytest.fixture
async def guarded(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that has to say who it is."""
    async with in_memory(http_app(service, CloudCoin(), authenticator=by_name)) as client:
        yield client


def ended(answer: httpx2.Response, task_id: str = "") -> dict[str, Any]:
    """The payload of a refusal, which ends all three of the page's pollers."""
    body = answer.json()
    assert body.keys() == {"status", "payload"}
    assert body["status"] == "error"
    payload: dict[str, Any] = body["payload"]
    assert payload == {
        "id": task_id,
        "status": "error",
        "progress": 0,
        "message": payload["message"],
        "data": None,
    }
    assert payload["message"]
    assert b'"progress":0,' in answer.content
    assert not answer.is_success
    assert not answer.has_redirect_location
    return payload


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"/api/v1/tasks/{UNKNOWN}", UNKNOWN),
        (f"/get-task-status/{UNKNOWN.upper()}", UNKNOWN.upper()),
        ("/api/v1/get-task-status/17", "17"),
        ("/api/v1/tasks/a%2Fb%20%C3%BC%00", "a/b ü\0"),
        ("/api/v1/tasks/%FF", "\ufffd"),
        (f"/api/v1/tasks/{UNKNOWN}/", UNKNOWN),
        (f"/api/v1/tasks/{UNKNOWN}/log", ""),
        ("/api/v1/tasks/", ""),
        ("/api/v1/nothing/at/all", ""),
        ("/api/v1/", ""),
        ("/api/v1", ""),
        ("/get-task-status", ""),
    ],
)
async def test_whatever_is_not_there_ends_a_poll(client: httpx2.AsyncClient, path: str, asked: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    ended(answer, asked)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v1/tasks/{UNKNOWN}"),
        ("GET", f"/get-task-status/{UNKNOWN}"),
        ("GET", f"/api/v1/get-task-status/{UNKNOWN}"),
        ("PUT", f"/api/v1/tasks/{UNKNOWN}"),
        ("GET", f"/api/v1/tasks/{UNKNOWN}/"),
    ],
)
async def test_beside_all_other_dialects_its_paths_are_its_own(service: Service, method: str, path: str) -> None:
    everyone: list[Dialect] = [Native(), Metavault(), Services(), Aparavi(), CloudCoin(), Quant()]
    async with in_memory(http_app(service, *everyone)) as client:
        ended(await client.request(method, path), UNKNOWN)
        for other in ("/api/v1/nothing/at/all", "/api/v1/tasks/", "/api/v1"):
            ended(await client.get(other))
        ended(await client.post("/api/v1/nothing", json={}))


async def test_the_older_path_refuses_flat(client: httpx2.AsyncClient) -> None:
    answer = await client.get(f"/api/v1/task/{UNKNOWN}")
    assert answer.status_code == 404
    expected = {"id": UNKNOWN, "status": "error", "progress": 0, "message": "There is no such task.", "data": None}
    assert answer.json() == expected
    assert (await client.delete(f"/api/v1/task/{UNKNOWN}")).json()["id"] == UNKNOWN


async def test_p6_unknown_foreign_and_expired_tasks_look_alike(
    guarded: httpx2.AsyncClient, service: Service, tasks: Tasks, clock: Clock
) -> None:
    theirs = (await guarded.post("/api/v1/export", headers={"authorization": "bob"})).json()["payload"]["id"]
    expired = (await tasks.service.cancel(USERS["bob"], theirs)).id
    own = {"authorization": "ann"}
    mine = (await guarded.post("/api/v1/export", headers=own)).json()["payload"]["id"]
    assert (await guarded.get(f"/api/v1/tasks/{mine}", headers=own)).status_code == 200
    for path in ("/api/v1/tasks/", "/get-task-status/", "/api/v1/get-task-status/", "/api/v1/task/"):
        unknown = await guarded.get(path + UNKNOWN, headers=own)
        foreign = await guarded.get(path + theirs, headers=own)
        elsewhere = await guarded.get(path + mine, headers={"authorization": "eve"})
        for answer, task_id in ((foreign, theirs), (elsewhere, mine)):
            assert answer.status_code == unknown.status_code == 404
            assert answer.text == unknown.text.replace(UNKNOWN, task_id)
            assert answer.headers == unknown.headers
    clock.ahead = 31 * DAY
    gone = await guarded.get(f"/api/v1/tasks/{expired}", headers={"authorization": "bob"})
    never = await guarded.get(f"/api/v1/tasks/{UNKNOWN}", headers={"authorization": "bob"})
    assert (gone.status_code, gone.headers) == (never.status_code, never.headers)
    assert gone.text == never.text.replace(UNKNOWN, expired)


async def test_a_method_that_there_is_not(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await in_state(tasks, State.QUEUED)
    answer = await client.delete(f"/api/v1/tasks/{task.id}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    ended(answer, task.id)
    commands = await client.get("/api/v1/export")
    assert (commands.status_code, commands.headers["allow"]) == (405, "POST")
    ended(commands)


@pytest.mark.parametrize(
    ("content", "content_type", "status", "said"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b'{"a": "\xff"}', "application/json", 400, "not UTF-8"),
        (b"", "application/json", 400, "empty"),
        (b"[" * 200, "application/json", 400, "nested"),
        (b"[]", "application/json", 422, "Expected object, got array."),
        (b'{"input": 1, "input": 2}', "application/json", 422, "input: "),
        (b"rows=3", "application/x-www-form-urlencoded", 415, "application/json"),
        (b'{"export_index": "' + b"x" * (1 << 20) + b'"}', "application/json", 413, "1048576"),
    ],
)
async def test_bodies_that_are_none(
    client: httpx2.AsyncClient, content: bytes, content_type: str, status: int, said: str
) -> None:
    answer = await client.post("/api/v1/export", content=content, headers={"content-type": content_type})
    assert answer.status_code == status
    assert said in ended(answer)["message"]


@pytest.mark.parametrize("name", ["nothing", "tasks", "Export", "%C3%BC"])
async def test_a_command_that_there_is_not(client: httpx2.AsyncClient, name: str) -> None:
    answer = await client.post(f"/api/v1/{name}", json={})
    assert answer.status_code == 404
    assert "no command" in ended(answer)["message"]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nobody"}, {"authorization": "nobody"}])
async def test_who_is_not_known(guarded: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await guarded.get(f"/api/v1/tasks/{UNKNOWN}", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    ended(answer, UNKNOWN)


@pytest.mark.parametrize("credentials", ["ann", "Bearer ann"])
async def test_a_key_is_taken_raw_or_as_a_bearer(guarded: httpx2.AsyncClient, credentials: str) -> None:
    assert (await guarded.post("/api/v1/export", headers={"authorization": credentials})).status_code == 200


async def test_a_command_runs_in_the_caller_s_own_tenant(guarded: httpx2.AsyncClient, tasks: Tasks) -> None:
    answer = await guarded.post("/api/v1/export", headers={"authorization": "eve"})
    task = await tasks.service.get(USERS["eve"], answer.json()["payload"]["id"])
    assert (task.tenant, task.owner) == ("elsewhere", "eve")


async def test_a_web_page_is_kept_out(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/v1/export", json={}, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    ended(answer)
    other = await client.get(f"/api/v1/tasks/{UNKNOWN}", headers={"host": "evil.example"})
    assert other.status_code == 421
    ended(other, UNKNOWN)


@pytest.mark.parametrize(("error", "status"), [(StoreBusy(), 503), (NotOpen("Not open."), 503), (KeyError("x"), 500)])
async def test_a_server_in_trouble(error: Exception, status: int) -> None:
    def service() -> Service:
        raise error

    async with in_memory(HttpApp(service, [CloudCoin()])) as client:
        answer = await client.get(f"/api/v1/tasks/{UNKNOWN}")
    assert answer.status_code == status
    ended(answer, UNKNOWN)


async def test_a_server_may_leave_out_the_raw_path(service: Service) -> None:
    app = http_app(service, CloudCoin())
    sent: list[Any] = []

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/api/v1/tasks/17", "query_string": b""}
    await app({**scope, "headers": [(b"host", b"localhost")]}, receive, send)
    assert sent[0]["status"] == 404
    assert b'"id":"17"' in sent[1]["body"]
