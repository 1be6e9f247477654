"""The client against Milepost itself, which answers in the words of each profile, with real pipelines behind it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from milepost.client.aparavi import AparaviError, NoTaskStarted, TaskNotFound
from tests.cli.processes import Server, none_left
from tests.client.flavours import Client, Flavour
from tests.client.speaker import RUNNING, Profile

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCUMENTS = EXAMPLES / "data" / "documents"
PAGE = {"pipeline": {"components": [{"name": "source", "provider": "file", "config": {"path": "/data/source"}}]}}
STANDING: dict[str, Any] = {
    "source": "in",
    "components": [
        {"id": "in", "provider": "webhook", "config": {}},
        {"id": "read", "provider": "text", "config": {}, "input": [{"lane": "data", "from": "in"}]},
    ],
}
SERVED = """
from milepost import Milepost
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.native import Native

app = Milepost(dialects=[Native(), Aparavi(profile={profile!r}, paths={{"/data/source": "documents"}})])
"""


@pytest.fixture(scope="module", params=["page", "node", "python"])
def profile(request: pytest.FixtureRequest) -> Profile:
    profile: Profile = request.param
    return profile


@pytest.fixture(scope="module")
def server(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(profile)
    shutil.copytree(DOCUMENTS, folder / "documents")
    (folder / "served.py").write_text(SERVED.format(profile=profile))
    with none_left():
        server = Server(folder, files=(EXAMPLES / "pipeline.py", folder / "served.py"))
        yield server
        assert server.stop() == 0


async def test_the_sample_of_the_page(flavour: Flavour, server: Server, profile: Profile) -> None:
    async with Client(flavour, server.url, hurried=False) as client:
        with pytest.raises(NoTaskStarted):
            await client.call("get_task")
        start = await client.call("start_task", PAGE, name="nightly", threads=2)
        assert (client.real.token, client.real.type) == (start["data"]["token"], start["data"]["type"])
        status = await client.call("get_task")
        assert status["message"] == "Task status retrieved successfully"
        assert status["data"].keys() >= RUNNING.keys()
        end = await client.call("wait", timeout=60)
        assert end["data"]["status"] == "Completed"
        assert end["data"]["progress"] == 100
        assert end["data"]["metadata"]["source_path"] == "/data/source"
        assert end["data"]["files_processed"] == sum(path.is_file() for path in DOCUMENTS.rglob("*"))
        await client.call("delete_task")
        assert (await client.call("get_task"))["data"]["status"] == "Completed"


async def test_deliveries(flavour: Flavour, server: Server, profile: Profile) -> None:
    async with Client(flavour, server.url, hurried=False) as client:
        await client.call("start_task", STANDING)
        assert (await client.call("get_task"))["data"]["status"] == "Running"
        for files, options, texts in (
            ((DOCUMENTS / "night-train.txt",), {}, [(DOCUMENTS / "night-train.txt").read_text()]),
            ((("Grüße.txt", "Grüße".encode()), ("b.txt", b"two")), {}, ["Grüße", "two"]),
            ((), {"text": "Just text"}, ["Just text"]),
        ):
            outcome = (await client.call("send_to_webhook", *files, **options))["data"]
            assert outcome["objectsCompleted"] == len(texts)
            assert [found["text"] for found in outcome["objects"].values()] == [[text] for text in texts]
        await client.call("delete_task")
        end = await client.call("wait", timeout=60)
        assert end["data"]["status"] == ("Cancelled" if profile == "page" else "Completed")
        with pytest.raises(AparaviError, match="Error sending to webhook: ") as caught:
            await client.call("send_to_webhook", text="too late")
        assert caught.value.status == 409


async def test_a_pipeline_that_fails(flavour: Flavour, server: Server, profile: Profile) -> None:
    async with Client(flavour, server.url, hurried=False) as client:
        await client.call("start_task", {"components": [{"provider": "file", "config": {"path": "/nowhere"}}]})
        data = (await client.call("wait", timeout=60))["data"]
        assert data["status"] == ("Failed" if profile == "page" else "Completed")
        assert data["errors"]


async def test_what_is_wrong_is_told(flavour: Flavour, server: Server, profile: Profile) -> None:
    async with Client(flavour, server.url, hurried=False) as client:
        with pytest.raises(AparaviError, match=r"^Error starting task: .*components.*required") as caught:
            await client.call("start_task", {"source": "x"})
        assert caught.value.status == 422
        client.real.token, client.real.type = "00000000-0000-4000-8000-000000000000", "cpu"
        for method, options in (
            ("get_task", {}),
            ("wait", {}),
            ("delete_task", {}),
            ("send_to_webhook", {"text": "x"}),
        ):
            with pytest.raises(TaskNotFound, match=r"^Error .*: Task not found$"):
                await client.call(method, **options)
