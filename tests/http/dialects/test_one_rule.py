"""Is the same asked by the same answered by one rule, in every operation of every dialect?

What is expected of each request is worked out from the rule of `tests/service/test_roles.py`, and from what there is to
be asked (`asking.py`).
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import httpx2
import msgspec
import pytest

from milepost import lifecycle
from milepost.access.principal import EVERY_TENANT, LOCAL, Principal, Role
from milepost.http.app import HttpApp
from milepost.http.dialect import Dialect
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.cloudcoin import OTHER_NAMES, CloudCoin
from milepost.http.dialects.known import NAMES
from milepost.http.dialects.metavault import Metavault
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.http.dialects.services import Services
from milepost.http.lines import NDJSON
from milepost.service import DEFAULT_TENANT, Service
from milepost.store.protocol import Filter
from milepost.task import Failure, State, Task
from tests.http.conftest import EXPORT, Tasks, http_app, in_memory
from tests.service.test_roles import ASKERS, sees

from .aparavi_wire import PIPELINE
from .asking import ASKED, About, Asked, Counting, Listing, Place, Prepared, Server, Starting

NUMBERED: Final = {"acme": "1764", "beta": "1765", "gamma": "1766", EVERY_TENANT: EVERY_TENANT}
"""The tenants, by names that all dialects have."""
ACME: Final = NUMBERED["acme"]
TASKS: Final[Mapping[str, dict[str, Any]]] = {
    "own": {"tenant": ACME, "owner": "asker"},
    "assigned": {"tenant": ACME, "owner": "other", "assignee": "asker"},
    "another's": {"tenant": ACME, "owner": "other"},
    "own in another tenant": {"tenant": NUMBERED["gamma"], "owner": "asker"},
    "assigned in another tenant": {"tenant": NUMBERED["gamma"], "owner": "other", "assignee": "asker"},
}
OF_OWNERS: Final = frozenset({"aparavi"})
"""Dialects that tell of a task to its owner alone, and to services."""

WITH_KEY: Final = tuple(role for role in ASKERS if role != "nobody")
WITHOUT: Final = ("no key", "no such key", "another secret", "revoked", "nonsense")
"""Who shows what is no key, or none any more: the last of an admin."""

ALLOWED, UNKNOWN_CALLER, FORBIDDEN, NOT_FOUND = "allowed", 401, 403, 404
ABSENT: Final = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"


def tells(dialect: str, role: str, whose: str) -> bool:
    """Whether a dialect tells a role of a task."""
    if dialect in OF_OWNERS and role != "service" and whose != "own":
        return False
    return role in WITH_KEY and sees(role, whose)


def of_task(dialect: str, asked: About, asker: str, whose: str) -> str | int:
    """What becomes of a request about a task."""
    if asker in WITHOUT:
        return UNKNOWN_CALLER
    if not tells(dialect, asker, whose):
        return NOT_FOUND
    return FORBIDDEN if asked.needs == "admin" and asker not in ("admin", "service") else ALLOWED


def of_start(asked: Starting, asker: str, tenant: str) -> str | int:
    """What becomes of a request to start a task: with any role in a tenant one may."""
    if asker in WITHOUT:
        return UNKNOWN_CALLER
    who: Principal = ASKERS[asker]
    meant = tenant if asked.names_tenant else NUMBERED.get(who.home or "", DEFAULT_TENANT)
    return ALLOWED if who.is_service or meant in {NUMBERED[grant.tenant] for grant in who.grants} else FORBIDDEN


def of_server(asked: Server, asker: str) -> str | int:
    """What becomes of a request about the server."""
    if asked.of == "all":
        return ALLOWED
    if asker in WITHOUT:
        return UNKNOWN_CALLER
    if asked.of == "admins":
        return ALLOWED if any(grant.role in (Role.ADMIN, Role.SERVICE) for grant in ASKERS[asker].grants) else FORBIDDEN
    return FORBIDDEN if asked.of == "services" and asker != "service" else ALLOWED


class Askers(NamedTuple):
    """One key for each kind of asker, as it is shown."""

    headers: Mapping[str, dict[str, str]]

    @classmethod
    async def of(cls, service: Service) -> "Askers":
        """Make them."""
        secrets = {}
        for role in WITH_KEY:
            grants = [f"{NUMBERED[grant.tenant]}:{grant.role}" for grant in ASKERS[role].grants]
            _, secrets[role] = await service.keys.add("asker", grants)
        key, secrets["revoked"] = await service.keys.add("asker", [f"{ACME}:admin"])
        await service.keys.revoke(key.id)
        secrets["no such key"] = "mp_0123456789abcdef_" + "0" * 64
        secrets["another secret"] = secrets["admin"][:-64] + "0" * 64
        secrets["nonsense"] = "nonsense"
        return cls({"no key": {}} | {who: {"authorization": f"Bearer {key}"} for who, key in secrets.items()})


@pytest.fixture
async def app(service: Service) -> HttpApp:
    """Every dialect."""
    commands = [msgspec.structs.replace(EXPORT, name=name) for name in OTHER_NAMES.values()]
    await service.store.publish_types([EXPORT, PIPELINE, *commands])
    return http_app(service, *spoken())


@pytest.fixture
async def askers(service: Service) -> Askers:
    return await Askers.of(service)


@pytest.fixture
async def quiet(app: HttpApp) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server that is about to stop: whoever waits is answered at once."""
    app.stop()
    async with in_memory(app) as client:
        yield client


def spoken() -> list[Dialect]:
    """The dialects."""
    return [Native(), Metavault(), Services(execute_wait=0), Aparavi(), CloudCoin(), Quant()]


async def prepare(tasks: Tasks, prepared: Prepared, fields: Mapping[str, Any]) -> Task:
    """A task that stands so."""
    service = tasks.service
    if prepared in ("failed", "succeeded"):
        for waiting in (await service.find(LOCAL, Filter(states=(State.QUEUED,)))).tasks:
            await service.cancel(LOCAL, waiting.id)  # so that a worker takes the next one first
    match prepared:
        case "queued":
            return await tasks.start(**fields)
        case "paused":
            return await service.pause(LOCAL, (await tasks.start(**fields)).id)
        case "failed":
            running = await tasks.running(**fields)
            failure = Failure("broken", "It is broken.")
            return await tasks.apply(running, lifecycle.fail, failure=failure, traceback="Trace")
        case "succeeded":
            return await tasks.with_file(b"a,b\n", **fields)
        case "standing":
            return await tasks.start(**fields, runner="external", state=State.RUNNING)


async def ask(
    client: httpx2.AsyncClient, operation: str, path: str, headers: Mapping[str, str], send: Mapping[str, Any]
) -> httpx2.Response:
    """The answer to a request."""
    method, _ = operation.split()
    return await client.request(method, path, **{**send, "headers": {**send.get("headers", {}), **headers}})


def verdict(response: httpx2.Response, status: int | None = None) -> str | int:
    """What has become of a request; `status` is that of an allowed one, if it is no success."""
    found = response.status_code
    return ALLOWED if (found == status if status is not None else 200 <= found < 300) else found


def told(response: httpx2.Response, place: Place) -> tuple[Any, ...]:
    """All that an answer says, but for the names of the task that was asked for."""
    text = response.text
    for name in (place.id, place.id.replace("-", ""), place.token):
        text = text.replace(name, "TASK")
    return response.status_code, sorted(response.headers.multi_items()), text


def every(kind: type[Asked]) -> list[Any]:
    """The requests of a kind."""
    return [
        pytest.param(dialect, operation, asked, id=f"{dialect} {operation} {number}")
        for dialect, operations in ASKED.items()
        for operation, requests in operations.items()
        for number, asked in enumerate(requests)
        if isinstance(asked, kind)
    ]


def test_no_operation_of_any_dialect_is_left_out() -> None:
    assert tuple(ASKED) == NAMES
    for dialect in spoken():
        there = [f"{operation.method} {operation.path}" for operation in dialect.operations()]
        assert sorted(there) == sorted(ASKED[dialect.name]), dialect.name
        assert all(ASKED[dialect.name].values())


@pytest.mark.parametrize(("dialect", "operation", "asked"), every(About))
async def test_p6_a_task_is_asked_for_by_the_rule(
    dialect: str, operation: str, asked: About, quiet: httpx2.AsyncClient, tasks: Tasks, askers: Askers
) -> None:
    there = {whose: await prepare(tasks, asked.prepared, fields) for whose, fields in TASKS.items()}
    for asker, headers in askers.headers.items():
        for whose, task in there.items():
            place = Place(task.tenant, task.id, task.number, await tasks.service.token_of(task))
            response = await ask(quiet, operation, place.within(asked.path), headers, asked.send)
            expected = of_task(dialect, asked, asker, whose)
            assert verdict(response, asked.status) == expected, (asker, whose, response.text)
            if expected == ALLOWED:
                if not operation.startswith("GET"):
                    there[whose] = await prepare(tasks, asked.prepared, TASKS[whose])
                continue
            assert await tasks.service.get(LOCAL, task.id) == task, (asker, whose)
            if expected != FORBIDDEN:
                nothing = await nowhere(tasks.service, task)
                absent = await ask(quiet, operation, nothing.within(asked.path), headers, asked.send)
                assert told(response, place) == told(absent, nothing), (asker, whose)


async def nowhere(service: Service, task: Task) -> Place:
    """Where no task is, in the same tenant."""
    token = await service.token_of(msgspec.structs.replace(task, id=ABSENT))
    return Place(task.tenant, ABSENT, 4711, token)


@pytest.mark.parametrize(("dialect", "operation", "asked"), [p for p in every(About) if "{tenant}" in p.values[2].path])
async def test_p6_a_task_is_in_its_tenant_and_in_no_other_for_anybody(
    dialect: str, operation: str, asked: About, quiet: httpx2.AsyncClient, tasks: Tasks, askers: Askers
) -> None:
    for _ in range(2):  # its number is none of the other tenant's
        await tasks.start(tenant=ACME)
    task = await prepare(tasks, asked.prepared, TASKS["own"])
    place = Place(NUMBERED["beta"], task.id, task.number, "")
    nothing = Place(NUMBERED["beta"], ABSENT, 4711, "")
    for asker in WITH_KEY:
        response, absent = [
            await ask(quiet, operation, where.within(asked.path), askers.headers[asker], asked.send)
            for where in (place, nothing)
        ]
        assert verdict(response, asked.status) == NOT_FOUND, (dialect, asker)
        assert told(response, place) == told(absent, nothing), (dialect, asker)


@pytest.mark.parametrize(("dialect", "operation", "asked"), every(Starting))
async def test_a_task_is_started_by_the_rule(
    dialect: str, operation: str, asked: Starting, client: httpx2.AsyncClient, tasks: Tasks, askers: Askers
) -> None:
    for asker, headers in askers.headers.items():
        for tenant in (ACME, NUMBERED["gamma"]):
            response = await ask(
                client, operation, asked.path.format(tenant=tenant), headers, naming(asked, tenant, dialect)
            )
            expected = of_start(asked, asker, tenant)
            found = verdict(response)
            if asked.of_lines and expected != UNKNOWN_CALLER:
                found = {202: ALLOWED}.get(response.json()["status"], response.json()["status"])
            assert found == expected, (asker, tenant, response.text)
    known = {task.tenant for task in (await tasks.service.find(LOCAL, Filter())).tasks}
    assert known <= {*NUMBERED.values(), DEFAULT_TENANT}


def naming(asked: Starting, tenant: str, dialect: str) -> Mapping[str, Any]:
    """What is sent to start a task in a tenant."""
    if asked.named is None:
        return asked.send
    body = {**asked.send["json"], asked.named: int(tenant) if dialect == "services" else tenant}
    if asked.of_lines:
        return {"content": json.dumps(body) + "\n", "headers": {"content-type": NDJSON}}
    return {**asked.send, "json": body}


@pytest.mark.parametrize(("dialect", "operation", "asked"), every(Listing))
async def test_p6_a_list_has_what_the_rule_lets_one_see(
    dialect: str, operation: str, asked: Listing, client: httpx2.AsyncClient, tasks: Tasks, askers: Askers
) -> None:
    for whose, fields in TASKS.items():
        await tasks.start(**fields, title=f"<{whose}>", list_id="shared")
    for asker, headers in askers.headers.items():
        for tenant in (ACME, NUMBERED["gamma"]):
            response = await ask(client, operation, asked.path.format(tenant=tenant), headers, {})
            if asker in WITHOUT:
                assert response.status_code == UNKNOWN_CALLER
                continue
            assert response.status_code == 200, response.text
            listed = {whose for whose in TASKS if f"<{whose}>" in response.text}
            asked_for = {whose for whose in TASKS if "{tenant}" not in asked.path or TASKS[whose]["tenant"] == tenant}
            assert listed == {whose for whose in asked_for if tells(dialect, asker, whose)}, asker


@pytest.mark.parametrize(("dialect", "operation", "asked"), every(Counting))
async def test_p6_a_count_has_what_the_rule_lets_one_see(
    dialect: str, operation: str, asked: Counting, client: httpx2.AsyncClient, tasks: Tasks, askers: Askers
) -> None:
    for fields in TASKS.values():
        await tasks.start(**fields)
    for asker, headers in askers.headers.items():
        response = await ask(client, operation, asked.path, headers, {})
        if asker in WITHOUT:
            assert response.status_code == UNKNOWN_CALLER
            continue
        counted = sum(response.json()["data"]["tasks"].values())
        assert counted == sum(tells(dialect, asker, whose) for whose in TASKS), asker


@pytest.mark.parametrize(("dialect", "operation", "asked"), every(Server))
async def test_the_server_is_asked_by_the_rule(
    dialect: str, operation: str, asked: Server, client: httpx2.AsyncClient, askers: Askers
) -> None:
    for asker, headers in askers.headers.items():
        response = await ask(client, operation, asked.path, headers, asked.send)
        assert verdict(response, asked.status) == of_server(asked, asker), (dialect, asker, response.text)


async def test_who_shows_what_is_no_key_is_told_the_same_whatever_it_is(
    quiet: httpx2.AsyncClient, tasks: Tasks, askers: Askers
) -> None:
    task = await tasks.start(**TASKS["own"])
    place = Place(task.tenant, task.id, task.number, await tasks.service.token_of(task))
    for dialect, operations in ASKED.items():
        for operation, requests in operations.items():
            for asked in requests:
                if isinstance(asked, About):
                    path = place.within(asked.path)
                    answers = [await ask(quiet, operation, path, askers.headers[who], asked.send) for who in WITHOUT]
                    assert len({str(told(response, place)) for response in answers}) == 1, (dialect, operation)
