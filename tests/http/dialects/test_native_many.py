"""Many tasks at once, and types as a whole."""

import asyncio
from typing import Any

import httpx2
import msgspec
import pytest

from milepost.access.principal import Grant, Principal, Role
from milepost.http.app import HttpApp
from milepost.http.dialects.native_answers import OutcomeBody
from milepost.http.lines import NDJSON
from milepost.service import Service
from milepost.store.workers import Wanted
from tests.http.conftest import WORKER, Tasks, http_app, in_memory, served

BATCH = "/v1/tasks:batch"


async def post(client: httpx2.AsyncClient, *lines: Any, **headers: str) -> httpx2.Response:
    body = b"".join((line if isinstance(line, bytes) else msgspec.json.encode(line)) + b"\n" for line in lines)
    sent = {"content-type": NDJSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(BATCH, content=body, headers=sent)


def outcomes(response: httpx2.Response) -> list[Any]:
    assert response.status_code == 200
    assert response.headers["content-type"] == NDJSON
    for line in response.content.splitlines():
        msgspec.json.decode(line, type=OutcomeBody)
    return [msgspec.json.decode(line) for line in response.content.splitlines()]


async def test_p1_each_line_starts_a_task_that_is_readable_at_once(client: httpx2.AsyncClient) -> None:
    wishes = [{"type": "export", "title": f"T{n}", "tenant": "acme"} for n in range(3)]
    found = outcomes(await post(client, *wishes))
    assert [(one["line"], one["status"]) for one in found] == [(1, 202), (2, 202), (3, 202)]
    assert [one["task"]["number"] for one in found] == [1, 2, 3]
    for one, wish in zip(found, wishes, strict=True):
        record = (await client.get(f"/v1/tasks/{one['task']['id']}")).json()
        assert {name: record[name] for name in wish} == wish
        assert {name: record[name] for name in one["task"]} == one["task"]


async def test_a_bad_line_fails_alone_with_its_problem(client: httpx2.AsyncClient) -> None:
    bad: list[tuple[Any, int, str | None]] = [
        ({"type": "export", "input": {"rows": "x"}}, 422, "/input/rows"),
        ({"type": "absent"}, 422, "/type"),
        ({"type": "export", "colour": "red"}, 422, "/colour"),
        ({"type": "export", "trigger": {"cron": "never"}}, 422, "/trigger/cron"),
        ({"type": "export", "idempotency_key": ""}, 422, "/idempotency_key"),
        ({"type": "export", "idempotency_key": "\x01k"}, 422, "/idempotency_key"),
        ({"type": "export", "depends_on": ["0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"]}, 422, "/depends_on/0"),
        (b'{"type": "export"', 400, None),
        (b"[" * 200 + b"]" * 200, 400, None),
        (b'"' + b"x" * (1 << 20) + b'"', 413, None),
        ([], 422, ""),
    ]
    lines = [line for wrong, _, _ in bad for line in (wrong, {"type": "export"})]
    found = outcomes(await post(client, *lines))
    assert [one["line"] for one in found] == list(range(1, len(lines) + 1))
    assert {one["status"] for one in found[1::2]} == {202}
    for one, (_, status, pointer) in zip(found[::2], bad, strict=True):
        assert (one["status"], one["problem"]["status"]) == (status, status)
        assert one["problem"]["type"].startswith("/problems/")
        assert "task" not in one
        if pointer is not None:
            assert one["problem"]["errors"][0].get("pointer", "") == pointer
    listed = (await client.get("/v1/tasks?limit=200")).json()["tasks"]
    assert len(listed) == len(bad)


async def test_a_unique_key_is_taken_by_the_first_line_that_has_it(client: httpx2.AsyncClient) -> None:
    wish = {"type": "export", "unique_key": "u"}
    first, second = outcomes(await post(client, wish, wish))
    assert (first["status"], second["status"]) == (202, 409)
    assert second["problem"]["task"] == first["task"]["id"]


async def test_p9_a_lines_key_is_one_task(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    wish = {"type": "export", "idempotency_key": "k"}
    first, again, other = outcomes(await post(client, wish, wish, {**wish, "title": "other"}))
    assert first["task"] == again["task"]
    assert other["problem"]["type"] == "/problems/idempotency-key-reused"
    single = await client.post("/v1/tasks", json={"type": "export"}, headers={"idempotency-key": "k"})
    assert single.json()["id"] == first["task"]["id"]
    await tasks.succeed((await tasks.claim()).task)
    (ended,) = outcomes(await post(client, wish))
    assert (ended["status"], ended["task"]["id"], ended["task"]["state"]) == (200, first["task"]["id"], "succeeded")


async def test_a_key_for_all_lines_is_refused(client: httpx2.AsyncClient) -> None:
    response = await post(client, {"type": "export"}, idempotency_key="k")
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"detail": "Give each line an idempotency_key of its own.", "parameter": "Idempotency-Key"}
    ]
    assert (await client.get("/v1/tasks")).json()["tasks"] == []


async def test_rights_are_checked_line_by_line(service: Service) -> None:
    async def admit(*_: object) -> Principal:
        return Principal("ada", "Ada", (Grant("acme", Role.USER),))

    async with in_memory(http_app(service, authenticator=admit)) as client:
        wishes = ({"type": "export", "tenant": "other"}, {"type": "export"}, {"type": "export", "owner": "bob"})
        found = outcomes(await post(client, *wishes))
    assert [one["status"] for one in found] == [403, 202, 403]


async def test_nothing_is_no_task(client: httpx2.AsyncClient) -> None:
    assert outcomes(await post(client)) == []


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
async def test_only_lines_are_taken(client: httpx2.AsyncClient, content_type: str) -> None:
    response = await client.post(BATCH, content=b'{"type": "export"}\n', headers={"content-type": content_type})
    assert response.status_code == 415
    assert response.headers["accept"] == NDJSON
    assert (await client.get("/v1/tasks")).json()["tasks"] == []


async def test_no_foreign_page_reaches_it(client: httpx2.AsyncClient) -> None:
    assert (await post(client, {"type": "export"}, origin="https://evil.example")).status_code == 403
    assert (await post(client, {"type": "export"}, host="evil.example")).status_code == 421
    assert (await post(client, {"type": "export"}, sec_fetch_site="cross-site")).status_code == 403
    assert (await client.get("/v1/tasks")).json()["tasks"] == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_its_path_takes_nothing_but_lines(client: httpx2.AsyncClient, method: str) -> None:
    response = await client.request(method, BATCH)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    for path in ("/v1/tasks:other", "/v1/tasks:batch/", "/v1/tasks:batch/x", "/v1/tasks:", "/v1/tasks/:batch/x"):
        assert (await client.request(method, path)).status_code == 404
    encoded = await client.request(method, "/v1/tasks%3Abatch")
    assert (encoded.status_code, encoded.headers["allow"]) == (405, "POST")


async def test_its_document_says_what_a_line_is(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"][BATCH]["post"]
    ref = "#/components/schemas/"
    assert operation["requestBody"]["content"] == {NDJSON: {"schema": {"$ref": ref + "StartLine"}}}
    assert operation["responses"]["200"]["content"] == {NDJSON: {"schema": {"$ref": ref + "OutcomeBody"}}}
    assert set(document["components"]["schemas"]["StartLine"]["properties"]) == {
        *document["components"]["schemas"]["StartBody"]["properties"],
        "idempotency_key",
    }


async def test_p1_what_was_acknowledged_stays_when_the_client_leaves(app: HttpApp, tasks: Tasks) -> None:
    async with served(app) as url, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        head = f"POST {BATCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {NDJSON}\r\ncontent-length: 100000\r\n\r\n"
        writer.write(head.encode() + b'{"type": "export"}\n{"type": "export"}\n{"type": "export"}')
        await reader.readuntil(b"\r\n\r\n")
        told = await reader.readuntil(b"\n") + await reader.readuntil(b"\n")
        assert b'"line":1' in told + await reader.readuntil(b"\n")
        writer.close()
        await writer.wait_closed()
    found = await tasks.service.tally(Principal("x", "X", (Grant("*", Role.SERVICE),)))
    assert [tally.tasks for tally in found] == [2]


async def test_a_server_that_stops_tells_where_it_stopped(app: HttpApp) -> None:
    async with served(app, app.stop) as url, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        head = f"POST {BATCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {NDJSON}\r\ncontent-length: 100000\r\n\r\n"
        writer.write(head.encode() + b'{"type": "export"}\n{"type"')
        await reader.readuntil(b'"line":1')
        app.stop()
        rest = await reader.read()
        assert b'{"line":2,"status":503,"problem":' in rest
        assert rest.endswith(b"0\r\n\r\n")
        writer.close()


# Types.


async def test_a_type_is_paused_and_resumed(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    assert [(one["name"], one["paused"]) for one in (await client.get("/v1/types")).json()["types"]] == [
        ("export", False)
    ]
    await tasks.start()
    paused = await client.post("/v1/types/export/pause")
    assert (paused.status_code, paused.json()["name"], paused.json()["paused"]) == (200, "export", True)
    assert (await client.get("/v1/types")).json()["types"] == [paused.json()]
    wanted = [Wanted("export")]
    assert await tasks.store.claim(WORKER, wanted, limit=1, now=tasks.service.clock()) == []
    assert (await client.post("/v1/types/export/pause")).json() == paused.json()
    resumed = await client.post("/v1/types/export/resume")
    assert resumed.json() == paused.json() | {"paused": False}
    assert (await tasks.claim()).task.type == "export"


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_who_may_not_pause_a_type_is_told(service: Service, client: httpx2.AsyncClient, verb: str) -> None:
    async def admit(*_: object) -> Principal:
        return Principal("ada", "Ada", (Grant("acme", Role.ADMIN),))

    missing = await client.post(f"/v1/types/absent/{verb}")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
    async with in_memory(http_app(service, authenticator=admit)) as admins:
        for name in ("export", "absent"):
            assert (await admins.post(f"/v1/types/{name}/{verb}")).status_code == 403
        assert (await admins.get("/v1/types")).json()["types"][0]["paused"] is False
