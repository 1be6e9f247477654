"""The backup command, from its start to the archive, through CloudCoin's dialect alone."""

import io
import tarfile
from pathlib import Path
from typing import Any

import httpx2

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.http.dialects.cloudcoin import CloudCoin
from tests.examples.running import DATA, example, running, served, until_end
from tests.http.conftest import in_memory


async def ended(app: Milepost, client: httpx2.AsyncClient, begun: httpx2.Response) -> dict[str, Any]:
    """The payload of a task that was begun, once it runs no more."""
    task_id = begun.json()["payload"]["id"]
    await until_end(app, await app.service.get(LOCAL, task_id))
    payload: dict[str, Any] = (await client.get(f"/api/v1/tasks/{task_id}")).json()["payload"]
    return payload


async def test_a_backup(tmp_path: Path) -> None:
    async with running(served(example("backup"), tmp_path)) as app, in_memory(app.asgi([CloudCoin()])) as client:
        begun = await client.post("/api/v1/create-wallet-backup", json={"folder": "documents", "tag": "monday"})
        payload = await ended(app, client, begun)
        assert (payload["status"], payload["progress"], payload["message"]) == ("completed", 100, "Verified")
        data = payload["data"]
        assert (data["name"], data["media_type"]) == ("documents-monday.tar.gz", "application/gzip")
        archive = (await client.get(data["url"])).content
        assert len(archive) == data["size"]
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            kept = tar.extractfile("documents/harvest.csv")
            assert kept is not None
            assert kept.read() == (DATA / "documents" / "harvest.csv").read_bytes()


async def test_a_backup_of_nothing(tmp_path: Path) -> None:
    async with running(served(example("backup"), tmp_path)) as app, in_memory(app.asgi([CloudCoin()])) as client:
        begun = await client.post("/api/v1/backup", json={"folder": "nowhere"})
        payload = await ended(app, client, begun)
        assert (payload["status"], payload["data"]) == ("error", None)
        assert payload["message"] == "There is no folder 'nowhere'."
        refused = await client.post("/api/v1/backup", json={"folder": "documents", "name": "../up"})
        assert refused.json()["payload"]["message"].startswith("name: ")
        lacking = await client.post("/api/v1/backup")
        assert lacking.json()["payload"]["message"] == "folder: This is required."
