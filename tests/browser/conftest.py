"""A real Chromium, a Milepost in open mode, and a web server of somebody else's, all on the loopback interface."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from milepost import Context, Milepost
from milepost.access.principal import LOCAL
from milepost.service import Filter, Service
from milepost.task import Task
from tests.http.conftest import served

EVIL = "evil.example"
"""A name of somebody else's that leads to this machine, as after DNS rebinding."""


class Open:
    """A server in open mode with one task in it, which a page would want to read and to stop."""

    def __init__(self, service: Service, url: str, task: Task) -> None:
        self.service = service
        self.url = url
        self.task = task
        self.requests: list[str] = []
        """What has arrived, with its answer's status: `GET /v1/tasks 403`."""

    @property
    def port(self) -> str:
        """The port that it listens on."""
        return self.url.rpartition(":")[2]

    async def tasks(self) -> list[Task]:
        """All that are there."""
        return list((await self.service.find(LOCAL, Filter(), limit=200)).tasks)


class Recorded:
    """An ASGI application whose requests are written down."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def recorded(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(f"{scope['method']} {scope['path']} {message['status']}")
            await send(message)

        asked = scope["path"] != "/favicon.ico"  # browsers want one of every site, at any time
        await self.app(scope, receive, recorded if asked else send)


@pytest_asyncio.fixture(loop_scope="module")
async def milepost(tmp_path: Path) -> AsyncIterator[Open]:
    """A server in open mode. What it runs says a secret, and ends when it is told to."""
    app = Milepost(tmp_path / "milepost.db", files=tmp_path / "files", files_root=tmp_path)

    @app.task
    async def export(ctx: Context) -> str:
        return "secret"

    async with app.opened() as service:
        done = await app.start("export", title="secret")
        worker = app.worker(grace=1)
        working = asyncio.create_task(worker.run())
        done = await service.wait(LOCAL, done.id, timeout=10_000_000, until_end=True)
        worker.stop()
        await working
        web = app.asgi()
        recorded = Recorded(web)
        async with served(recorded, web.stop, http="httptools") as url:
            opened = Open(service, url, done)
            opened.requests = recorded.seen
            yield opened


@asynccontextmanager
async def site(html: str) -> AsyncIterator[str]:
    """The URL of a web page of somebody else's, on a port of its own."""

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(html)

    async with served(Starlette(routes=[Route("/", page)])) as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of the browser, which scripts/browser.sh installs."""
    path = shutil.which("chromium")
    assert path, "Chromium is not installed; scripts/browser.sh does that"
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A browser that takes `EVIL` for a name of this machine."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=[
                *(("--no-sandbox",) if os.geteuid() == 0 else ()),
                f"--host-resolver-rules=MAP {EVIL} 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A fresh tab of a fresh profile."""
    context = await browser.new_context()
    try:
        yield await context.new_page()
    finally:
        await context.close()
