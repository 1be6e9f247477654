"""The example of the exports, created, polled, executed and downloaded by a client of the Services API."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.http.dialects.native import Native
from milepost.http.dialects.services import Services
from milepost.service import Filter
from milepost.times import SECOND
from tests.examples.running import example, exported, running, served
from tests.http.conftest import in_memory

from .services_wire import created

ROWS = 2_000


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Milepost]:
    """The exports of a small ledger, and a worker."""
    ledger = tmp_path / "ledger.db"
    example("ledger").ensure_ledger(ledger, rows=ROWS)
    monkeypatch.setenv("MILEPOST_LEDGER", str(ledger))
    async with running(served(example("exports"), tmp_path)) as app:
        yield app


@pytest.fixture
async def client(app: Milepost) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_memory(app.asgi([Native(), Services()])) as client:
        yield client


async def polled(app: Milepost, client: httpx2.AsyncClient, number: int) -> Any:
    """The task once its state is DONE or ERROR, asked for whenever the record changes."""
    (task,) = (await app.service.find(LOCAL, Filter(tenant="1764", number=number))).tasks
    version = 0
    while True:
        await app.service.wait(LOCAL, task.id, timeout=60 * SECOND, version=version)
        seen = (await client.get(f"/tasks/{number}", params={"chain": 1764})).json()
        assert seen["version"] > version, "nothing has changed for a minute"
        version = seen["version"]
        if seen["state"]["code"] in ("DONE", "ERROR"):
            return seen


TARGET = {"action": "export", "export_index": "wallet-ledger", "export_format": "csv"}


async def test_an_export_from_its_start_to_its_file(app: Milepost, client: httpx2.AsyncClient, tmp_path: Path) -> None:
    made = await created(client, target=TARGET)
    done = await polled(app, client, made["id"])
    assert (done["state"]["code"], done["result"]) == ("DONE", "Wallet_Export-1.csv")
    assert done["target"] == TARGET
    assert [entry["msg"] for entry in done["logs"]] == ["READY -> INPROGRESS", "success", "INPROGRESS -> DONE"]
    outcome = done["logs"][1]
    assert outcome["total"] == ROWS == outcome["errors"] + outcome["skips"] + outcome["success"]
    assert (outcome["errors"], outcome["skips"]) == (2, 7)
    url = (await client.get(f"/tasks/{made['id']}/download_url")).json()["url"]
    file = await client.get(url)
    assert file.content == exported(tmp_path / "ledger.db", "wallet_ledger", "amount", "csv")
    assert file.headers["content-disposition"] == 'attachment; filename="Wallet_Export-1.csv"'


async def test_an_export_for_later_is_executed_now(client: httpx2.AsyncClient) -> None:
    made = await created(client, target=TARGET | {"export_format": "json"}, trigger={"once": "2126-01-01T00:00:00Z"})
    for run in (1, 2):
        state = (await client.post(f"/tasks/{made['id']}/execute", timeout=60)).json()
        assert state.keys() == {"code", "last_run_date", "last_modified", "created_date"}
        assert state["code"] == "DONE"
        done = (await client.get(f"/tasks/{made['id']}")).json()
        assert (done["state"], done["result"]) == (state, "Wallet_Export-1.json")
        assert [entry["msg"] for entry in done["logs"]].count("INPROGRESS -> DONE") == run
