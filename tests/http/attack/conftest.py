"""A server as `serve` runs it, in all dialects, with keys; and a client that sends whatever bytes it likes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

import pytest
import pytest_asyncio

from milepost.access.principal import LOCAL
from milepost.cli.server import config
from milepost.files.folder import FolderFiles
from milepost.http.app import HttpApp
from milepost.http.dialects.known import dialects
from milepost.service import Filter, Service
from milepost.store.sqlite.store import SqliteStore
from milepost.task import Task
from tests.http.conftest import EXPORT, Watched, http_app, served
from tests.http.dialects.addresses import TENANT

HOST: Final = b"Host: 127.0.0.1\r\n"


class Answer(NamedTuple):
    """What was answered to one request."""

    status: int
    headers: dict[str, str]
    body: bytes


class Keys(NamedTuple):
    """Who has a right to something: everything in one tenant, and everything."""

    admin: str
    service: str


def serving(app: HttpApp) -> AbstractAsyncContextManager[str]:
    """The URL of a server as `serve` runs it."""
    settings = config(app, 1, access_log=False)
    options = ("http", "ws", "proxy_headers", "server_header", "access_log")
    return served(app, app.stop, **{name: getattr(settings, name) for name in options})


class Attacked(NamedTuple):
    """A server that is attacked, and what is behind it."""

    port: int
    service: Watched
    keys: Keys

    async def tasks(self) -> list[Task]:
        """All that are there."""
        return list((await self.service.find(LOCAL, Filter(), limit=200)).tasks)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Attacked]:
    """A server that all tests of a module attack."""
    folder = tmp_path_factory.mktemp("attacked")
    store = SqliteStore(folder / "milepost.db")
    await store.open()
    files = FolderFiles(folder / "files")
    await store.publish_types([EXPORT])
    service = Watched(store, files)
    keys = await made(service)
    async with serving(http_app(service, *dialects())) as url:
        yield Attacked(port_of(url), service, keys)
    await service.close()
    await files.close()
    await store.close()


@pytest_asyncio.fixture(loop_scope="module")
async def port(attacked: Attacked) -> AsyncIterator[int]:
    """Where it is served. Whatever a test sends there, it changes nothing."""
    before = await attacked.tasks()
    yield attacked.port
    assert await attacked.tasks() == before


async def made(service: Service) -> Keys:
    """Keys that work; so there is no open mode."""
    _, admin = await service.keys.add("ada", [f"{TENANT}:admin"])
    _, of_service = await service.keys.add("ops", ["*:service"])
    return Keys(admin, of_service)


def port_of(url: str) -> int:
    """The port in the URL of a server."""
    return int(url.rpartition(":")[2])


async def exchange(port: int, *pieces: bytes) -> list[Answer]:
    """All that a server answers to some bytes until it hangs up, which it has to: anything else fails."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return parsed(await reader.read())
    finally:
        writer.transport.abort()


def parsed(data: bytes) -> list[Answer]:
    """Answers, one after the other, with nothing between and nothing after."""
    answers = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, head
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = 0 if status in ("100", "204", "304") else int(headers["content-length"])
        assert len(data) >= size, "an answer is whole"
        answers.append(Answer(int(status), headers, data[:size]))
        data = data[size:]
    return answers


def marked(mark: str, *lines: bytes) -> bytes:
    """A request whose answer is known by its mark."""
    return f"GET /problems/{mark} HTTP/1.1\r\n".encode() + HOST + b"".join(lines) + b"\r\n"


def marks(answers: Iterable[Answer]) -> list[str | int]:
    """The marks of answers, and the status of those that have none."""
    return [
        answer.headers["location"].rpartition("-")[2] if answer.status == 307 else answer.status for answer in answers
    ]


BEFORE: Final = marked("before")
AFTER: Final = marked("after", b"Connection: close\r\n")
SMUGGLED: Final = marked("smuggled")
