"""Are refusals told as the product's framework tells them, and does nobody learn of a task that is not theirs?"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from milepost.access.principal import Grant, Principal, Role
from milepost.errors import KeyConflict, NotOpen, Unauthenticated
from milepost.http.app import HttpApp
from milepost.http.dialects.metavault import Metavault
from milepost.http.dialects.metavault_shapes import problem_body
from milepost.http.dialects.native import Native
from milepost.service import Service
from milepost.store.refusals import StoreBusy
from milepost.task import State
from milepost.times import DAY
from tests.http.conftest import Clock, Tasks, http_app, in_memory

from .states import in_state
from .wire import raw

UNKNOWN = "00000000000070008000000000000000"
TASKS = "/api/projects/default/tasks"
USERS = {
    "ann": Principal("ann", "Ann", (Grant("default", Role.USER),)),
    "bob": Principal("bob", "Bob", (Grant("default", Role.USER), Grant("other", Role.ADMIN))),
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
    async with in_memory(http_app(service, Native(), Metavault())) as client:
        yield client


@pytest.fixture
async def guarded(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that has to say who it is."""
    async with in_memory(http_app(service, Metavault(), authenticator=by_name)) as client:
        yield client


def problem(answer: httpx2.Response, status: int, section: str) -> dict[str, Any]:
    """The problem that an answer tells, once it is one."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"https://tools.ietf.org/html/rfc9110#section-{section}"
    assert body["status"] == status
    return body


@pytest.mark.parametrize(
    "path",
    [f"{TASKS}/{UNKNOWN}", f"{TASKS}/17", f"{TASKS}/{UNKNOWN}/result", f"/metavault{TASKS}/%C3%BC%00/result"],
)
async def test_a_task_that_there_is_not(client: httpx2.AsyncClient, path: str) -> None:
    body = problem(await client.get(path), 404, "15.5.5")
    assert (body["title"], body["detail"]) == ("Not Found", "There is no such task.")


@pytest.mark.parametrize("path", [f"{TASKS}/", TASKS + "/a/b", "/api/", "/metavault", "/metavault/api/%FF"])
async def test_a_path_that_there_is_not(client: httpx2.AsyncClient, path: str) -> None:
    assert problem(await client.get(path), 404, "15.5.5")["detail"] == "There is nothing at this path."


async def test_p6_unknown_foreign_and_expired_tasks_look_alike(
    guarded: httpx2.AsyncClient, service: Service, clock: Clock
) -> None:
    ann, bob, eve = ({"authorization": name} for name in USERS)
    theirs = (await guarded.post("/api/projects/default/export", headers=bob)).json()["taskId"]
    other = (await guarded.post("/api/projects/other/export", headers=bob)).json()["taskId"]
    assert (await guarded.get(f"{TASKS}/{theirs}", headers=bob)).status_code == 200
    for end in ("", "/result"):
        unknown = await guarded.get(f"{TASKS}/{UNKNOWN}{end}", headers=ann)
        looks = [
            await guarded.get(f"{TASKS}/{theirs}{end}", headers=ann),
            await guarded.get(f"{TASKS}/{theirs}{end}", headers=eve),
            await guarded.get(f"{TASKS}/{other}{end}", headers=bob),  # it may see that one, but in its own project
            await guarded.get(f"/api/projects/other/tasks/{theirs}{end}", headers=bob),
            await guarded.get(f"/api/projects/none/tasks/{theirs}{end}", headers=ann),
        ]
        for look in looks:
            assert (look.status_code, look.content, look.headers) == (404, unknown.content, unknown.headers)
    await service.cancel(USERS["bob"], theirs)
    clock.ahead = 31 * DAY
    gone = await guarded.get(f"{TASKS}/{theirs}", headers=bob)
    never = await guarded.get(f"{TASKS}/{UNKNOWN}", headers=bob)
    assert (gone.status_code, gone.content, gone.headers) == (404, never.content, never.headers)


async def test_a_project_keeps_even_those_of_every_project_apart(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded(raw(1), tenant="p")
    assert (await client.get(f"/api/projects/p/tasks/{task.id}")).status_code == 200
    for end in ("", "/result"):
        problem(await client.get(f"/api/projects/q/tasks/{task.id}{end}"), 404, "15.5.5")


@pytest.mark.parametrize("state", [state for state in State if state is not State.SUCCEEDED])
async def test_a_result_that_there_is_not_yet_or_never(client: httpx2.AsyncClient, tasks: Tasks, state: State) -> None:
    task = await in_state(tasks, state)
    assert state in problem(await client.get(f"{TASKS}/{task.id}/result"), 404, "15.5.5")["detail"]


async def test_p7_a_result_that_there_is_not_any_more(
    client: httpx2.AsyncClient, tasks: Tasks, clock: Clock, service: Service
) -> None:
    nothing = await in_state(tasks, State.SUCCEEDED)
    problem(await client.get(f"{TASKS}/{nothing.id}/result"), 404, "15.5.5")
    lost = await tasks.with_file(b"a")
    await service.files.delete([lost.result.key])  # type: ignore[union-attr]
    problem(await client.get(f"{TASKS}/{lost.id}/result"), 404, "15.5.5")
    clock.ahead = 8 * DAY
    problem(await client.get(f"{TASKS}/{lost.id}/result"), 404, "15.5.5")


async def test_a_range_that_there_is_not(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"a")
    answer = await client.get(f"{TASKS}/{task.id}/result", headers={"range": "bytes=7-"})
    assert problem(answer, 416, "15.5.17")["detail"] == "The result has 1 bytes."
    assert answer.headers["content-range"] == "bytes */1"


async def test_a_method_that_there_is_not(client: httpx2.AsyncClient) -> None:
    answer = await client.delete(f"{TASKS}/{UNKNOWN}")
    assert problem(answer, 405, "15.5.6")["title"] == "Method Not Allowed"
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"rows": "three"}, {"rows": ['"three" is not of type "integer".']}),
        (
            {"pages": 3, "rows": "x"},
            {"pages": ["There is no such argument here."], "rows": ['"x" is not of type "integer".']},
        ),
        ([], {"$": ["Expected object, got array."]}),
    ],
)
async def test_what_is_wrong_is_said_by_field(client: httpx2.AsyncClient, body: Any, errors: Any) -> None:
    answer = await client.post("/api/projects/p/export", json=body)
    told = problem(answer, 400, "15.5.1")
    assert told["title"] == "One or more validation errors occurred."
    assert told["errors"] == errors
    assert told.keys() == {"type", "title", "status", "errors"}


async def test_a_project_s_name_may_be_wrong(client: httpx2.AsyncClient) -> None:
    answer = await client.post(f"/api/projects/{'p' * 201}/export", json={"tenant": 1})
    errors = problem(answer, 400, "15.5.1")["errors"]
    assert errors == {"projectId": ["From 1 to 200 characters."], "tenant": ["There is no such argument here."]}


@pytest.mark.parametrize(
    ("content", "content_type", "status", "section"),
    [
        (b"{", "application/json", 400, "15.5.1"),
        (b'{"a": "\xff"}', "application/json", 400, "15.5.1"),
        (b"", "application/json", 400, "15.5.1"),
        (b"rows=3", "application/x-www-form-urlencoded", 415, "15.5.16"),
        (b'"' + b"x" * (1 << 20) + b'"', "application/json", 413, "15.5.14"),
    ],
)
async def test_bodies_that_are_none(
    client: httpx2.AsyncClient, content: bytes, content_type: str, status: int, section: str
) -> None:
    answer = await client.post("/api/projects/p/export", content=content, headers={"content-type": content_type})
    told = problem(answer, status, section)
    assert ("errors" in told) is (status == 400)
    if status == 400:
        assert "The body is" in told["errors"]["$"][0]


@pytest.mark.parametrize("name", ["nothing", "tasks", "Export", "%C3%BC"])
async def test_a_call_that_there_is_not(client: httpx2.AsyncClient, name: str) -> None:
    answer = await client.post(f"/api/projects/p/{name}", json={})
    assert "no call" in problem(answer, 404, "15.5.5")["detail"]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nobody"}, {"authorization": "nobody"}])
async def test_who_is_not_known(guarded: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await guarded.get(f"{TASKS}/{UNKNOWN}", headers=headers)
    assert problem(answer, 401, "15.5.2")["title"] == "Unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("credentials", ["ann", "Bearer ann", "mvpat-ann", "Bearer mvpat-ann"])
async def test_a_token_is_taken_raw_or_as_a_bearer(guarded: httpx2.AsyncClient, credentials: str) -> None:
    answer = await guarded.post("/api/projects/default/export", headers={"authorization": credentials})
    assert answer.status_code == 202


async def test_who_has_no_right_in_a_project_begins_nothing_there(guarded: httpx2.AsyncClient) -> None:
    answer = await guarded.post("/api/projects/other/export", headers={"authorization": "ann"})
    assert problem(answer, 403, "15.5.4")["title"] == "Forbidden"


async def test_a_web_page_is_kept_out(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/projects/p/export", json={}, headers={"origin": "https://evil.example"})
    problem(answer, 403, "15.5.4")
    problem(await client.get(f"{TASKS}/{UNKNOWN}", headers={"host": "evil.example"}), 421, "15.5.20")


@pytest.mark.parametrize(
    ("error", "status", "section"),
    [(StoreBusy(), 503, "15.6.4"), (NotOpen("Not open."), 503, "15.6.4"), (KeyError("x"), 500, "15.6.1")],
)
async def test_a_server_in_trouble(error: Exception, status: int, section: str) -> None:
    def service() -> Service:
        raise error

    async with in_memory(HttpApp(service, [Metavault()])) as client:
        problem(await client.get(f"{TASKS}/{UNKNOWN}"), status, section)


def test_a_refusal_without_a_section_has_a_type_all_the_same() -> None:
    assert problem_body(KeyConflict("Another one.")).type == "about:blank"
