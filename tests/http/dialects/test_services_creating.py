"""Tasks that clients of the Services API create."""

from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.errors import Invalid
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.http.dialects.services import Services
from milepost.http.dialects.services_parse import wish
from milepost.http.dialects.services_shapes import CreateBody
from milepost.service import Created, Filter, Service
from milepost.task import Failure, State, Task
from milepost.times import from_rfc3339, to_rfc3339
from milepost.trigger import Trigger
from tests.http.conftest import Tasks, http_app, in_memory

from .services_wire import EXPORT, NOT_ALLOWED, SetClock, body, create, created, description

NOON = from_rfc3339("2026-05-26T12:00:00Z")


@pytest.fixture
def clock() -> SetClock:
    return SetClock("2026-05-26T11:59:00Z")


@pytest.fixture
def app(service: Service) -> HttpApp:
    return http_app(service, Native(), Services())


async def record(service: Service, number: int = 1) -> Task:
    """The newest task of this number."""
    return (await service.find(LOCAL, Filter(number=number))).tasks[0]


async def test_p1_a_created_task_is_there_at_once(client: httpx2.AsyncClient, service: Service) -> None:
    response = await create(client, debug="Why?")
    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == "/tasks/1?chain=1764"
    read = await client.get(response.headers["location"])
    assert (read.json(), read.headers["etag"]) == (made, response.headers["etag"])
    assert made == {
        "id": 1,
        "chain": 1764,
        "desc": "Ledger",
        "state": {
            "code": "READY",
            "last_run_date": None,
            "last_modified": "2026-05-26T11:59:00Z",
            "created_date": "2026-05-26T11:59:00Z",
        },
        "trigger": {},
        "target": EXPORT,
        "logs": [],
        "debug": "Why?",
        "version": 1,
        "result": "",
    }
    task = await record(service)
    assert (task.tenant, task.type, task.title, task.origin, task.debug) == (
        "1764",
        "export",
        "Ledger",
        "services",
        "Why?",
    )
    assert (await service.cold(LOCAL, task.id)).input == b'{"export_index":"wallet-ledger"}'


@pytest.mark.parametrize(
    ("sent", "state", "trigger", "run_at"),
    [
        ({}, State.QUEUED, None, None),
        (None, State.QUEUED, None, None),
        ({"once": None, "repeat": None}, State.QUEUED, None, None),
        ({"once": "2026-05-26T12:00:00Z"}, State.SCHEDULED, Trigger(once=NOON), NOON),
        ({"once": "2026-05-26T12:00:00"}, State.SCHEDULED, Trigger(once=NOON), NOON),
        ({"once": "2026-05-26 14:00:00+0200"}, State.SCHEDULED, Trigger(once=NOON), NOON),
        ({"once": "2026-05-26T14:00:00.123+02:00"}, State.SCHEDULED, Trigger(once=NOON + 123_000), NOON + 123_000),
        ({"once": "2020-01-01T00:00:00Z"}, State.QUEUED, Trigger(once=1577836800_000_000), 1577836800_000_000),
        ({"repeat": "daily"}, State.QUEUED, Trigger(repeat="daily", anchor=NOON - 60_000_000), NOON - 60_000_000),
        (
            {"repeat": "weekly", "once": "2026-05-26T12:00:00Z"},
            State.SCHEDULED,
            Trigger(repeat="weekly", anchor=NOON),
            NOON,
        ),
        (
            {"repeat": "monthly", "segment_id": "s1"},
            State.QUEUED,
            Trigger(repeat="monthly", anchor=NOON - 60_000_000),
            0,
        ),
        ({"segment": {"rules": [1]}, "user_list": "u"}, State.QUEUED, None, None),
    ],
)
async def test_a_trigger_says_when_it_runs(
    sent: Any, state: State, trigger: Any, run_at: Any, client: httpx2.AsyncClient, service: Service
) -> None:
    made = await created(client, trigger=sent)
    assert made["trigger"] == (sent or {}), "it is shown as it was sent"
    task = await record(service)
    assert (task.state, task.trigger) == (state, trigger)
    if run_at != 0:
        assert task.run_at == run_at


async def test_the_trigger_stays_as_it_was_sent_when_a_try_waits(
    client: httpx2.AsyncClient, tasks: Tasks, service: Service, clock: SetClock
) -> None:
    await created(client)
    running = (await tasks.claim()).task
    await tasks.apply(running, lifecycle.fail, failure=Failure("a", "b"), retry_in=1_000_000)
    assert (await client.get("/tasks/1")).json()["trigger"] == {}


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"chain": None}, "chain"),
        ({"chain": -1}, "chain"),
        ({"chain": 1.5}, "chain"),
        ({"chain": "acme"}, "chain"),
        ({"chain": 2**60}, "chain"),
        ({"desc": None}, "desc"),
        ({"desc": "x" * 10_001}, "desc"),
        ({"desc": "a\x00b"}, "desc"),
        ({"debug": "x" * 10_001}, "debug"),
        ({"debug": 5}, "debug"),
        ({"target": []}, "target"),
        ({"target": {}}, "target.action"),
        ({"target": {"action": 5}}, "target.action"),
        ({"target": {"action": ""}}, "target.action"),
        ({"target": {"action": "no such thing"}}, "target.action"),
        ({"target": {"action": "export", "export_index": 5}}, "target.export_index"),
        ({"target": {"action": "export", "a/b~c": 5}}, "target.a/b~c"),
        ({"trigger": "daily"}, "trigger"),
        ({"trigger": {"once": "tomorrow"}}, "trigger.once"),
        ({"trigger": {"once": 5}}, "trigger.once"),
        ({"trigger": {"once": "0001-01-01T00:00:00+01:00"}}, "trigger.once"),
        ({"trigger": {"once": "0001-01-01T00:00:00Z", "repeat": "daily"}}, "trigger.once"),
        ({"trigger": {"repeat": "hourly"}}, "trigger.repeat"),
        ({"trigger": {"repeat": ["daily"]}}, "trigger.repeat"),
    ],
)
async def test_what_is_wrong_is_named(said: dict[str, Any], place: str, client: httpx2.AsyncClient) -> None:
    response = await create(client, **said)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["name"] == "invalid_parameter"
    assert description(response).startswith(f"{place}: ")


@pytest.mark.parametrize("name", ["chain", "desc", "target", "trigger"])
async def test_what_is_required_is_named(name: str, client: httpx2.AsyncClient) -> None:
    sent = body()
    del sent[name]
    response = await client.post("/tasks", json=sent)
    assert (response.status_code, description(response)) == (400, f"{name}: This is required.")


async def test_all_that_is_wrong_is_said(client: httpx2.AsyncClient) -> None:
    response = await create(client, desc="x" * 10_001, target={"action": "export", "export_index": 1, "rows": "x"})
    said = description(response)
    assert all(f"{place}: " in said for place in ("desc", "target.export_index", "target.rows"))


async def test_a_body_that_can_t_be_read(client: httpx2.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    for content, kind, status, name in (
        (b"{", headers, 400, "malformed_request"),
        (b"", headers, 400, "malformed_request"),
        (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (b" " * (2 << 20), headers, 413, "request_too_large"),
    ):
        response = await client.post("/tasks", content=content, headers=kind)
        assert (response.status_code, response.json()["error"]["name"]) == (status, name)


async def test_fields_that_nobody_knows_are_let_pass(client: httpx2.AsyncClient) -> None:
    assert (await create(client, colour="red")).status_code == 201
    assert (await client.post("/tasks?verbose=1", json=body())).status_code == 201


async def test_what_is_kept_of_a_start_has_its_bounds(client: httpx2.AsyncClient) -> None:
    content = msgspec.json.encode(body(trigger={"segment": "%"})).replace(b'"%"', b"[" + b"1e9," * 150_000 + b"0]")
    response = await client.post("/tasks", content=content, headers={"content-type": "application/json"})
    assert (response.status_code, description(response)) == (400, "target, trigger: At most 1048576 bytes of JSON.")


async def test_words_of_an_action_are_joined(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    (info,) = await service.types()
    await service.store.publish_types([msgspec.structs.replace(info, name="bulk-issue-rewards", schema={})])
    target = {"action": "bulk issue rewards", "campaign": 77, "vouchers": [1]}
    made = await created(client, target=target)
    assert made["target"] == target
    assert (await record(service)).type == "bulk-issue-rewards"


async def test_a_product_that_answers_200_for_what_was_created(service: Service) -> None:
    async with in_memory(http_app(service, Services(created_status=200))) as client:
        assert (await create(client)).status_code == 200
        document = (await client.get("/openapi/services.json")).json()
    assert "200" in document["paths"]["/tasks"]["post"]["responses"]


# Chains.


async def test_a_chain_is_the_tenant_of_its_number(client: httpx2.AsyncClient, service: Service, tasks: Tasks) -> None:
    await tasks.start(tenant="acme")
    assert (await created(client, chain=0))["chain"] == 0
    assert (await created(client, chain=1999999999))["chain"] == 1999999999
    there = await created(client, chain=2_000_000_000)
    assert (there["chain"], there["id"]) == (2_000_000_000, 2)
    newest = (await service.find(LOCAL, Filter())).tasks
    assert [task.tenant for task in newest] == ["acme", "1999999999", "0", "acme"]


async def test_a_number_that_no_tenant_was_given_is_no_chain(client: httpx2.AsyncClient, service: Service) -> None:
    response = await create(client, chain=2_000_000_001)
    assert (response.status_code, response.json()) == (403, NOT_ALLOWED)
    assert (await service.find(LOCAL, Filter())).tasks == []


async def test_ids_are_counted_in_each_chain(client: httpx2.AsyncClient) -> None:
    ids = [(await created(client, chain=chain))["id"] for chain in (1, 2, 1, 1, 2)]
    assert ids == [1, 1, 2, 3, 2]


async def test_a_session_is_at_work_in_its_own_chain(client: httpx2.AsyncClient) -> None:
    for chain, status in (("1764", 201), ("7", 403), ("acme", 403), ("", 403)):
        headers = {"x-spaaza-session-chain-id": chain}
        response = await client.post("/tasks", json=body(), headers=headers)
        assert response.status_code == status
        if status == 403:
            assert response.json() == NOT_ALLOWED


# Whatever a trigger says.

MOMENTS = st.datetimes().map(lambda moment: moment.isoformat()) | st.text(max_size=30) | st.none() | st.integers()
REPEATS = st.sampled_from(["daily", "weekly", "monthly", None, "hourly", 5, ""])


@given(once=MOMENTS, repeat=REPEATS, more=st.dictionaries(st.text(max_size=5), st.integers(), max_size=2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_trigger_is_kept_or_refused_by_name(once: Any, repeat: Any, more: Any) -> None:
    sent = {**more, "once": once, "repeat": repeat}
    said = CreateBody(chain=1, desc="", target={"action": "export"}, trigger=sent)  # type: ignore[arg-type]
    try:
        start = wish(said, "1")
    except Invalid as error:
        (fault,) = error.faults
        assert fault.pointer in ("/trigger/once", "/trigger/repeat")
        assert (once if fault.pointer == "/trigger/once" else repeat) is not None
        return
    assert start.metadata == {"services": {"target": {"action": "export"}, "trigger": sent}}
    assert (start.trigger is None) is (once is None and repeat is None)
    assert repeat is None or start.trigger == Trigger(repeat=repeat)
    if start.run_at is not None:
        assert to_rfc3339(start.run_at)


async def test_the_answer_is_the_task_as_it_was_made(
    client: httpx2.AsyncClient, service: Service, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = service.start

    async def start_and_run(*args: Any, **options: Any) -> Created:
        made = await start(*args, **options)
        await tasks.succeed((await tasks.claim()).task)
        return made

    monkeypatch.setattr(service, "start", start_and_run)
    made = await created(client)
    assert (made["state"]["code"], made["version"], made["logs"]) == ("READY", 1, [])
    assert made["state"]["last_run_date"] is None
    assert (await client.get(f"/tasks/{made['id']}?chain={made['chain']}")).json()["state"]["code"] == "DONE"
