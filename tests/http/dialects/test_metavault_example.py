"""A deployment, from its call to what it changed, through Metavault's dialect alone."""

import shutil
from pathlib import Path
from typing import Any

import httpx2

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.http.dialects.metavault import Metavault
from tests.examples.running import DATA, example, running, served, until_end
from tests.http.conftest import in_memory

CALLS = {"POST /api/environments/{environment}/deploy": "deploy"}


async def ended(app: Milepost, client: httpx2.AsyncClient, begun: httpx2.Response) -> dict[str, Any]:
    """A task that was begun, once it has ended."""
    assert begun.status_code == 202
    await until_end(app, await app.service.get(LOCAL, begun.json()["taskId"]))
    read: dict[str, Any] = (await client.get(begun.headers["location"])).json()
    return read


async def test_a_deployment(tmp_path: Path) -> None:
    shutil.copy(DATA / "vault-1.json", tmp_path)
    app = served(example("deploy"), tmp_path, tmp_path)
    async with running(app), in_memory(app.asgi([Metavault(calls=CALLS)])) as client:
        first = await client.post("/api/projects/shop/deploy", json={"model": "vault-1.json", "environment": "e.db"})
        read = await ended(app, client, first)
        assert (read["status"], read["type"], read["userName"]) == ("Success", "deploy", "Local")
        polled = await client.get(first.headers["location"], headers={"if-none-match": "*"})
        assert polled.status_code == 304, "polling costs no more than that nothing has changed"
        result = await client.get(read["_links"]["result"])
        assert result.headers["content-type"] == "application/json"
        assert (result.json()["from_version"], result.json()["to_version"]) == (None, 1)
        again = await client.post("/metavault/api/environments/e.db/deploy", json={"model": "vault-1.json"})
        read = await ended(app, client, again)
        assert (await client.get(read["_links"]["result"])).json()["created"] == []


async def test_a_deployment_of_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"name": "Shop!"}')
    app = served(example("deploy"), tmp_path, tmp_path)
    async with running(app), in_memory(app.asgi([Metavault(calls=CALLS)])) as client:
        begun = await client.post("/api/environments/e.db/deploy", json={"model": "broken.json"})
        read = await ended(app, client, begun)
        assert read["status"] == "Failed"
        assert read["error"].startswith("broken.json: ")
        assert (await client.get(f"{begun.headers['location']}/result")).status_code == 404
        lacking = await client.post("/api/environments/e.db/deploy")
        assert lacking.json()["errors"] == {"model": ["This is required."]}
