"""What becomes of a call that lasts when its key is revoked meanwhile?"""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.store.api_keys import ApiKey
from milepost.store.protocol import Filter
from milepost.update import Update

from .conftest import Tasks, Watched, http_app, served


@pytest.fixture
async def key(service: Watched) -> tuple[ApiKey, str]:
    """A key, and its secret."""
    return await service.keys.add("ada", ["acme:member"])


@pytest.fixture
async def app(service: Watched) -> HttpApp:
    return http_app(service)


@pytest.fixture
async def client(app: HttpApp, key: tuple[ApiKey, str]) -> AsyncIterator[httpx2.AsyncClient]:
    """Who shows it to a real server."""
    shown = {"authorization": f"Bearer {key[1]}"}
    async with served(app, app.stop) as url, httpx2.AsyncClient(base_url=url, timeout=20, headers=shown) as client:
        yield client


@pytest.mark.parametrize("path", ["?wait=50&version={}", "/logs?after=99&wait=50"])
async def test_who_waits_is_told_so_and_nothing_else(
    path: str, client: httpx2.AsyncClient, service: Watched, tasks: Tasks, key: tuple[ApiKey, str]
) -> None:
    task = await tasks.start(tenant="acme")
    waiting = asyncio.create_task(client.get(f"/v1/tasks/{task.id}{path.format(task.version)}"))
    await service.begun.acquire()
    await service.keys.revoke(key[0].id)
    await service.update(LOCAL, task.id, Update(title="after it"))
    response = await waiting
    assert response.status_code == 401
    assert "after it" not in response.text


async def test_a_stream_ends_before_it_tells_of_what_came_after(
    client: httpx2.AsyncClient, service: Watched, tasks: Tasks, key: tuple[ApiKey, str]
) -> None:
    task = await tasks.start(tenant="acme", title="before it")
    async with client.stream("GET", f"/v1/tasks/{task.id}/events") as stream:
        pieces = stream.aiter_text()
        told = ""
        while "before it" not in told:
            told += await anext(pieces)
        await service.keys.revoke(key[0].id)
        await service.update(LOCAL, task.id, Update(title="after it"))
        rest = "".join([piece async for piece in pieces])
    assert "after it" not in rest
    assert (await client.get(f"/v1/tasks/{task.id}/events")).status_code == 401


async def test_a_batch_goes_no_further(
    client: httpx2.AsyncClient, service: Watched, tasks: Tasks, key: tuple[ApiKey, str]
) -> None:
    """By a socket, as it is read while it is written."""
    url = client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST /v1/tasks:batch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key[1]}\r\n"
        "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    line = b'{"type": "export", "tenant": "acme"}\n'
    chunk = b"%x\r\n%b\r\n" % (len(line), line)
    try:
        writer.write(head.encode() + chunk)
        told = await reader.readuntil(b'"line":1,')
        await service.keys.revoke(key[0].id)
        writer.write(chunk)
        async with asyncio.timeout(20):
            rest = await reader.read()
    finally:
        writer.close()
    assert b"200 OK" in told
    assert b'"line":2,' in rest
    assert b'"status":401' in rest
    assert len((await service.find(LOCAL, Filter())).tasks) == 1


async def test_one_that_was_exchanged_goes_on(
    client: httpx2.AsyncClient, service: Watched, tasks: Tasks, key: tuple[ApiKey, str]
) -> None:
    task = await tasks.start(tenant="acme")
    waiting = asyncio.create_task(client.get(f"/v1/tasks/{task.id}?wait=50&version={task.version}"))
    await service.begun.acquire()
    await service.keys.rotate(key[0].id, grace=3_600_000_000)
    await service.update(LOCAL, task.id, Update(title="new"))
    assert (await waiting).json()["title"] == "new"
