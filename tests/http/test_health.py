import asyncio
import logging
from typing import Any

import httpx2
import msgspec
import pytest

from milepost import __version__
from milepost.http.app import HttpApp
from milepost.http.health import readiness
from milepost.service import Service
from milepost.store.workers import WorkerInfo

from .conftest import EXPORT, Tasks, http_app, in_memory


async def test_a_process_that_answers_lives(client: httpx2.AsyncClient) -> None:
    response = await client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"live": True, "version": __version__})


async def test_a_store_that_answers_is_ready(client: httpx2.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "ready": True,
        "detail": None,
        "open_mode": True,
        "workers": 1,
        "types": ["export"],
        "unoffered": [],
    }


async def test_types_that_no_worker_offers_are_named(client: httpx2.AsyncClient, service: Service) -> None:
    await service.store.publish_types([msgspec.structs.replace(EXPORT, name="other")])
    assert (await client.get("/readyz")).json()["unoffered"] == ["other"]


class Silent(Service):
    """Whose store never answers."""

    async def workers(self) -> list[WorkerInfo]:
        await asyncio.Event().wait()
        raise AssertionError


class Broken(Service):
    """Whose store fails."""

    async def workers(self) -> list[WorkerInfo]:
        raise OSError("disk I/O error on /secret/path")


async def test_a_store_that_is_silent_is_not_ready(service: Service) -> None:
    found = await readiness(Silent(service.store, service.files), open_mode=service.keys.in_use, patience=0.01)
    assert not found.ready
    assert found.detail == "The store did not answer within 0.01 seconds."


async def test_a_store_that_fails_is_not_ready_and_says_no_more(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:

    async with in_memory(http_app(Broken(service.store, service.files))) as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["ready"] is False
    assert "secret" not in response.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "secret" in caplog.text


async def test_a_server_that_is_about_to_stop_takes_nobody_new(app: HttpApp, client: httpx2.AsyncClient) -> None:
    app.leave()
    response = await client.get("/readyz")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json() == {
        "ready": False,
        "detail": "The server is stopping.",
        "open_mode": True,
        "workers": 1,
        "types": ["export"],
        "unoffered": [],
    }
    assert (await client.get("/v1/tasks")).status_code == 200
    assert not app.stopping.is_set()


async def test_metrics_count_tasks_by_type_and_state(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.running()
    await tasks.start()
    await tasks.start()
    await tasks.start("agent-work", runner="external")
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    figures: dict[str, Any] = dict(
        line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#")
    )
    assert figures['milepost_tasks{state="queued",type="export"}'] == "2.0"
    assert figures['milepost_tasks{state="running",type="export"}'] == "1.0"
    assert figures['milepost_tasks{state="failed",type="export"}'] == "0.0", "there is a figure before there is a task"
    assert figures['milepost_tasks{state="queued",type="agent-work"}'] == "1.0"
    assert figures["milepost_workers"] == "1.0"
    assert figures["milepost_worker_slots"] == "10.0"
