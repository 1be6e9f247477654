"""Do all dialects show the same record, at the same moment, to the same callers?"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx2
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator, validate
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.http.dialects.known import NAMES, dialects
from milepost.service import Service
from milepost.task import Counts, Failure, JsonResult, State, Task
from milepost.times import DAY, HOUR
from tests.http.conftest import Clock, Tasks, http_app, in_memory

from .addresses import READINGS, TENANT, paths
from .states import in_state

LARGE: Final = "x" * 100_000


@pytest.fixture
def app(service: Service) -> Any:
    return http_app(service, *dialects())


async def read_all(client: httpx2.AsyncClient, service: Service, task: Task, **headers: str) -> dict[str, Any]:
    """The answer of each dialect about a task."""
    there = await paths(service, task)
    return {name: await client.get(path, headers=headers) for name, path in there.items()}


def version_of(response: httpx2.Response, dialect: str) -> int:
    version, _, rest = response.headers["etag"].strip('"').partition("-")
    assert rest.startswith(dialect)
    return int(version)


def test_every_dialect_is_read_here() -> None:
    assert tuple(READINGS) == NAMES
    with pytest.raises(ValueError, match="no dialect 'esperanto'"):
        dialects(["native", "esperanto"])
    assert [dialect.name for dialect in dialects(["quant", "native"])] == ["native", "quant"]


@pytest.mark.parametrize("state", State)
async def test_p4_a_task_in_any_state_reads_at_the_same_version_in_every_dialect(
    state: State, client: httpx2.AsyncClient, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "start", in_tenant(tasks))
    task = await in_state(tasks, state)
    assert (task.state, task.tenant) == (state, TENANT)
    for name, response in (await read_all(client, tasks.service, task)).items():
        assert response.status_code == 200, (name, response.text)
        assert READINGS[name].state(response.json()) == READINGS[name].words[list(State).index(state)], name
        assert version_of(response, name) == task.version
        again = await client.get(response.url, headers={"if-none-match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), name


def in_tenant(tasks: Tasks) -> Callable[..., Awaitable[Task]]:
    start = tasks.start

    async def started(type: str = "export", **fields: Any) -> Task:
        return await start(type, tenant=TENANT, **fields)

    return started


async def test_p4_a_life_is_followed_step_by_step_in_every_dialect(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    service = tasks.service
    task = await tasks.start(tenant=TENANT, max_attempts=2)
    seen = 0

    async def check(task: Task) -> None:
        nonlocal seen
        assert task.version > seen
        seen = task.version
        for name, response in (await read_all(client, service, task)).items():
            assert version_of(response, name) == seen, name
            word = READINGS[name].words[list(State).index(task.state)]
            assert READINGS[name].state(response.json()) == word, name

    await check(task)
    task = (await tasks.claim()).task
    await check(task)
    task = await tasks.report(task, "half", progress=0.5, counts=Counts(5, 10))
    await check(task)
    answers = await read_all(client, service, task)
    assert answers["native"].json()["progress"] == answers["quant"].json()["progress"] == 0.5
    assert answers["cloudcoin"].json()["payload"]["progress"] == answers["aparavi"].json()["data"]["progress"] == 50
    task = await tasks.apply(task, lifecycle.fail, failure=Failure("broken", "It broke."), retry_in=0)
    await check(task)
    await check(await service.pause(LOCAL, task.id))
    await check(await service.resume(LOCAL, task.id))
    task = (await tasks.claim()).task
    await check(await service.cancel(LOCAL, task.id))
    task = await tasks.apply(task, lifecycle.park)
    await check(task)
    await check(await service.retry(LOCAL, task.id))
    await check(await tasks.succeed((await tasks.claim()).task, json_of({"rows": 3})))


def json_of(value: Any) -> JsonResult:
    encoded = msgspec.json.encode(value)
    return JsonResult(len(encoded), msgspec.Raw(encoded))


RESULTS: Final[Mapping[str, tuple[Any, Any, Any]]] = {
    # What a function gave; what CloudCoin shows of it, and Quant.
    "null": (None, None, {"value": None}),
    "scalar": (42, "42", {"value": 42}),
    "list": ([1, "a"], '[1,"a"]', {"value": [1, "a"]}),
    "object": ({"online": 25}, {"online": 25}, {"online": 25}),
    "text": ("OK", "OK", {"value": "OK"}),
    "large": ({"text": LARGE}, {"text": LARGE}, {"text": LARGE}),
}


@pytest.mark.parametrize("kind", RESULTS)
async def test_p4_a_json_result_reads_in_every_dialect(kind: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    value, in_cloudcoin, in_quant = RESULTS[kind]
    task = await tasks.succeeded(json_of(value), tenant=TENANT)
    answers = await read_all(client, tasks.service, task)
    assert {version_of(response, name) for name, response in answers.items()} == {task.version}
    bodies = {name: response.json() for name, response in answers.items()}
    if kind == "large":
        bodies["native"]["result"] = (await client.get(bodies["native"]["result"]["url"])).json()
    assert bodies["native"]["result"] == value
    raw = await client.get(bodies["metavault"]["_links"]["result"])
    assert (raw.json(), raw.headers["content-type"]) == (value, "application/json")
    assert bodies["services"]["result"] == ""
    assert bodies["aparavi"]["data"]["completed"] is True
    assert bodies["cloudcoin"]["payload"]["data"] == in_cloudcoin
    assert bodies["quant"]["result"] == in_quant


async def test_p4_a_file_reads_in_every_dialect(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    content = b"a,b\n1,2\n"
    task = await tasks.with_file(content, "Wallet_Export-1.csv", "text/csv", tenant=TENANT)
    bodies = {n: response.json() for n, response in (await read_all(client, tasks.service, task)).items()}
    assert bodies["services"]["result"] == "Wallet_Export-1.csv"
    urls = [
        bodies["native"]["result"]["url"],
        bodies["metavault"]["_links"]["result"],
        (await client.get(f"/tasks/{task.number}/download_url?chain={TENANT}")).json()["url"],
        bodies["cloudcoin"]["payload"]["data"]["url"],
        bodies["quant"]["result"]["file"]["url"],
    ]
    for url in urls:
        response = await client.get(url)
        assert response.content == content, url
        assert response.headers["content-type"].startswith("text/csv")
    known = {"name": "Wallet_Export-1.csv", "media_type": "text/csv", "size": len(content)}
    assert known.items() <= bodies["cloudcoin"]["payload"]["data"].items()
    assert known.items() <= bodies["quant"]["result"]["file"].items()


class Keys:
    """One key for each kind of asker."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    def __getitem__(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._secrets[name]}"}


@pytest.fixture
async def keys(service: Service) -> Keys:
    """The owner of the tasks, colleagues of each role, strangers and a service."""
    grants = {
        "owner": f"{TENANT}:user",
        "colleague": f"{TENANT}:user",
        "member": f"{TENANT}:member",
        "admin": f"{TENANT}:admin",
        "stranger": "99:admin",
        "service": "*:service",
    }
    return Keys({name: (await service.keys.add(name, [grant]))[1] for name, grant in grants.items()})


@pytest.mark.parametrize("who", ["owner", "member", "admin", "service"])
async def test_who_has_the_right_reads_it_in_every_dialect(
    who: str, keys: Keys, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    task = await tasks.start(tenant=TENANT, owner="owner")
    for name, response in (await read_all(client, tasks.service, task, **keys[who])).items():
        if name in OF_OWNERS and who not in ("owner", "service"):
            assert response.status_code == 404, name
            continue
        assert response.status_code == 200, (name, response.text)
        assert version_of(response, name) == task.version


OF_OWNERS: Final = frozenset({"aparavi"})
"""What these tell of a task they tell its owner alone, and services."""


@pytest.mark.parametrize("who", ["colleague", "stranger"])
async def test_p6_what_is_not_one_s_own_reads_as_what_is_not_there_in_every_dialect(
    who: str, keys: Keys, client: httpx2.AsyncClient, tasks: Tasks, clock: Clock
) -> None:
    gone = await tasks.succeeded(tenant=TENANT, owner=who, keep_record=HOUR)
    foreign = await tasks.start(tenant=TENANT, owner="owner")
    unknown = msgspec.structs.replace(foreign, id="0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40", number=4711)
    clock.ahead = DAY
    told: dict[str, list[Any]] = {name: [] for name in READINGS}
    for task in (unknown, foreign, gone):
        for name, response in (await read_all(client, tasks.service, task, **keys[who])).items():
            if name == "cloudcoin":  # it tells the id that was asked for
                assert response.json()["payload"]["id"] == task.id
            body = response.text.replace(task.id, "ID")
            headers = {n: v for n, v in response.headers.items() if n != "content-length" or name != "cloudcoin"}
            told[name].append((response.status_code, headers, body))
    for name, (first, *others) in told.items():
        assert first[0] == 404, name
        assert others == [first, first], name


async def test_who_shows_no_key_is_told_so_in_every_dialect(
    keys: Keys, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    task = await tasks.start(tenant=TENANT, owner="owner")
    for headers in ({}, {"authorization": "Bearer mp_0123456789abcdef_" + "0" * 64}, {"authorization": "nonsense"}):
        for name, response in (await read_all(client, tasks.service, task, **headers)).items():
            assert response.status_code == 401, name
            assert "application/" in response.headers["content-type"]


@pytest.mark.parametrize("name", READINGS)
@pytest.mark.parametrize("prefix", ["", "/operations/api"])
async def test_each_is_served_alone_and_beneath_a_prefix(
    name: str, prefix: str, service: Service, tasks: Tasks
) -> None:
    task = await tasks.start(tenant=TENANT)
    app: Any = http_app(service, *dialects([name]))
    if prefix:
        app = Starlette(routes=[Mount(prefix, app)])
    async with in_memory(app) as alone:
        for other, path in (await paths(service, task)).items():
            response = await alone.get(prefix + path)
            assert (response.status_code == 200) == (other == name), other
        document = (await alone.get(f"{prefix}/openapi.json")).json()
        assert document == (await alone.get(f"{prefix}/openapi/{name}.json")).json()
        assert document["servers"] == [{"url": prefix or "/"}]


@pytest.mark.parametrize("name", READINGS)
async def test_each_has_its_document_in_either_edition(name: str, client: httpx2.AsyncClient) -> None:
    newer, older = [(await client.get(f"/openapi/{name}{edition}.json")).json() for edition in ("", "-3.0")]
    validate(newer, cls=OpenAPIV31SpecValidator)
    validate(older, cls=OpenAPIV30SpecValidator)
    assert newer["paths"].keys() == older["paths"].keys()
    assert newer["components"]["securitySchemes"] == older["components"]["securitySchemes"]
    assert f"/docs/{name}" in (await client.get(f"/docs/{name}")).text
