"""Hundreds wait on one server, as `serve` has it: each is woken by its own task's change, and leaves nothing behind."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import pytest

from milepost.access.places import Place
from milepost.access.principal import LOCAL
from milepost.cli.server import config
from milepost.cli.slim import Leaving
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.service import Service
from milepost.store.sqlite.store import SqliteStore
from milepost.store.sqlite.watch import _Wait
from milepost.task import Task
from milepost.update import Update

from .conftest import Tasks, served

MANY = 300
WITHIN = 60.0
"""Seconds after which a wait has failed."""


class Waiter:
    """A connection that waits for a task to change, until it is told once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: Task) -> None:
        self.task = task
        self._reader = reader
        self.writer = writer
        writer.write(
            f"GET /v1/tasks/{task.id}?wait=60&version={task.version} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        )

    async def told(self) -> Any:
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        return msgspec.json.decode(await self._reader.readexactly(length))


@pytest.fixture
def app(service: Service) -> HttpApp:
    return HttpApp(lambda: service, [Native()])


@pytest.fixture
async def port(app: HttpApp) -> AsyncIterator[int]:
    protocol = config(app, 1, access_log=False).http
    async with served(app, app.stop, http=protocol) as url:
        yield int(url.rpartition(":")[2])


@pytest.fixture
async def waiters(port: int, tasks: Tasks, app: HttpApp) -> AsyncIterator[list[Waiter]]:
    made = []
    for _ in range(MANY):
        task = await tasks.start(runner="external")
        made.append(Waiter(*await asyncio.open_connection("127.0.0.1", port), task))
    await open_waits(app, MANY)
    yield made
    for waiter in made:
        waiter.writer.close()


async def open_waits(app: HttpApp, count: int) -> None:
    """Until so many wait."""
    async with asyncio.timeout(WITHIN):
        while app._throttle._places.open != count:
            await asyncio.sleep(0.01)


async def test_each_is_told_of_its_own_task_and_of_no_other(
    waiters: list[Waiter], service: Service, app: HttpApp
) -> None:
    even, odd = waiters[::2], waiters[1::2]
    reading = [asyncio.create_task(waiter.told()) for waiter in odd]
    for number, waiter in enumerate(even):
        await service.update(LOCAL, waiter.task.id, Update(title=f"title {number}"))
    async with asyncio.timeout(WITHIN):
        for number, waiter in enumerate(even):
            body = await waiter.told()
            assert (body["id"], body["version"], body["title"]) == (waiter.task.id, 2, f"title {number}")
    await open_waits(app, len(odd))
    assert not any(one.done() for one in reading), "nobody else was told anything"
    for one in reading:
        one.cancel()
    await asyncio.gather(*reading, return_exceptions=True)


async def test_another_process_s_change_wakes_those_it_concerns(
    waiters: list[Waiter], service: Service, app: HttpApp
) -> None:
    other = SqliteStore(cast("SqliteStore", service.store)._path)
    await other.open()
    looks: list[int] = []
    watch = cast("SqliteStore", service.store)._parts.watch
    versions = watch._versions

    def noted(ids: Sequence[str]) -> Mapping[str, int]:
        looks.append(len(ids))
        return versions(ids)

    watch._versions = noted
    try:
        elsewhere = Service(other, service.files)
        for waiter in waiters[:100]:
            await elsewhere.update(LOCAL, waiter.task.id, Update(title="changed"))
        async with asyncio.timeout(WITHIN):
            for waiter in waiters[:100]:
                assert (await waiter.told())["title"] == "changed"
        await open_waits(app, MANY - 100)
    finally:
        await other.close()
    assert sum(looks) < 100 * MANY / 2, "not all that is waited for was looked at for each"


async def test_who_leaves_gives_back_its_place_and_its_memory(
    waiters: list[Waiter], service: Service, app: HttpApp
) -> None:
    watch = cast("SqliteStore", service.store)._parts.watch
    assert len(watch._waiting) == MANY
    before = len(asyncio.all_tasks())
    for waiter in waiters:
        waiter.writer.close()
    await open_waits(app, 0)
    assert not watch._waiting
    assert not len(watch._deadlines)
    assert not app.stopping._calls
    assert len(asyncio.all_tasks()) <= before - MANY
    gc.collect()
    left = [one for one in gc.get_objects() if type(one) in (Leaving, Place, _Wait)]
    assert left == []
