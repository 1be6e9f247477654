"""Do pollers in JavaScript, bash and Go, written as the page shows them, stop where they should? Each really runs."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from milepost import Context, Milepost, TaskError
from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.native import Native
from tests.examples.running import running
from tests.http.conftest import served
from tests.programs import require

POLLERS = Path(__file__).parent / "pollers"
INTERVAL = "0.02"
PATIENCE = 60


class Life:
    """An application with one command, which does as it is told, and somebody who asks for it over HTTP."""

    def __init__(self, app: Milepost, url: str, may_end: asyncio.Event) -> None:
        self.app = app
        self.url = url
        self.may_end = may_end

    async def starts(self, **arguments: str) -> str:
        """The id of the task that the command makes."""
        async with httpx2.AsyncClient(base_url=self.url) as client:
            answer = await client.post("/api/v1/backup", json=arguments)
            return str(answer.json()["payload"]["id"])


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """A server and a worker."""
    app = Milepost(tmp_path / "milepost.db")
    may_end = asyncio.Event()

    @app.task
    async def backup(ctx: Context, *, how: str = "well") -> dict[str, Any]:
        ctx.progress(0.5, message="Half of it is *there*")
        await may_end.wait()
        if how == "badly":
            raise TaskError("The disk is full.", retry=False)
        await ctx.checkpoint(None)
        return {"online": 25, "text": "two  spaces, 100 % ü"}

    async with running(app):
        web = app.asgi([Native(), CloudCoin()])
        async with served(web, web.stop) as url:
            yield Life(app, url, may_end)
            may_end.set()


@pytest.fixture(scope="module")
def go_poller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one in Go, compiled."""
    go = require("go")
    folder = tmp_path_factory.mktemp("go")
    environment = os.environ | {"GOCACHE": str(folder / "cache"), "GO111MODULE": "off"}
    subprocess.run([go, "build", "-o", folder / "poller", POLLERS / "poller.go"], env=environment, check=True)
    return folder / "poller"


@pytest.fixture(params=["node", "bash", "go"])
def poller(request: pytest.FixtureRequest) -> list[str]:
    """The command of a poller, to which URL, id and interval are added."""
    if request.param == "go":
        return [str(request.getfixturevalue("go_poller"))]
    if request.param == "node":
        return [require("node"), str(POLLERS / "poller.mjs")]
    require("curl")
    require("jq")
    return [require("bash"), str(POLLERS / "poller.sh")]


class Polling:
    """A poller at work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self.process = process
        self.output = process.stdout

    async def says(self) -> str:
        """Its next line."""
        return (await self.output.readline()).decode().rstrip("\n")

    async def ends(self) -> list[str]:
        """Its last lines, once it has stopped by itself: all that are not about a running task."""
        said = (await self.output.read()).decode().splitlines()
        assert await self.process.wait() == 0
        return [line for line in said if not line.startswith("running")]


@asynccontextmanager
async def polling(poller: list[str], url: str, task_id: str) -> AsyncIterator[Polling]:
    """The poller, asking for a task."""
    process = await asyncio.create_subprocess_exec(*poller, url, task_id, INTERVAL, stdout=subprocess.PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            yield Polling(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_running(polling: Polling) -> None:
    """Wait until the poller has seen that the task is half done."""
    while (line := await polling.says()) != "running 50% Half of it is *there*":
        assert line == "running 0% Command Started"


async def test_a_task_that_is_completed(life: Life, poller: list[str]) -> None:
    async with polling(poller, life.url, await life.starts()) as polled:
        await until_running(polled)
        life.may_end.set()
        status, result = await polled.ends()
    assert status == "completed 100% Half of it is *there*"
    # The bash one takes the answer apart into words, as it is written on the page.
    spaces = " " if "poller.sh" in poller[-1] else "  "
    assert json.loads(result.removeprefix("result ")) == {"online": 25, "text": f"two{spaces}spaces, 100 % ü"}


async def test_a_task_that_fails(life: Life, poller: list[str]) -> None:
    async with polling(poller, life.url, await life.starts(how="badly")) as polled:
        await until_running(polled)
        life.may_end.set()
        assert await polled.ends() == ["error 50% The disk is full."]


async def test_a_task_that_is_cancelled(life: Life, poller: list[str]) -> None:
    task_id = await life.starts()
    async with polling(poller, life.url, task_id) as polled:
        await until_running(polled)
        assert (await life.app.service.cancel(LOCAL, task_id)).cancel_requested
        life.may_end.set()
        assert await polled.ends() == ["error 50% The task was cancelled."]


def refused(poller: list[str], status: int, message: str) -> list[str]:
    """What a poller says last of a refusal: the one in JavaScript heeds the status code."""
    return [f"stopped: status code {status}"] if "poller.mjs" in poller[-1] else [f"error 0% {message}"]


@pytest.mark.parametrize("task_id", ["00000000-0000-7000-8000-000000000000", "17", "%FF", "a/b/c", ""])
async def test_p6_a_task_that_there_is_not(life: Life, poller: list[str], task_id: str) -> None:
    async with polling(poller, life.url, task_id) as polled:
        is_path = task_id in ("%FF", "a/b/c", "")
        message = "There is nothing at this path." if is_path else "There is no such task."
        assert await polled.ends() == refused(poller, 404, message)


async def test_p7_a_task_past_its_retention(life: Life, poller: list[str]) -> None:
    task = await life.app.start("backup", keep_record=0, held=True)
    await life.app.service.cancel(LOCAL, task.id)
    async with polling(poller, life.url, task.id) as polled:
        assert await polled.ends() == refused(poller, 404, "There is no such task.")


async def test_a_refusal_that_is_about_no_task(life: Life, poller: list[str]) -> None:
    """No handler of a path and no store is reached: the application is closed under the server's feet."""
    service = life.app.service
    life.app._service = None
    try:
        async with polling(poller, life.url, "17") as polled:
            said = await polled.ends()
    finally:
        life.app._service = service
    assert said[0].startswith("stopped: status code 503" if "poller.mjs" in poller[-1] else "error 0% Milepost is not")
