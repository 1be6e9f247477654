"""Deliveries to standing tasks, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

from milepost.access.principal import LOCAL
from milepost.service import Filter, Service
from milepost.store.protocol import TypeInfo
from milepost.task import Task
from tests.http.conftest import Tasks

TYPE = TypeInfo(
    "intake",
    "loop",
    {
        "type": "object",
        "properties": {"folder": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["folder"],
        "additionalProperties": False,
    },
)
FILE = {"content-type": "text/plain", "content-disposition": 'attachment; filename="a.txt"'}
SENT: Sequence[dict[str, Any]] = ({"json": {}}, {"content": b"x", "headers": FILE})


@pytest.fixture(autouse=True)
async def _types(service: Service) -> None:
    await service.store.publish_types([TYPE])


@pytest.fixture
async def url(client: httpx2.AsyncClient) -> str:
    """Where a standing task takes deliveries."""
    body = {"type": "intake", "runner": "external", "state": "running", "input": {"folder": "in"}}
    return f"{(await client.post('/v1/tasks', json=body)).headers['location']}/deliveries"


async def children(service: Service) -> list[Task]:
    return [task for task in (await service.find(LOCAL, Filter(type="intake"))).tasks if task.parent is not None]


async def files(service: Service, task_id: str) -> list[tuple[Any, ...]]:
    delivered = (await service.cold(LOCAL, task_id)).files
    return [(file.name, file.media_type, file.size) for file in delivered]


async def test_a_delivery_starts_a_child(client: httpx2.AsyncClient, url: str, service: Service) -> None:
    response = await client.post(url, json={"input": {"n": 1}})
    assert response.status_code == 202
    child = response.json()
    assert response.headers["location"] == f"/v1/tasks/{child['id']}"
    assert response.headers["etag"] == '"1-native"'
    assert (child["type"], child["state"], child["runner"]) == ("intake", "queued", "loop")
    assert child["parent"] == url.split("/")[3]
    read = await client.get(f"/v1/tasks/{child['id']}?include=input")
    assert read.json()["input"] == {"folder": "in", "n": 1}
    standing = (await client.get(url.removesuffix("/deliveries"))).json()
    assert (standing["state"], standing["counts"]["total"], standing["version"]) == ("running", 1, 2)
    assert await files(service, child["id"]) == []


async def test_a_file_is_delivered_as_it_is(client: httpx2.AsyncClient, url: str, service: Service) -> None:
    named = await client.post(url, content=b"some text", headers=FILE)
    assert named.status_code == 202
    assert await files(service, named.json()["id"]) == [("a.txt", "text/plain", 9)]
    shown = await client.get(f"/v1/tasks/{named.json()['id']}?include=files")
    assert shown.json()["files"] == [
        {"name": "a.txt", "media_type": "text/plain", "size": 9, "sha256": sha256(b"some text").hexdigest()}
    ]
    plain = await client.post(url, content=b"", headers={"content-type": "application/octet-stream"})
    assert await files(service, plain.json()["id"]) == [("file", "application/octet-stream", 0)]


async def test_a_file_is_stored_while_it_comes_in(client: httpx2.AsyncClient, url: str, service: Service) -> None:
    stored = asyncio.Event()
    put = service.files.put

    async def watched(source: Any) -> Any:
        async def passed_on() -> AsyncIterator[bytes]:
            async for piece in source:
                yield piece
                stored.set()  # the store asks for more, and so has taken this

        return await put(passed_on())

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(2 << 20)
        async with asyncio.timeout(20):
            await stored.wait()
        yield b"the end"

    service.files.put = watched  # type: ignore[method-assign]
    response = await client.post(url, content=pieces(), headers=FILE)
    assert await files(service, response.json()["id"]) == [("a.txt", "text/plain", (2 << 20) + 7)]


async def test_p9_a_key_stands_for_one_delivery(client: httpx2.AsyncClient, url: str, service: Service) -> None:
    key = {"idempotency-key": "k"}
    first = await client.post(url, content=b"1", headers=FILE | key)
    again = await client.post(url, content=b"1", headers=FILE | key)
    assert again.json()["id"] == first.json()["id"]
    for other in (
        await client.post(url, content=b"2", headers=FILE | key),
        await client.post(url, json={"input": {}}, headers=key),
    ):
        assert other.status_code == 422
        assert other.json()["type"] == "/problems/idempotency-key-reused"
    assert len(await children(service)) == 1


async def test_the_end_can_be_waited_for(client: httpx2.AsyncClient, url: str, service: Service) -> None:
    waiting = asyncio.create_task(client.post(url, json={}, headers={"prefer": "wait=20"}))
    while not (found := await children(service)):
        await asyncio.sleep(0)
    await service.cancel(LOCAL, found[0].id)
    response = await waiting
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    assert response.headers["preference-applied"] == "wait=20"


async def test_p6_a_task_out_of_sight_takes_nothing(client: httpx2.AsyncClient) -> None:
    for task_id in ("0" * 32, "nonsense"):
        for sent in SENT:
            response = await client.post(f"/v1/tasks/{task_id}/deliveries", **sent)
            assert response.status_code == 404


async def test_one_that_does_not_stand_takes_nothing(
    client: httpx2.AsyncClient, url: str, tasks: Tasks, service: Service
) -> None:
    other = await client.post(f"/v1/tasks/{(await tasks.start()).id}/deliveries", json={})
    assert other.status_code == 409
    assert "standing task" in other.json()["detail"]
    standing = url.removesuffix("/deliveries")
    going_on = (await client.post(url, json={})).json()
    assert (await client.patch(standing, json={"state": "succeeded"})).json()["state"] == "succeeded"
    for sent in SENT:
        ended = await client.post(url, **sent)
        assert ended.status_code == 409
        assert ended.json()["detail"] == "The task is succeeded, and takes deliveries only while it is running."
    assert [task.id for task in await children(service)] == [going_on["id"]]
    assert (await client.get(f"/v1/tasks/{going_on['id']}")).json()["state"] == "queued"


async def test_p5_a_cancel_shows_until_its_client_ends_it(client: httpx2.AsyncClient, url: str) -> None:
    standing = url.removesuffix("/deliveries")
    child = (await client.post(url, json={})).json()
    asked = await client.post(f"{standing}/cancel")
    assert (asked.status_code, asked.json()["cancel_requested"], asked.json()["state"]) == (202, True, "running")
    assert asked.json()["counts"] == {"done": 1, "total": 1, "failed": 1, "skipped": 0}
    assert (await client.get(f"/v1/tasks/{child['id']}")).json()["state"] == "cancelled"
    refused = await client.post(url, json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
    assert (await client.patch(standing, json={"state": "cancelled"})).json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"input": {"n": "1", "m": 1}}', {"/input/n", "/input/m"}),
        (b'{"input": []}', {"/input"}),
        (b'{"inputs": {}}', {"/inputs"}),
        (b"[]", {""}),
    ],
)
async def test_what_is_wrong_is_pointed_at(
    client: httpx2.AsyncClient, url: str, service: Service, body: bytes, pointers: set[str]
) -> None:
    response = await client.post(url, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert {error["pointer"] for error in response.json()["errors"]} == pointers
    assert await children(service) == []


ELSEWHERE = [
    {"origin": "http://example.com"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("site", ELSEWHERE)
@pytest.mark.parametrize("sent", [FILE, {"content-type": "application/octet-stream"}, {"content-type": "text/plain"}])
async def test_no_page_of_somebody_else_delivers_a_file(
    client: httpx2.AsyncClient, url: str, service: Service, site: dict[str, str], sent: dict[str, str]
) -> None:
    assert (await client.post(url, content=b"x", headers=sent | site)).status_code == 403
    assert await children(service) == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
async def test_what_a_page_sends_without_asking_first_is_no_file(
    client: httpx2.AsyncClient, url: str, service: Service, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    response = await client.post(url, content=b"x", headers=headers)
    assert response.status_code == 415
    assert await children(service) == []


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    server: str, url: str, service: Service, tmp_path: Path
) -> None:
    def stored() -> list[Path]:
        return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]

    host, _, port = server.removeprefix("http://").partition(":")
    async with asyncio.timeout(20):
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {url} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n"
        head += "Content-Type: application/octet-stream\r\n\r\n"
        writer.write(head.encode() + b"x" * 100)
        while not stored():
            await asyncio.sleep(0)
        writer.close()
        while stored():
            await asyncio.sleep(0)
    assert await children(service) == []
