"""A token names a task and gives no rights: these come from the key alone, in whichever way it is shown."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2
import pytest
from starlette.requests import Request

from milepost.access.principal import EVERY_TENANT, Grant, Principal, Role
from milepost.errors import Unauthenticated
from milepost.http.dialect import Operation
from milepost.http.dialects.aparavi import Aparavi
from milepost.service import Service
from milepost.task import Counts, State
from tests.http.conftest import Tasks, http_app, in_memory
from tests.http.dialects.aparavi_wire import PIPELINE, STANDING, started, token

PEOPLE: Final[Mapping[str, Principal]] = {
    name: Principal(name, name.title(), (Grant(tenant, role),))
    for name, tenant, role in (
        ("ada", "acme", Role.USER),
        ("bob", "acme", Role.USER),
        ("mia", "acme", Role.MEMBER),
        ("root", "acme", Role.ADMIN),
        ("eve", "other", Role.ADMIN),
        ("ci", EVERY_TENANT, Role.SERVICE),
    )
}
TEXT: dict[str, Any] = {"content": b"x", "headers": {"content-type": "text/plain"}}
REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "/task", {}),
    ("HEAD", "/task", {}),
    ("DELETE", "/task", {}),
    ("PUT", "/webhook", TEXT),
)


async def by_name(request: Request, operation: Operation, credentials: str | None) -> Principal:
    """A key is its holder's name."""
    if credentials is None or credentials not in PEOPLE:
        raise Unauthenticated("This needs a key.")
    return PEOPLE[credentials]


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    await service.store.publish_types([PIPELINE])
    async with in_memory(http_app(service, Aparavi(), authenticator=by_name)) as client:
        yield client


async def ask(
    client: httpx2.AsyncClient, who: str, method: str, path: str, query: Mapping[str, str], sent: Mapping[str, Any]
) -> tuple[int, str, str]:
    headers = {"authorization": who} | dict(sent.get("headers", {}))
    answer = await client.request(method, path, params=query, headers=headers, content=sent.get("content"))
    return answer.status_code, answer.text, str(answer.headers)


async def test_a_key_is_shown_raw_or_as_bearer(client: httpx2.AsyncClient) -> None:
    for shown in ("ada", "Bearer ada", "bearer ada"):
        answer = await client.get("/version", headers={"authorization": shown})
        assert answer.status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": "nonsense"}, {"authorization": "Bearer nonsense"}])
async def test_without_a_valid_key_there_is_nothing(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    for method, path in (
        *((method, path) for method, path, _ in REQUESTS if method != "HEAD"),
        *(("PUT", "/task"), ("POST", "/pipe/validate"), ("GET", "/services"), ("GET", "/status"), ("GET", "/version")),
    ):
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"status": "Error", "error": "Unauthorized", "message": "Invalid API key"}
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_p6_only_who_started_it_is_told_of_a_task(client: httpx2.AsyncClient, service: Service) -> None:
    """Others, with the token in their hands, are answered as if it stood for nothing."""
    client.headers["authorization"] = "ada"
    said = await started(client, STANDING)
    shown = (await client.get("/task", params=said)).json()["data"]["id"]
    for method, path, sent in REQUESTS:
        nothing = await ask(client, "bob", method, path, {"token": "nonsense", "type": "cpu"}, sent)
        assert nothing[0] == 404
        for stranger in ("bob", "mia", "root", "eve"):
            for query in (said, {"token": shown}, {"token": "0" * 32}):
                assert await ask(client, stranger, method, path, query, sent) == nothing
    read = (await client.get("/task", params=said)).json()["data"]
    assert (read["status"], read["total_files"]) == ("Running", 0)
    task = await service.get(PEOPLE["ada"], shown.removeprefix("task_"))
    assert (task.owner, task.tenant, task.counts) == ("ada", "acme", Counts())


async def test_a_service_may_read_and_end_it(client: httpx2.AsyncClient) -> None:
    client.headers["authorization"] = "ada"
    said = await started(client, STANDING)
    client.headers["authorization"] = "ci"
    assert (await client.get("/task", params=said)).json()["data"]["status"] == "Running"
    assert (await client.delete("/task", params=said)).json()["data"]["cancelled"]


async def test_the_status_counts_nobody_else_s_tasks(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.start(owner="ada", tenant="acme")
    for who, counts in (
        ("ada", {"Created": 1}),
        ("ci", {"Created": 1}),
        ("mia", {}),
        ("root", {}),
        ("bob", {}),
        ("eve", {}),
    ):
        answer = await client.get("/status", headers={"authorization": who})
        assert answer.json()["data"]["tasks"] == counts


async def test_the_token_of_a_task_that_another_dialect_started_works_for_its_owner(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks
) -> None:
    task = await tasks.start(owner="ada", tenant="acme", runner="external", state=State.RUNNING, assignee="bob")
    query = await token(service, task)
    answers = {who: (await client.get("/task", params=query, headers={"authorization": who})) for who in PEOPLE}
    assert {who: answer.status_code for who, answer in answers.items()} == {
        "ada": 200,
        "bob": 404,
        "mia": 404,
        "root": 404,
        "eve": 404,
        "ci": 200,
    }
