"""A real service on a real store and file store, and the application before it: in memory, or on a loopback socket."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.requests import Request

from milepost import lifecycle, times
from milepost.access.limits import Limits
from milepost.access.principal import LOCAL
from milepost.files.folder import FolderFiles
from milepost.http.app import HttpApp
from milepost.http.dialect import Dialect
from milepost.http.dialects.native import Native
from milepost.http.throttle import Throttle
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import LeasedEdit, TypeInfo
from milepost.store.sqlite.store import SqliteStore
from milepost.store.workers import Claimed, Wanted, WorkerInfo
from milepost.task import Entry, FileResult, JsonResult, Task

EXPORT = TypeInfo(
    "export",
    "loop",
    {
        "type": "object",
        "properties": {"export_index": {"type": "string"}, "rows": {"type": "integer"}},
        "additionalProperties": False,
    },
    "Writes an index as a file.",
    max_attempts=2,
    timeout=30 * times.MINUTE,
)
WORKER = "worker-1"
SHARE = Throttle(Limits()).share(LOCAL, None)


async def admitted(request: Request) -> None:
    """Lets everybody go on."""


class Clock:
    """The system clock, and as much ahead of it as a test says; or one that stands."""

    def __init__(self) -> None:
        self.ahead = 0
        self._stands_at: int | None = None

    def __call__(self) -> int:
        return times.now() + self.ahead if self._stands_at is None else self._stands_at

    def stand_at(self, text: str) -> None:
        """Stop at a time, as RFC 3339 writes it."""
        self._stands_at = times.from_rfc3339(text)


class Tasks:
    """Brings tasks to where a test wants them, as callers and workers do."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.store = service.store

    async def start(self, type: str = "export", **fields: Any) -> Task:
        """A task that was started."""
        return (await self.service.start(LOCAL, Start(type=type, **fields), origin="native")).task

    async def claim(self) -> Claimed:
        """The next queued task, running under a worker's lease."""
        claimed = await self.store.claim(WORKER, [Wanted("export")], limit=1, now=self.service.clock())
        assert isinstance(claimed, list)
        return claimed[0]

    async def running(self, **fields: Any) -> Task:
        """A task that runs."""
        started = await self.start(**fields)
        claimed = await self.claim()
        assert claimed.task.id == started.id
        return claimed.task

    async def apply(self, task: Task, change: Callable[..., lifecycle.Step], **arguments: Any) -> Task:
        """A change by the worker that holds the task."""
        now = self.service.clock()
        edit = LeasedEdit(task.id, task.epoch, lambda current: change(current, now=now, **arguments))
        [after] = await self.store.change_leased([edit], now=now)
        assert isinstance(after, Task), after
        return after

    async def report(self, task: Task, *messages: str, **said: Any) -> Task:
        """Log lines and progress."""
        entries = tuple(Entry(self.service.clock(), "log", task.attempt, "info", message) for message in messages)
        return await self.apply(task, lifecycle.report, report=lifecycle.Report(entries=entries, **said))

    async def succeed(self, task: Task, result: JsonResult | FileResult | None = None) -> Task:
        """The work is done."""
        return await self.apply(task, lifecycle.succeed, result=result)

    async def succeeded(self, result: JsonResult | FileResult | None = None, **fields: Any) -> Task:
        """A task that has succeeded."""
        return await self.succeed(await self.running(**fields), result)

    async def with_file(
        self, content: bytes, name: str = "report.csv", media_type: str = "text/csv", **fields: Any
    ) -> Task:
        """A task whose result is a file."""

        async def pieces() -> AsyncIterator[bytes]:
            yield content

        stored = await self.service.files.put(pieces())
        return await self.succeeded(FileResult(stored.key, name, media_type, stored.size, stored.sha256), **fields)


class Watched(Service):
    """Tells when somebody begins to wait and when nobody does any more."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.begun = asyncio.Semaphore(0)
        self.ended = asyncio.Semaphore(0)

    async def wait(self, *args: Any, **options: Any) -> Task:
        self.begun.release()
        try:
            return await super().wait(*args, **options)
        finally:
            self.ended.release()


@pytest.fixture
def clock() -> Clock:
    """The service's clock."""
    return Clock()


class Timer:
    """The time that has passed, and as much more as a test says (µs)."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return times.elapsed() + self.ahead


@pytest.fixture
def timer() -> Timer:
    """By which the service knows how old is what it has in mind."""
    return Timer()


@pytest.fixture
async def service(tmp_path: Path, clock: Clock, timer: Timer) -> AsyncIterator[Watched]:
    """A service on a fresh SQLite file, with one type and one worker that is alive."""
    store = SqliteStore(tmp_path / "milepost.db")
    await store.open()
    files = FolderFiles(tmp_path / "files")
    try:
        await store.publish_types([EXPORT])
        await store.enlist(WorkerInfo(WORKER, "host", 1, 10, ("export",)))
        yield Watched(store, files, clock=clock, timer=timer)
    finally:
        await files.close()
        await store.close()


@pytest.fixture
def tasks(service: Service) -> Tasks:
    """Tasks in any state."""
    return Tasks(service)


@pytest.fixture
def app(service: Service) -> HttpApp:
    """The application with the native dialect."""
    return HttpApp(lambda: service, [Native()])


@pytest.fixture
async def client(app: HttpApp) -> AsyncIterator[httpx2.AsyncClient]:
    """A client whose requests go to the application in memory."""
    async with in_memory(app) as client:
        yield client


def in_memory(app: Any, *, root_path: str = "", host: str = "127.0.0.1:8006") -> httpx2.AsyncClient:
    """A client whose requests go to an application without a socket."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=True, root_path=root_path)
    return httpx2.AsyncClient(transport=transport, base_url=f"http://{host}")


class Server(uvicorn.Server):
    """Says when it listens, and calls `stop` before it waits for what is under way."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()
        self._stop = stop

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._stop()
        await super().shutdown(sockets)


@asynccontextmanager
async def served(app: Any, stop: Callable[[], None] = lambda: None, **config: Any) -> AsyncIterator[str]:
    """The URL of a real server on a free port of the loopback interface, stopped at the end."""
    settings = {"host": "127.0.0.1", "port": 0, "log_level": "critical", "lifespan": "off", **config}
    server = Server(uvicorn.Config(app, **settings), stop)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            await server.listens.wait()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(10):
            await serving


class Complaints(logging.Handler):
    """What uvicorn says of an application that it serves."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What uvicorn says of applications meanwhile."""
    handler, logger = Complaints(), logging.getLogger("uvicorn.error")
    logger.addHandler(handler)
    yield handler.said
    logger.removeHandler(handler)


@pytest.fixture
async def server(app: HttpApp) -> AsyncIterator[str]:
    """The application on a socket; its URL."""
    async with served(app, app.stop) as url:
        yield url


@pytest.fixture
async def remote(server: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application on a socket."""
    async with httpx2.AsyncClient(base_url=server, timeout=10) as remote:
        yield remote


def http_app(service: Service, *dialects: Dialect, **options: Any) -> HttpApp:
    """An application that speaks these dialects."""
    chosen: Sequence[Dialect] = dialects or [Native()]
    return HttpApp(lambda: service, chosen, **options)
