"""Does the server do what its OpenAPI documents say, whoever sends whatever? schemathesis asks, with all of its checks.

The requests are the same at every run. `MILEPOST_FUZZ=2000 scripts/test tests/fuzz` asks with so many examples an
operation, other ones each time, for as long as that takes.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from milepost.http.dialects.known import NAMES

from .serving import TENANT, Serving, serving

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("MILEPOST_FUZZ")
SEED = [] if EXAMPLES else ["--seed", "20260417"]
HOOKED = {
    "SCHEMATHESIS_HOOKS": "tests.fuzz.foresight",
    "PYTHONPATH": str(HERE.parents[1]),
    "COVERAGE_PROCESS_START": "",
}
PATIENCE = 24 * 60 * 60 if EXAMPLES else 120


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Serving]:
    """A server on which everybody may call."""
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Serving]:
    """A server that asks for keys."""
    async with serving(tmp_path, keyed=True) as server:
        yield server


async def run(
    server: Serving, dialect: str, folder: Path, *options: str, config: str = "", **environment: str
) -> tuple[int, str]:
    """How schemathesis ends, asked about a dialect's document, and what it says; `config` joins that of all runs."""
    file = folder / "schemathesis.toml"
    file.write_text((HERE / "schemathesis.toml").read_text() + config)
    told = {
        "DIALECT": dialect,
        "TENANT": TENANT,
        "STANDING": server.standing,
        "SCHEMATHESIS_HOOKS": "tests.fuzz.foresight",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(file)),
        *("run", f"{server.url}/openapi/{dialect}.json", "--checks", "all", *SEED, *options),
        cwd=folder,
        env=os.environ | HOOKED | told | environment,
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


@pytest.mark.timeout(PATIENCE)
async def test_all_that_the_document_says_is_so(
    server: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code, said = await run(server, "native", tmp_path, "--max-examples", EXAMPLES or "30")
    assert code == 0, said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
        first, named = await client.get("/openapi.json"), await client.get("/openapi/native.json")
        assert first.json() == named.json(), "what holds of the one document holds of the other"
        tasks = (await client.get("/v1/tasks")).json()["tasks"]
        assert tasks, "the requests have come further than to a refusal"
        delivered = (await client.get(f"/v1/tasks/{server.standing}")).json()["counts"]
        assert delivered["total"] > 0
        started = await client.post("/v1/tasks", json={"type": "echo", "priority": 1_000_000})
        assert started.status_code == 202, "and it goes on as before"


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "native"])
async def test_all_that_a_dialect_s_document_says_is_so(
    name: str, server: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code, said = await run(server, name, tmp_path, "--max-examples", EXAMPLES or "8")
    assert code == 0, said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("name", NAMES)
async def test_it_is_so_with_keys_and_nobody_gets_what_is_another_s(
    name: str, keyed: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Each operation is asked with the least of rights that it lets in, and then with none, and as the other user.
    config = f'\n[auth.wfc]\npath = "{keyed.users(tmp_path)}"\npeers = ["user", "foreign"]\n'
    code, said = await run(keyed, name, tmp_path, "--max-examples", EXAMPLES or "3", config=config)
    assert code == 0, said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("name", NAMES)
async def test_it_is_so_whatever_rights_a_key_has(
    name: str, keyed: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only = ("--phases", "fuzzing", "--max-examples", EXAMPLES or "5")
    code, said = await run(keyed, name, tmp_path, *only, KEYS=" ".join(keyed.keys.values()))
    assert code == 0, said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_document_that_lies_is_found_out(server: Serving, tmp_path: Path) -> None:
    lying = '\n[[operations]]\ninclude-name = "GET /v1/types"\n'
    lying += "checks.positive_data_acceptance.expected-statuses = ['204']\n"
    only = ("--include-operation-id", "types", "--max-examples", "1", "--phases", "fuzzing")
    code, said = await run(server, "native", tmp_path, *only, config=lying)
    assert code == 1, said
    assert "Schema-valid request rejected" in said


async def test_a_server_that_asks_for_no_key_where_one_is_needed_is_found_out(server: Serving, tmp_path: Path) -> None:
    only = ("--include-operation-id", "types", "--max-examples", "1", "--phases", "fuzzing")
    code, said = await run(server, "native", tmp_path, *only, KEYS="none", NEEDS_KEY="yes")
    assert code == 1, said
    assert "without authentication" in said
