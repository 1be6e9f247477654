"""Does the server do what its OpenAPI document says, whatever is sent? schemathesis asks, with all of its checks.

The requests are the same at every run. `MILEPOST_FUZZ=2000 scripts/test tests/fuzz` asks with so many examples an
operation, other ones each time, for as long as that takes.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from milepost import Context, Milepost
from milepost.engine.names import Names
from milepost.engine.outbound import Outbound
from milepost.engine.reach import Reach
from milepost.http.dialects.known import NAMES, dialects
from milepost.task import State
from tests.http.conftest import served

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("MILEPOST_FUZZ")
SEED = [] if EXAMPLES else ["--seed", "20260417"]


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A server with a worker, and tasks that end at once or only when they are told to."""
    app = Milepost(tmp_path / "milepost.db", files=tmp_path / "files", files_root=tmp_path)
    app._outbound = Outbound(Reach(), names=Names(nobody))  # the URLs of callbacks are anybody's
    ends = asyncio.Event()

    @app.task
    async def echo(ctx: Context, *, value: Any = None) -> Any:
        ctx.log("said", value=value)
        return value

    @app.task
    async def wait(ctx: Context, *, value: Any = None) -> None:
        while not ends.is_set() and not ctx.stopping:
            await ctx.checkpoint(value)
            await asyncio.sleep(0.01)
        await ctx.checkpoint(value)

    async with app.opened():
        worker = app.worker(grace=1)
        working = asyncio.create_task(worker.run())
        try:
            standing = await app.start("echo", runner="external", state=State.RUNNING)
            monkeypatch.setenv("STANDING", standing.id)
            web = app.asgi(dialects())
            web.stopping.set()  # what would wait or follow for minutes answers with what there is
            async with served(web, web.stop, http="httptools") as url:
                yield url
        finally:
            ends.set()
            worker.stop()
            await working


def nobody(host: str, port: int) -> list[str]:
    """Resolves no name."""
    return []


async def run(
    url: str, folder: Path, *options: str, checks: str = "all", hooks: str | None = "foresight"
) -> tuple[int, str]:
    """How schemathesis ends, and what it says; `url` is that of a document."""
    hooked = {} if hooks is None else {"SCHEMATHESIS_HOOKS": hooks}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", url, "--checks", checks, *SEED, *options),
        cwd=folder,
        env=os.environ | hooked | {"PYTHONPATH": str(HERE), "COVERAGE_PROCESS_START": ""},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.timeout(24 * 60 * 60 if EXAMPLES else 120)
async def test_all_that_the_document_says_is_so(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    code, said = await run(f"{url}/openapi.json", tmp_path, "--max-examples", EXAMPLES or "30")
    assert code == 0, said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
        first, named = await client.get("/openapi.json"), await client.get("/openapi/native.json")
        assert first.json() == named.json(), "what holds of the one document holds of the other"
        tasks = (await client.get("/v1/tasks")).json()["tasks"]
        assert tasks, "the requests have come further than to a refusal"
        delivered = (await client.get(f"/v1/tasks/{os.environ['STANDING']}")).json()["counts"]
        assert delivered["total"] > 0
        started = await client.post("/v1/tasks", json={"type": "echo", "priority": 1_000_000})
        assert started.status_code == 202, "and it goes on as before"


@pytest.mark.timeout(24 * 60 * 60 if EXAMPLES else 120)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "native"])
async def test_whatever_a_dialect_is_sent_its_answers_are_those_of_its_document(
    name: str, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    document = f"{url}/openapi/{name}.json"
    code, said = await run(document, tmp_path, "--max-examples", EXAMPLES or "8", checks=checks, hooks=None)
    assert code == 0, said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_document_that_lies_is_found_out(url: str, tmp_path: Path) -> None:
    lying = tmp_path / "schemathesis.toml"
    lying.write_text("[checks]\npositive_data_acceptance.expected-statuses = ['204']\n")
    only = ("--include-operation-id", "types", "--max-examples", "1", "--phases", "fuzzing")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(lying), "run", f"{url}/openapi.json", *only),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 1, said.decode()
