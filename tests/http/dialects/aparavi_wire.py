"""What tests of Aparavi's dialect send, and the type that runs pipelines there."""

from typing import Any

import httpx2

from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.native import Native
from milepost.service import Service
from milepost.task import Task
from tests.examples.running import example
from tests.http.conftest import http_app, in_memory

PIPELINE = example("pipeline").app.types["pipeline"].info
"""As a worker makes it known."""

SAMPLE: dict[str, Any] = {
    "pipeline": {"components": [{"name": "source", "provider": "file", "config": {"path": "/data/source"}}]}
}
"""The published page's own pipeline."""

STANDING: dict[str, Any] = {
    "pipeline": {
        "source": "webhook_1",
        "components": [
            {"id": "webhook_1", "provider": "webhook", "config": {"mode": "Source"}, "ui": {"position": {"x": 20}}},
            {"id": "text_1", "provider": "text", "config": {}, "input": [{"lane": "data", "from": "webhook_1"}]},
        ],
    },
    "errors": [],
    "warnings": [],
}
"""As the packages send one."""


def speaking(service: Service, root_path: str = "", **settings: Any) -> httpx2.AsyncClient:
    """A client of an application that speaks this dialect and the native one."""
    return in_memory(http_app(service, Native(), Aparavi(**settings)), root_path=root_path)


async def token(service: Service, task: Task) -> dict[str, str]:
    """The query that names a task."""
    return {"token": await service.token_of(task), "type": "cpu"}


async def started(client: httpx2.AsyncClient, body: Any, **query: Any) -> dict[str, str]:
    """The query that names a pipeline that was started."""
    response = await client.put("/task", json=body, params=query)
    assert response.status_code == 200, response.text
    data: dict[str, str] = response.json()["data"]
    return data
