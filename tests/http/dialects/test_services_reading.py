"""A task as the Services API shows it: the published samples, every state, every result, and its log in pages."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.http.dialects.services import Services
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import Page
from milepost.task import Counts, Failure, FileResult, State, Task
from milepost.times import DAY, HOUR
from milepost.trigger import Trigger
from milepost.update import Update
from tests.http.conftest import Tasks, http_app, in_memory

from .services_wire import EXPORT, NOT_FOUND, SetClock, created
from .wire import raw

BROKEN = Failure("broken", "It broke.")

IN_PROGRESS = {
    "id": 12345,
    "chain": 1764,
    "desc": "Wallet ledger export for analytics warehouse",
    "state": {
        "code": "INPROGRESS",
        "last_run_date": "2026-05-26T12:00:00Z",
        "last_modified": "2026-05-26T12:00:10Z",
        "created_date": "2026-05-26T11:59:00Z",
    },
    "trigger": {"once": "2026-05-26T12:00:00Z"},
    "target": {"action": "export", "export_index": "wallet-ledger", "export_format": "csv"},
    "logs": [{"msg": "READY -> INPROGRESS", "time": "2026-05-26T12:00:00Z"}],
    "debug": "",
    "version": 2,
    "result": "",
}
COMPLETED = IN_PROGRESS | {
    "state": {
        "code": "DONE",
        "last_run_date": "2026-05-26T12:00:00Z",
        "last_modified": "2026-05-26T12:08:30Z",
        "created_date": "2026-05-26T11:59:00Z",
    },
    "logs": [
        {"errors": 0, "msg": "success", "skips": 0, "success": 0, "time": "2026-05-26T12:08:30Z", "total": 1000000},
        {"msg": "INPROGRESS -> DONE", "time": "2026-05-26T12:08:30Z"},
    ],
    "result": "Wallet_Export-12345.csv",
}
"""The samples of the published page, as they are there."""


@pytest.fixture
def clock() -> SetClock:
    return SetClock("2026-05-26T11:59:00Z")


@pytest.fixture
def app(service: Service) -> HttpApp:
    return http_app(service, Native(), Services())


async def get(client: httpx2.AsyncClient, number: int = 1, **query: Any) -> Any:
    response = await client.get(f"/tasks/{number}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_task_reads_as_the_samples_do(
    client: httpx2.AsyncClient, tasks: Tasks, service: Service, clock: SetClock, tmp_path: Path
) -> None:
    schema = {"type": "object", "properties": {"export_index": {}, "export_format": {}}, "additionalProperties": False}
    (info,) = await service.types()
    await service.store.publish_types([msgspec.structs.replace(info, schema=schema)])
    database = apsw.Connection(str(tmp_path / "milepost.db"))
    database.execute("INSERT INTO tenant (name, number) VALUES ('1764', 12344)")
    database.close()
    sent = {name: IN_PROGRESS[name] for name in ("chain", "desc", "target", "trigger")}
    assert (await created(client, **sent))["state"]["code"] == "READY"
    clock.set("2026-05-26T12:00:00Z")
    await service.store.enqueue_due(now=clock(), limit=10)
    task = (await tasks.claim()).task
    clock.set("2026-05-26T12:00:10Z")
    await tasks.report(task, "a line of its own", counts=Counts(0, 1_000_000))
    # `version` is an internal number: here it counts all changes of the record.
    seen = await get(client, 12345)
    assert seen == IN_PROGRESS | {"version": 4}
    assert (await client.get("/tasks/12345")).headers["content-type"] == "application/json"
    assert list(seen) == list(IN_PROGRESS), "in the order of the page"
    clock.set("2026-05-26T12:08:30Z")
    await tasks.succeed(task, FileResult("key", "Wallet_Export-12345.csv", "text/csv", 1, "0" * 64))
    assert await get(client, 12345, log_limit=2) == COMPLETED | {"version": 5}
    whole = await get(client, 12345)
    assert whole == COMPLETED | {"version": 5, "logs": [*IN_PROGRESS["logs"], *COMPLETED["logs"]]}  # type: ignore[misc]
    assert [list(entry) for entry in whole["logs"][1:]] == [list(entry) for entry in COMPLETED["logs"]]  # type: ignore[attr-defined]


Bring = Callable[[Tasks], Awaitable[Any]]


async def paused(tasks: Tasks) -> None:
    running = await tasks.running(tenant="1764")
    await tasks.service.pause(LOCAL, running.id)
    await tasks.apply(running, lifecycle.park)


async def failed(tasks: Tasks) -> None:
    running = await tasks.running(tenant="1764")
    await tasks.report(running, counts=Counts(10, 20, failed=2, skipped=3))
    await tasks.apply(running, lifecycle.fail, failure=BROKEN)


async def cancelled(tasks: Tasks) -> None:
    task = await tasks.start(tenant="1764")
    await tasks.service.cancel(LOCAL, task.id)


async def blocked(tasks: Tasks) -> None:
    task = await tasks.start(tenant="1764")
    await tasks.service.update(LOCAL, task.id, Update(state=State.BLOCKED))


BEGUN, ENDED = "READY -> INPROGRESS", "INPROGRESS -> "


@pytest.mark.parametrize(
    ("bring", "code", "messages", "has_run"),
    [
        (lambda tasks: tasks.start(tenant="1764", run_at=tasks.service.clock() + HOUR), "READY", [], False),
        (blocked, "READY", [], False),
        (lambda tasks: tasks.start(tenant="1764"), "READY", [], False),
        (lambda tasks: tasks.running(tenant="1764"), "INPROGRESS", [BEGUN], True),
        (paused, "INPROGRESS", [BEGUN], True),
        (lambda tasks: tasks.succeeded(tenant="1764"), "DONE", [BEGUN, "success", ENDED + "DONE"], True),
        (failed, "ERROR", [BEGUN, "It broke.", ENDED + "ERROR"], True),
        (cancelled, "ERROR", ["READY -> ERROR"], False),
    ],
    ids=[*State],
)
async def test_every_state_has_its_code(
    bring: Bring, code: str, messages: list[str], has_run: bool, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    await bring(tasks)
    seen = await get(client)
    assert seen["state"] == {
        "code": code,
        "last_run_date": "2026-05-26T11:59:00Z" if has_run else None,
        "last_modified": "2026-05-26T11:59:00Z",
        "created_date": "2026-05-26T11:59:00Z",
    }
    assert [entry["msg"] for entry in seen["logs"]] == messages


async def test_an_outcome_has_the_counts(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await failed(tasks)
    outcome = (await get(client))["logs"][1]
    assert outcome == {
        "errors": 2,
        "msg": "It broke.",
        "skips": 3,
        "success": 5,
        "time": "2026-05-26T11:59:00Z",
        "total": 20,
    }


async def test_counts_whose_total_nobody_said_are_what_was_done(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.running()
    await tasks.report(running, counts=Counts(7, None, failed=9))
    await tasks.succeed(running)
    outcome = (await get(client))["logs"][1]
    assert (outcome["total"], outcome["errors"], outcome["success"]) == (7, 9, 0)


async def test_a_try_that_is_followed_by_another_is_told(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    running = await tasks.running()
    await tasks.apply(running, lifecycle.fail, failure=BROKEN, retry_in=HOUR)
    seen = await get(client)
    assert [entry["msg"] for entry in seen["logs"]] == [BEGUN, "It broke.", ENDED + "READY"]
    assert seen["logs"][1]["total"] == 0
    assert seen["state"]["last_run_date"] is not None


@pytest.mark.parametrize("value", [None, 5, "text", [1, 2], {"a": 1}, "x" * (64 << 10)])
async def test_a_result_that_is_no_file_is_empty(value: Any, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.succeeded(raw(value))
    seen = await get(client)
    assert (seen["state"]["code"], seen["result"]) == ("DONE", "")


async def test_a_file_is_its_name_until_its_retention_is_over(
    client: httpx2.AsyncClient, tasks: Tasks, clock: SetClock
) -> None:
    await tasks.with_file(b"a,b\r\n", "Wallet_Export-1.csv")
    seen = await client.get("/tasks/1")
    assert seen.json()["result"] == "Wallet_Export-1.csv"
    clock.now += 7 * DAY
    later = await client.get("/tasks/1", headers={"if-none-match": seen.headers["etag"]})
    assert (later.status_code, later.json()["result"]) == (200, "")


# The log.


async def many_runs(tasks: Tasks, service: Service, runs: int) -> Task:
    """A task that has run so many times, with lines of its own in between."""
    task = await tasks.succeeded()
    for _ in range(runs - 1):
        await service.run_now(LOCAL, task.id)
        claimed = (await tasks.claim()).task
        await tasks.report(claimed, *(f"line {n}" for n in range(20)))
        await tasks.succeed(claimed)
    return await service.get(LOCAL, task.id)


async def test_the_log_is_paged_from_its_newest_entry(
    client: httpx2.AsyncClient, tasks: Tasks, service: Service, clock: SetClock
) -> None:
    await many_runs(tasks, service, 60)
    whole = (await get(client, log_limit=1000))["logs"]
    run = [BEGUN, "success", ENDED + "DONE"]
    assert [entry["msg"] for entry in whole] == run + ["DONE -> READY", *run] * 59
    assert (await get(client))["logs"] == whole[-10:]
    for limit, offset in ((0, 0), (3, 0), (3, 1), (10, 100), (1, 238), (5, 237), (5, 239), (5, 10_000), (0, 5)):
        shown = (await get(client, log_limit=limit, offset=offset))["logs"]
        end = max(0, len(whole) - offset)
        assert shown == whole[max(0, end - limit) : end]


async def test_changes_that_read_alike_do_not_count(client: httpx2.AsyncClient, tasks: Tasks, service: Service) -> None:
    task = await tasks.start()
    await tasks.service.cancel(LOCAL, task.id)
    await service.retry(LOCAL, task.id)
    for _ in range(60):
        await service.update(LOCAL, task.id, Update(state=State.BLOCKED))
        await service.update(LOCAL, task.id, Update(state=State.QUEUED))
    assert [entry["msg"] for entry in (await get(client))["logs"]] == ["READY -> ERROR", "ERROR -> READY"]
    assert [entry["msg"] for entry in (await get(client, offset=1))["logs"]] == ["READY -> ERROR"]


async def test_a_task_that_will_run_again_says_when_it_ran_last(
    client: httpx2.AsyncClient, tasks: Tasks, service: Service, clock: SetClock
) -> None:
    async def last_run() -> Any:
        one, both = [await get(client, log_limit=limit) for limit in (0, 10)]
        assert one["state"] == both["state"]
        return both["state"]["last_run_date"]

    task = await tasks.start(trigger=Trigger(every=DAY))
    assert await last_run() is None
    clock.set("2026-05-26T12:00:00Z")
    running = (await tasks.claim()).task
    clock.set("2026-05-26T12:00:05Z")
    await tasks.apply(running, lifecycle.park)
    again = (await tasks.claim()).task
    clock.set("2026-05-26T12:00:09Z")
    await tasks.succeed(again)
    assert await last_run() == "2026-05-26T12:00:00Z"
    await service.run_now(LOCAL, task.id)
    assert await last_run() == "2026-05-26T12:00:00Z", "between two runs, the last one's beginning"
    clock.set("2026-05-26T13:00:00Z")
    second = (await tasks.claim()).task
    assert await last_run() == "2026-05-26T13:00:00Z"
    await tasks.succeed(second)
    await service.run_now(LOCAL, task.id)
    assert await last_run() == "2026-05-26T13:00:00Z"


async def test_so_does_one_that_its_client_drives(client: httpx2.AsyncClient, service: Service) -> None:
    start = Start(type="agent", runner="external", state=State.RUNNING)
    task = (await service.start(LOCAL, start, origin="native")).task
    await service.update(LOCAL, task.id, Update(state=State.QUEUED))
    seen = await get(client)
    assert (seen["state"]["code"], seen["state"]["last_run_date"]) == ("READY", "2026-05-26T11:59:00Z")


# What was begun elsewhere.


@pytest.mark.parametrize(
    ("fields", "trigger"),
    [
        ({}, {}),
        ({"run_at": 1779796800_000_000}, {"once": "2026-05-26T12:00:00Z"}),
        ({"trigger": Trigger(once=1779796800_000_000)}, {"once": "2026-05-26T12:00:00Z"}),
        ({"trigger": Trigger(repeat="daily")}, {"once": "2026-05-26T11:59:00Z", "repeat": "daily"}),
        ({"trigger": Trigger(every=HOUR)}, {"once": "2026-05-26T11:59:00Z", "every": "1h"}),
        ({"trigger": Trigger(cron="0 * * * *")}, {"cron": "0 * * * *"}),
    ],
)
async def test_a_task_that_was_begun_elsewhere(
    fields: dict[str, Any], trigger: Any, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    await tasks.start(input={"export_index": "users"}, debug="D", description="Described", **fields)
    seen = await get(client)
    assert (seen["desc"], seen["debug"], seen["chain"]) == ("Described", "D", 2_000_000_000)
    assert (seen["target"], seen["trigger"]) == ({"action": "export"}, trigger)


@pytest.mark.parametrize("metadata", [{"services": 5}, {"services": {"target": [], "trigger": "x"}}, {"other": 1}])
async def test_metadata_that_somebody_has_changed_does_no_harm(
    metadata: Any, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    await tasks.start(metadata=metadata, title="T", description="D")
    seen = await get(client)
    assert (seen["target"], seen["trigger"], seen["desc"]) == ({"action": "export"}, {}, "T")


# Who may not see it, and what is not there.


async def test_p6_p7_what_is_not_there_for_the_caller_reads_alike(
    client: httpx2.AsyncClient, tasks: Tasks, clock: SetClock
) -> None:
    await tasks.start(tenant="9")
    await tasks.succeeded(tenant="1764")
    await created(client)
    clock.now += 30 * DAY
    answers = []
    for number in (1, 3, 10**17, "0", "01", "x", "-1", "1.0", "1%20", "9" * 30, "\u0661"):
        answers += [
            await client.get(f"/tasks/{number}", params={"chain": 1764}),
            await client.get(f"/tasks/{number}/download_url", params={"chain": 1764}),
            await client.post(f"/tasks/{number}/execute", params={"chain": 1764}),
        ]
    for answer in answers:
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
        assert answer.headers == answers[0].headers
    assert (await client.get("/tasks/2?chain=1764")).status_code == 200
    assert (await client.get("/tasks", params={"chain": 1764})).json()[0]["id"] == 2


@pytest.mark.parametrize(
    "query", ["log_limit=x", "log_limit=-1", "log_limit=1001", "offset=-1", "offset=1.5", "chain=x"]
)
async def test_a_parameter_that_is_wrong_is_named(query: str, client: httpx2.AsyncClient) -> None:
    await created(client)
    response = await client.get(f"/tasks/1?{query}")
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["name"]) == (3, "invalid_parameter")
    assert error["description"].startswith(query.partition("=")[0] + ": ")


async def test_parameters_that_nobody_knows_are_let_pass(client: httpx2.AsyncClient) -> None:
    await created(client)
    assert await get(client, verbose="yes") == await get(client)


async def test_an_unchanged_task_is_not_sent_again(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.running(tenant="1764")
    seen = await client.get("/tasks/1")
    assert seen.headers["etag"] == '"2-services"'
    assert seen.headers["retry-after"] == "1"
    paged = await client.get("/tasks/1?offset=1")
    assert paged.headers["etag"] == '"2-services-log_limit=10&offset=1"'
    again = await client.get("/tasks/1", headers={"if-none-match": seen.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/tasks/1?offset=1", headers={"if-none-match": seen.headers["etag"]})
    assert other.status_code == 200
    await tasks.succeed(task)
    ended = await client.get("/tasks/1", headers={"if-none-match": seen.headers["etag"]})
    assert (ended.status_code, ended.headers["etag"]) == (200, '"3-services"')
    assert "retry-after" not in ended.headers


async def test_head_is_answered_without_a_body(client: httpx2.AsyncClient) -> None:
    await created(client)
    head, full = await client.head("/tasks/1"), await client.get("/tasks/1")
    assert (head.status_code, head.content, head.headers) == (200, b"", full.headers)


async def test_beneath_a_prefix(app: HttpApp, tasks: Tasks) -> None:
    await tasks.with_file(b"x")
    mounted = Starlette(routes=[Mount("/milepost", app)])
    for client, prefix, where in (
        (in_memory(app, root_path="/x"), "", "/x"),
        (in_memory(mounted), "/milepost", "/milepost"),
    ):
        async with client:
            made = await client.post(f"{prefix}/tasks", json={**BODY, "chain": 7})
            assert made.headers["location"] == f"{where}/tasks/{made.json()['id']}?chain=7"
            url = (await client.get(f"{prefix}/tasks/1/download_url", params={"chain": 2_000_000_000})).json()["url"]
            assert url.startswith(f"http://127.0.0.1:8006{where}/results/")
            assert (await client.get(f"{prefix}/tasks/1?chain=7")).json()["chain"] == 7


BODY = {"desc": "", "target": EXPORT, "trigger": None}


async def test_a_path_that_is_none_and_a_method_that_is_none(client: httpx2.AsyncClient) -> None:
    nowhere = await client.get("/tasks/1/logs")
    assert (nowhere.status_code, nowhere.json()["error"]["name"]) == (404, "path_not_found")
    wrong = await client.delete("/tasks/1")
    assert (wrong.status_code, wrong.json()["error"]["name"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD"


class Forgetful(Service):
    """Deletes what it has just found."""

    async def find(self, *args: Any, **options: Any) -> Page:
        page = await super().find(*args, **options)
        for task in page.tasks:
            await self.delete(LOCAL, task.id)
        return page


async def test_a_task_that_goes_meanwhile_is_not_found(tasks: Tasks, service: Service, clock: SetClock) -> None:
    forgetful = Forgetful(service.store, service.files, clock=clock)
    async with in_memory(http_app(forgetful, Services())) as client:
        for path, answer in (("/tasks/1", (404, NOT_FOUND)), ("/tasks", (200, []))):
            await tasks.succeeded()
            response = await client.get(path)
            assert (response.status_code, response.json()) == answer


async def test_a_try_that_waits_is_no_trigger(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.running(max_attempts=2)
    await tasks.apply(task, lifecycle.fail, failure=Failure("broken", "It broke."), retry_in=HOUR)
    assert (await get(client, 1))["trigger"] == {}
    later = await tasks.start(run_at=tasks.service.clock() + HOUR)
    assert (await get(client, later.number))["trigger"].keys() == {"once"}
    await tasks.service.run_now(LOCAL, later.id)
    assert (await get(client, later.number))["trigger"] == {}


async def test_a_task_that_began_in_the_middle_has_come_there(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.start("agent-task", runner="external", state=State.RUNNING)
    seen = await get(client, 1)
    assert (seen["state"]["code"], [entry["msg"] for entry in seen["logs"]]) == ("INPROGRESS", ["READY -> INPROGRESS"])
