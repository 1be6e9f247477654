"""Three generations of Aparavi's clients, the published ones among them, against a real server and worker."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from milepost import Milepost
from milepost.access.keyring import Profile
from milepost.access.principal import LOCAL
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.native import Native
from milepost.times import SECOND
from tests.examples.running import example, running
from tests.examples.running import served as application
from tests.http.conftest import served
from tests.programs import CLIENTS, require

SCRIPTS = Path(__file__).with_name("clients")
NODE = CLIENTS / "node" / "node_modules" / "aparavi-dtc-node-sdk"
PYTHON = CLIENTS / "python" / "bin" / "python"
PACKAGES = CLIENTS / "python" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
PUBLISHED = "The specified task does not exist or has been deleted"
NO_FOLDER = "There is no folder 'documents/nowhere'."
PATHS = {"/data/source": "documents", "/data": "documents"}
PATIENCE = 60
"""Seconds that a client has."""


@asynccontextmanager
async def serving(folder: Path, profile: Profile = "page") -> AsyncIterator[tuple[str, Milepost]]:
    """The URL of a server with a worker that runs pipelines."""
    async with running(application(example("pipeline"), folder)) as app:
        web = app.asgi(dialects=[Native(), Aparavi(profile=profile, paths=PATHS)])
        async with served(web, web.stop) as url:
            yield url, app


async def said(*command: str | Path) -> dict[str, Any]:
    """What a client says at its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        pytest.fail(f"It takes too long.\n{out.decode()}\n{err.decode()}")
    assert process.returncode == 0, out.decode() + err.decode()
    last: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return last


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of two files to deliver."""
    folder = tmp_path / "delivered"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    (folder / "b.txt").write_text("two words")
    return folder


async def page(url: str, key: str) -> dict[str, Any]:
    """The page's own steps."""
    return await said(require("node"), SCRIPTS / "aparavi_page.mjs", url, key)


async def node(url: str, key: str, files: Path) -> dict[str, Any]:
    """The Node package's."""
    require(NODE)
    return await said(require("node"), SCRIPTS / "aparavi_node.cjs", NODE, url, key, files)


async def python(url: str, key: str, files: Path) -> dict[str, Any]:
    """The Python package's."""
    require(PACKAGES / "aparavi_dtc_sdk")
    return await said(PYTHON, SCRIPTS / "aparavi_python.py", url, key, files)


def texts(answer: dict[str, Any]) -> dict[str, list[str]]:
    """What an answer to a delivery says of each of its objects, by name."""
    assert answer["status"] == "OK"
    assert answer["data"]["objectsRequested"] == answer["data"]["objectsCompleted"] == len(answer["data"]["objects"])
    return {one["name"]: one["text"] for one in answer["data"]["objects"].values()}


def check_page(told: dict[str, Any]) -> None:
    assert told["before"] == "No task has been started"
    assert told["started"]["data"]["type"] == "cpu"
    assert told["first"]["message"] == "Task status retrieved successfully"
    assert told["first"]["data"]["status"] in ("Created", "Running", "Completed")
    ended = told["ended"]["data"]
    assert (ended["status"], ended["progress"], ended["error"]) == ("Completed", 100, None)
    assert (ended["files_processed"], ended["total_files"]) == (5, 5)
    assert ended["metadata"] == {"source_path": "/data/source"}
    assert told["deleted"]["data"]["cancelled"] is False
    failed = told["failed"]["data"]
    assert (failed["status"], failed["error"]) == ("Failed", NO_FOLDER)
    assert told["standing"]["data"]["status"] == "Running"
    assert (told["cancelled"]["data"]["status"], told["cancelled"]["data"]["error"]) == ("Cancelled", None)
    assert told["unknown"] == "Error getting task status: Task not found"


def check_node(told: dict[str, Any]) -> None:
    ended = told["ended"]["data"]
    assert (ended["status"], ended["completed"], ended["completedCount"], ended["errors"]) == ("Completed", True, 5, [])
    assert told["failed"] == NO_FOLDER
    assert told["valid"] == {"status": "OK", "data": {"errors": [], "warnings": []}}
    assert told["invalid"]["status"] == "Error"
    assert "provider" in told["invalid"]["data"]["errors"][0]
    assert told["refused"] == "Error starting task: Request failed with status code 422"
    assert told["standing"]["data"]["type"] == "cpu"
    assert texts(told["one"]) == {"a.txt": ["one"]}
    assert texts(told["two"]) == {"a.txt": ["one"], "b.txt": ["two words"]}
    assert texts(told["text"]) == {"text.txt": ["plain text"]}
    counts = told["running"]["data"]
    assert (counts["status"], counts["completed"], counts["completedCount"]) == ("Running", False, 3)
    cancelled = told["cancelled"]["data"]
    assert (cancelled["status"], cancelled["completed"]) == ("Completed", True)
    assert cancelled["errors"] == ["The task was cancelled."]
    assert told["late"].startswith("Webhook failed: Server responded with status 409 - ")
    assert told["unknown"] == "Error getting task status: Request failed with status code 404"
    assert told["unended"] == "Error deleting task: Request failed with status code 404"
    assert told["unsent"].startswith("Webhook failed: Server responded with status 404 - ")
    assert PUBLISHED in told["unsent"]


def check_python(told: dict[str, Any]) -> None:
    assert told["version"]["name"] == "Milepost"
    ended = told["ended"]
    assert (ended["status"], ended["completed"], ended["completedCount"]) == ("Completed", True, 5)
    assert ended["metadata"] == {"source_path": "/data/source", "threads": 4}
    assert told["failed"] == ["AparaviError", NO_FOLDER]
    assert told["valid"] == "OK"
    assert told["invalid"][0] == "PipelineError"
    assert "provider" in told["invalid"][1]
    assert told["refused"][0] == "AparaviError"
    assert "VALIDATION_ERROR" in told["refused"][1]
    assert [texts(answer) for answer in told["one"]] == [{"a.txt": ["one"]}]
    assert [texts(answer) for answer in told["two"]] == [{"a.txt": ["one"], "b.txt": ["two words"]}]
    assert told["running"]["status"] == "Running"
    assert told["teardown"]["cancelled"] is True
    assert told["cancelled"] == ["AparaviError", "The task was cancelled."]
    assert [told[step][0] for step in ("unknown", "unended")] == ["TaskNotFoundError"] * 2
    assert told["unsent"][0] == "AparaviError"
    assert "404" in told["unsent"][1]


async def test_the_page_s_client(tmp_path: Path) -> None:
    async with serving(tmp_path, "page") as (url, _):
        check_page(await page(url, "any key"))


async def test_the_node_package(tmp_path: Path, files: Path) -> None:
    async with serving(tmp_path, "node") as (url, _):
        check_node(await node(url, "any key", files))


async def test_the_python_package(tmp_path: Path, files: Path) -> None:
    async with serving(tmp_path, "python") as (url, _):
        check_python(await python(url, "any key", files))


async def test_all_of_them_at_once_on_one_server_each_in_its_own_words(tmp_path: Path, files: Path) -> None:
    """By their keys, which also tell them from a stranger."""
    async with serving(tmp_path) as (url, app):
        keys = [
            (await app.service.keys.add(profile, ["acme:user"], profile=profile))[1]
            for profile in ("page", "node", "python")
        ]
        by_page, by_node, by_python = await asyncio.gather(
            page(url, keys[0]), node(url, keys[1], files), python(url, keys[2], files)
        )
    check_page(by_page)
    check_node(by_node)
    check_python(by_python)
    assert by_page["stranger"] == "Error getting task status: Unauthorized"
    assert by_node["stranger"] == "Error getting task status: Request failed with status code 401"
    assert by_python["stranger"] == ["AparaviError", "Unauthorized api key, or you are out of tokens."]


async def test_the_same_task_reads_in_the_words_of_each_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as (url, app), httpx2.AsyncClient(base_url=url) as client:
        keys = {
            profile: (await app.service.keys.add("ada", ["acme:member"], profile=profile))[1]
            for profile in ("page", "node", "python", None)
        }
        other = (await app.service.keys.add("eve", ["other:admin"], profile="python"))[1]
        failing = {"components": [{"provider": "file", "config": {"path": "/data/nowhere"}}]}
        started = await client.put("/task", json=failing, headers={"authorization": keys["python"]})
        query = started.json()["data"]
        task_id = await app.service.id_of_token(query["token"])
        await app.service.wait(LOCAL, task_id, timeout=20 * SECOND, until_end=True)
        read = {
            profile: (await client.get("/task", params=query, headers={"authorization": key})).json()["data"]
            for profile, key in keys.items()
        }
        assert {profile: data["status"] for profile, data in read.items()} == {
            "page": "Failed",
            "node": "Completed",
            "python": "Completed",
            None: "Failed",
        }
        assert all(data["errors"] == [NO_FOLDER] for data in read.values())
        foreign = await client.get("/task", params=query, headers={"authorization": other})
        unknown = await client.get("/task", params={"token": "x"}, headers={"authorization": other})
        assert (foreign.status_code, foreign.json()) == (200, unknown.json())
        assert foreign.json()["status"] == "Error"
        wrong = await client.get("/task", headers={"authorization": keys["node"]})
        assert wrong.json()["error"]["code"] == "VALIDATION_ERROR", "a refusal is in the caller's words as well"
        nobody = await client.get("/task", params=query)
        assert (nobody.status_code, nobody.json()["error"]) == (401, "Unauthorized")
