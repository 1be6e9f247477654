"""Do QuantCDN's own SDK, and a client generated from Milepost's document, work against the Quant dialect?"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.service import Service
from tests.http.conftest import served
from tests.http.dialects.quant_wire import keys
from tests.programs import CLIENTS, require

SCRIPTS = Path(__file__).parent / "clients"
PYTHON = CLIENTS / "python" / "bin" / "python"
PACKAGES = CLIENTS / "python" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    """The URL of a server."""
    app = HttpApp(lambda: service, [Native(), Quant()])
    async with served(app, app.stop) as url:
        yield url


async def run(*command: str | Path) -> str:
    """What a program says that ends well, within two minutes."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(120):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode() + complained.decode()
    return said.decode()


async def test_the_sdk_s_transport_drives_the_six_operations(url: str, service: Service) -> None:
    require(PACKAGES / "quantcdn")
    told = json.loads(await run(PYTHON, SCRIPTS / "quant_sdk.py", url, (await keys(service))["root"]))
    first, second = told["ids"]
    assert told["created"].keys() == {"taskId", "orgId", "title", "status", "createdAt"}
    assert (told["created"]["orgId"], told["created"]["status"]) == ("acme", "pending")
    assert told["at it"] == {
        "taskId": first,
        "status": "in_progress",
        "updatedAt": told["read"]["updatedAt"],
    }
    assert (told["read"]["progress"], told["read"]["progressMessage"], told["read"]["metadata"]) == (
        0.5,
        "Half",
        {"n": 1},
    )
    assert [task["taskId"] for task in told["listed"]["tasks"]] == [first]
    assert (told["dependents"]["taskIds"], told["dependents"]["tasks"][0]["title"]) == ([second], "Analyse")
    assert (told["graph"]["roots"], told["graph"]["leaves"], told["graph"]["taskCount"]) == ([first], [second], 2)
    assert told["in the way"] == {
        "refused": "ConflictException",
        "status": 409,
        "error": "TASK_HAS_DEPENDENTS",
        "message": "Cannot delete task with 1 dependent task(s). Use cascade=true to delete all.",
        "dependentTaskIds": [second],
    }
    assert (told["done"]["status"], told["freed"]["status"]) == ("completed", "pending")
    assert (told["wrong"]["refused"], told["wrong"]["message"][:7]) == ("BadRequestException", "status:")
    assert told["illegal"]["refused"] == "ConflictException"
    assert (told["gone"]["deletedCount"], set(told["gone"]["deletedTaskIds"])) == (2, {first, second})
    assert told["unknown"]["refused"] == "NotFoundException"
    assert told["nobody"]["refused"] == "UnauthorizedException"


async def test_a_client_generated_from_the_document_drives_a_task_s_whole_life(
    url: str, service: Service, tmp_path: Path
) -> None:
    generator = require(CLIENTS / "python" / "bin" / "openapi-generator-cli")
    async with httpx2.AsyncClient() as client:
        (tmp_path / "quant.json").write_bytes((await client.get(f"{url}/openapi/quant-3.0.json")).content)
    made = tmp_path / "client"
    options = ("-g", "python", "--package-name", "quant_generated", "-i", tmp_path / "quant.json", "-o", made)
    await run(generator, "generate", *options)
    shown = json.dumps(await keys(service))
    assert await run(PYTHON, SCRIPTS / "quant_generated.py", url, made, shown) == "ok\n"
